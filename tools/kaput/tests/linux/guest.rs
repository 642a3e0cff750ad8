// SPDX-License-Identifier: MIT OR Apache-2.0
//! One Linux guest under `kaput qemu`: booted, told what to do through a shell on its console, migrated, ended.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use kaput::lab::cpio::Archive;
use serde_json::{Value, json};

use crate::disk;
use crate::lines::Lines;

/// How long a command or a boot may take. No test depends on it being short.
const PATIENCE: Duration = Duration::from_secs(240);

/// What the kernel counts process times in: 100 a second on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// The first program: drivers, then a shell whose commands come from the console. Each command's end is a line of its
/// own.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
stty -echo -onlcr
for driver in zcrypt zcrypt_cex4; do
    xzcat "/lib/$driver.ko.xz" > "/tmp/$driver.ko" && insmod "/tmp/$driver.ko"
done
echo "<done 0>"
while read -r line; do
    eval "$line"
    echo "<done $?>"
done
"#;

/// What guests are made from.
pub(crate) struct Sources {
    /// The folder with kernel and programs.
    pub(crate) linux: PathBuf,
    /// The program that makes RSA requests.
    pub(crate) witness: PathBuf,
}

impl Sources {
    fn initramfs(&self) -> Result<Vec<u8>, String> {
        let read = |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
        let file = |name: &str| read(&self.linux.join(name));
        let folders = ["bin", "dev", "lib", "lib/s390x-linux-gnu", "proc", "sbin", "sys", "tmp"];
        let archive = folders.iter().fold(Archive::new(), |archive, name| archive.folder(name)).console();
        let archive = archive
            .file("init", INIT.as_bytes())
            .file("witness", &read(&self.witness)?)
            .file("bin/busybox", &file("busybox")?)
            .file("sbin/lszcrypt", &file("lszcrypt")?)
            .file("lib/ld64.so.1", &file("ld64.so.1")?)
            .file("lib/s390x-linux-gnu/libc.so.6", &file("libc.so.6")?)
            .file("lib/zcrypt.ko.xz", &file("zcrypt.ko.xz")?)
            .file("lib/zcrypt_cex4.ko.xz", &file("zcrypt_cex4.ko.xz")?);
        Ok(archive.finish())
    }
}

/// What a guest is to be.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Options of `kaput qemu`; none starts QEMU itself, without AP.
    pub(crate) ap: &'static [&'static str],
    /// How many CPUs.
    pub(crate) cpus: u8,
    /// Further words for the kernel's command line.
    pub(crate) kernel: &'static str,
    /// Where the firmware or QEMU takes the kernel from.
    pub(crate) from: From,
}

/// Where a kernel comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// QEMU's options.
    Options,
    /// A disk, read by the firmware.
    Disk,
}

impl Plan {
    fn command_line(&self) -> String {
        format!("console=ttysclp0 loglevel=1 panic=-1 {}", self.kernel)
    }
}

/// A guest that runs.
pub(crate) struct Linux {
    plan: Plan,
    folder: tempfile::TempDir,
    machine: Machine,
    generation: usize,
}

/// One QEMU.
struct Machine {
    child: Child,
    console: Console,
    qmp: Lines,
    control: Option<Lines>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // It may have ended by itself.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Linux {
    /// Boots one and waits for its shell.
    pub(crate) fn boot(sources: &Sources, plan: Plan) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("kaput-linux-").tempdir().map_err(|e| e.to_string())?;
        let (kernel, initramfs) = (sources.linux.join("vmlinuz"), sources.initramfs()?);
        let file = |name: &str| folder.path().join(name);
        match plan.from {
            From::Options => {
                std::fs::write(file("initramfs"), initramfs).map_err(|e| e.to_string())?;
                std::os::unix::fs::symlink(kernel, file("vmlinuz")).map_err(|e| e.to_string())?;
            }
            From::Disk => {
                let kernel = std::fs::read(&kernel).map_err(|error| format!("{}: {error}", kernel.display()))?;
                let disk = disk::image(&kernel, &initramfs, &plan.command_line())?;
                std::fs::write(file("disk"), disk).map_err(|e| e.to_string())?;
            }
        }
        let machine = Machine::start(plan, folder.path(), 0)?;
        let mut linux = Self { plan, folder, machine, generation: 0 };
        linux.machine.console.until_done()?;
        Ok(linux)
    }

    /// Runs a line of shell; returns what it prints. A status other than 0 is an error.
    pub(crate) fn run(&mut self, line: &str) -> Result<String, String> {
        self.machine.console.type_line(line)?;
        let (output, status) = self.machine.console.until_done().map_err(|error| format!("{line}: {error}"))?;
        if status == 0 { Ok(output) } else { Err(format!("{line}: status {status}: {output}")) }
    }

    /// Types lines for a program that the shell has started, and waits until it has said so many lines `.`; what it
    /// says until then.
    pub(crate) fn converse(&mut self, lines: &str, answers: usize) -> Result<String, String> {
        let console = &mut self.machine.console;
        console.writer.write_all(lines.as_bytes()).map_err(|error| format!("console: {error}"))?;
        console.until(|text| {
            let (last, _) = text.match_indices("\n.\n").nth(answers.checked_sub(1)?)?;
            Some((text[..last + 1].to_owned(), last + 3))
        })
    }

    /// Ends what a program reads, and waits for the shell.
    pub(crate) fn end_of_input(&mut self) -> Result<(), String> {
        let console = &mut self.machine.console;
        console.writer.write_all(b"\x04").map_err(|error| format!("console: {error}"))?;
        console.until_done().map(drop)
    }

    /// Types a line that the guest does not survive.
    pub(crate) fn type_line(&mut self, line: &str) -> Result<(), String> {
        self.machine.console.type_line(line)
    }

    /// Waits until the shell of the next boot is there.
    pub(crate) fn until_booted(&mut self) -> Result<(), String> {
        self.machine.console.until_done().map(drop)
    }

    /// Repeats a line of shell until its output is as wanted.
    pub(crate) fn until(&mut self, line: &str, wanted: impl Fn(&str) -> bool) -> Result<String, String> {
        let end = Instant::now() + PATIENCE;
        loop {
            let output = self.run(line)?;
            if wanted(output.trim()) {
                return Ok(output);
            }
            if Instant::now() > end {
                return Err(format!("{line}: still says {output}"));
            }
        }
    }

    /// QMP.
    pub(crate) fn qmp(&mut self) -> &mut Lines {
        &mut self.machine.qmp
    }

    /// Asks by the plugin's control socket.
    pub(crate) fn control(&mut self, execute: &str, arguments: Value) -> Result<Value, String> {
        self.machine.control(execute, arguments)
    }

    /// CPU time that QEMU has used until now, all threads, system included.
    pub(crate) fn cpu_time(&self) -> Result<Duration, String> {
        let path = format!("/proc/{}/stat", self.machine.child.id());
        let stat = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // Behind the name, which is in parentheses: 11 words, then user and system time in ticks.
        let words = stat.rsplit_once(") ").map_or("", |(_, words)| words).split(' ');
        let ticks: u32 = words.skip(11).take(2).filter_map(|word| word.parse::<u32>().ok()).sum();
        Ok(TICK * ticks)
    }

    /// Migrates it to a host of the same kind, AP configuration included. Returns whether a queue held messages while
    /// the guest stood still: those are lost.
    pub(crate) fn migrate(&mut self) -> Result<bool, String> {
        self.generation += 1;
        let mut destination = Machine::start(self.plan, self.folder.path(), self.generation)?;
        let uri = format!("unix:{}", self.folder.path().join("migration").display());
        destination.qmp.ask("migrate-incoming", json!({"uri": uri}))?;
        let source = &mut self.machine;
        source.qmp.ask("migrate", json!({"uri": uri}))?;
        source.qmp.event("MIGRATION", |data| data["status"] == "pre-switchover")?;
        let queues = source.control("query-queues", json!({}))?["queues"].take();
        let holds = |queue: &Value| queue["activity"]["messages"].as_u64().is_some_and(|messages| messages > 0);
        let held = queues.as_array().is_some_and(|queues| queues.iter().any(holds));
        let stream = source.set_state("stop-copy")?;
        let data = source.control("migration-read", json!({"stream": stream, "length": 65536}))?["data"].take();
        let stream = destination.set_state("resuming")?;
        destination.control("migration-write", json!({"stream": stream, "data": data}))?;
        destination.set_state("running")?;
        source.qmp.ask("migrate-continue", json!({"state": "pre-switchover"}))?;
        source.qmp.event("MIGRATION", |data| data["status"] == "completed")?;
        destination.qmp.event("RESUME", |_| true)?;
        self.machine = destination;
        std::fs::remove_file(self.folder.path().join("migration")).ok();
        Ok(held)
    }
}

impl Machine {
    /// Starts `kaput qemu`; every generation after the first waits for a migration.
    fn start(plan: Plan, folder: &Path, generation: usize) -> Result<Self, String> {
        let file = |name: &str| folder.join(format!("{generation}.{name}"));
        let listen = |name: &str| UnixListener::bind(file(name)).map_err(|e| e.to_string());
        let (console, qmp) = (listen("console")?, listen("qmp")?);
        let mut command = match plan.ap {
            [] => Command::new(std::env::var_os("KAPUT_QEMU").unwrap_or("qemu-system-s390x".into())),
            ap => {
                let mut command = Command::new(env!("CARGO_BIN_EXE_kaput"));
                command.arg("qemu").args(ap).arg("--control").arg(file("control")).arg("--");
                command
            }
        };
        command.args([
            "-machine",
            "s390-ccw-virtio-11.1",
            "-cpu",
            "qemu",
            "-m",
            "256M",
            "-smp",
            &plan.cpus.to_string(),
        ]);
        command.args(["-nodefaults", "-display", "none", "-run-with", "exit-with-parent=on"]);
        command.arg("-chardev").arg(format!("socket,id=console,path={},server=off", file("console").display()));
        command.args(["-device", "sclpconsole,chardev=console"]);
        command.arg("-qmp").arg(format!("unix:{},server=off", file("qmp").display()));
        match plan.from {
            From::Options => {
                command.arg("-kernel").arg(folder.join("vmlinuz")).arg("-initrd").arg(folder.join("initramfs"));
                command.arg("-append").arg(plan.command_line());
            }
            From::Disk => {
                let disk = format!("if=none,id=disk,format=raw,read-only=on,file={}", folder.join("disk").display());
                command.arg("-drive").arg(disk).args(["-device", "virtio-blk-ccw,drive=disk,bootindex=0"]);
            }
        }
        if generation > 0 {
            command.args(["-incoming", "defer"]);
        }
        let stderr = std::fs::File::create(file("stderr")).map_err(|e| e.to_string())?;
        let mut child = command.stdin(Stdio::null()).stderr(stderr).spawn().map_err(|e| e.to_string())?;
        let connected = connect(console, qmp);
        let (console, mut qmp) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                _ = child.kill();
                let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
                let said = std::fs::read_to_string(file("stderr")).unwrap_or_default();
                return Err(format!("QEMU does not answer ({error}; {status}): {said}"));
            }
        };
        let on = |capability: &str| json!({"capability": capability, "state": true});
        qmp.ask("qmp_capabilities", json!({}))?;
        let capabilities = json!({"capabilities": [on("events"), on("pause-before-switchover")]});
        qmp.ask("migrate-set-capabilities", capabilities)?;
        qmp.ask("migrate-set-parameters", json!({"max-bandwidth": 0, "downtime-limit": 2000}))?;
        let control = match plan.ap {
            [] => None,
            _ => {
                let stream = UnixStream::connect(file("control")).map_err(|e| format!("control socket: {e}"))?;
                Some(Lines::new(stream)?)
            }
        };
        Ok(Self { child, console: Console::new(console)?, qmp, control })
    }

    fn control(&mut self, execute: &str, arguments: Value) -> Result<Value, String> {
        self.control.as_mut().ok_or("this QEMU has no plugin")?.ask(execute, arguments)
    }

    /// Requests a migration state; the stream that comes with it.
    fn set_state(&mut self, state: &str) -> Result<Value, String> {
        Ok(self.control("migration-set-state", json!({"state": state}))?["stream"].take())
    }
}

/// Waits for QEMU's connections.
fn connect(console: UnixListener, qmp: UnixListener) -> Result<(UnixStream, Lines), String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let connections = console.accept().and_then(|(console, _)| Ok((console, qmp.accept()?.0)));
        // Nobody listens any more if it took too long.
        _ = sender.send(connections);
    });
    let connections = receiver.recv_timeout(PATIENCE).map_err(|_| "it did not connect in time".to_owned())?;
    let (console, qmp) = connections.map_err(|e| e.to_string())?;
    Ok((console, Lines::new(qmp)?))
}

/// The guest's console: a thread collects what comes.
struct Console {
    writer: UnixStream,
    heard: Arc<(Mutex<Heard>, Condvar)>,
}

#[derive(Default)]
struct Heard {
    text: String,
    ended: bool,
}

impl Console {
    fn new(stream: UnixStream) -> Result<Self, String> {
        let mut reader = stream.try_clone().map_err(|e| e.to_string())?;
        let heard = Arc::<(Mutex<Heard>, Condvar)>::default();
        let listener = Arc::clone(&heard);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let length = reader.read(&mut buffer).unwrap_or(0);
                let (heard, changed) = &*listener;
                let mut heard = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                heard.text.push_str(&String::from_utf8_lossy(&buffer[..length]));
                heard.ended = length == 0;
                changed.notify_all();
                if length == 0 {
                    return;
                }
            }
        });
        Ok(Self { writer: stream, heard })
    }

    fn type_line(&mut self, line: &str) -> Result<(), String> {
        self.writer.write_all(format!("{line}\n").as_bytes()).map_err(|e| format!("console: {e}"))
    }

    /// Waits for the end of a command; its output and its status.
    fn until_done(&mut self) -> Result<(String, i32), String> {
        self.until(done)
    }

    /// Waits until there is something in what the guest says; that, and how many bytes of what it says are used then.
    fn until<T>(&mut self, found: impl Fn(&str) -> Option<(T, usize)>) -> Result<T, String> {
        let (heard, changed) = &*self.heard;
        let heard = heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let waits = |heard: &mut Heard| found(&heard.text).is_none() && !heard.ended;
        let waited = changed.wait_timeout_while(heard, PATIENCE, waits);
        let (mut heard, _) = waited.unwrap_or_else(std::sync::PoisonError::into_inner);
        match found(&heard.text) {
            Some((found, length)) => {
                heard.text.drain(..length);
                Ok(found)
            }
            None => Err(format!("the guest does not answer; its console says {:?}", heard.text)),
        }
    }
}

/// The output before the first end of a command with the status, and how many bytes both have.
fn done(text: &str) -> Option<((String, i32), usize)> {
    let (output, rest) = text.split_once("<done ")?;
    let (status, _) = rest.split_once(">\n").or_else(|| rest.split_once(">\r\n"))?;
    let length = output.len() + "<done ".len() + rest.find('\n')? + 1;
    Some(((output.replace('\r', ""), status.parse().ok()?), length))
}
