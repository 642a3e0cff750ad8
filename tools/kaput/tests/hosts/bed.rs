// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two hosts and a laptop on one machine: three network namespaces on a bridge, an sshd with a key of its own in two of
//! them, and a temporary folder for each. Nothing outside of them changes, and everything goes when the bed does.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::daemon::Daemon;
use crate::needs;
use crate::standin::StandIn;

/// What a host has for QEMU.
const QEMU: &str = include_str!("qemu.sh");

/// The hosts, by the names that ssh knows them by, and the last part of their addresses.
const HOSTS: [(&str, u8); 2] = [("a", 2), ("b", 3)];

/// Gives a program a host's name and its own folders.
const HOST: &str = include_str!("host.sh");

/// How many beds were made: each has its own namespaces.
static MADE: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Bed {
    /// What the names of its namespaces begin with.
    mark: String,
    folder: tempfile::TempDir,
    daemons: Mutex<Vec<Daemon>>,
    libvirts: Mutex<BTreeMap<String, Daemon>>,
    /// Why a host has no libvirt, where it should have one.
    libvirt_fault: Option<String>,
    /// The drivers of the hosts.
    pub(crate) drivers: Vec<StandIn>,
}

impl Bed {
    /// Makes everything.
    pub(crate) fn make(qemu: &Path, plugin: &Path) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("kb-").tempdir().map_err(|e| e.to_string())?;
        let (daemons, libvirts) = (Mutex::default(), Mutex::default());
        let mark = format!("kaput-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let mut bed = Self { mark, folder, daemons, libvirts, libvirt_fault: None, drivers: Vec::new() };
        bed.network()?;
        for key in ["host-key", "key", "other-key"] {
            run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(bed.path(key)))?;
        }
        fs::create_dir(bed.path("full")).map_err(|e| e.to_string())?;
        run(Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(bed.path("full")))?;
        let store = format!("#!/bin/sh\nexec {} store \"$1\"\n", this_program());
        bed.program("store", &store)?;
        let plugin_text = plugin.display().to_string();
        let wrapper = QEMU.replace("QEMU", &qemu.display().to_string()).replace("PLUGIN", &plugin_text);
        bed.program("qemu", &wrapper.replace("HELPER", &this_program()))?;
        for (host, number) in HOSTS {
            fs::create_dir(bed.path(host)).map_err(|e| e.to_string())?;
            bed.drivers.push(StandIn::start(&bed.root(host))?);
            bed.own_folders(host)?;
            bed.daemon(host, number, plugin)?;
        }
        if needs::no_libvirt().is_none() {
            bed.libvirt_fault = ["a", "b"].into_iter().find_map(|host| bed.libvirt(host, true).err());
        }
        fs::write(bed.ssh_config(), bed.client()).map_err(|e| e.to_string())?;
        Ok(bed)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What stands for the root of a host's file system.
    fn root(&self, host: &str) -> PathBuf {
        self.path(&format!("{host}-root"))
    }

    fn program(&self, name: &str, text: &str) -> Result<(), String> {
        crate::program::program(&self.path(name), text).map_err(|error| error.to_string())
    }

    pub(crate) fn ssh_config(&self) -> PathBuf {
        self.path("ssh_config")
    }

    fn namespace(&self, name: &str) -> String {
        format!("{}-{name}", self.mark)
    }

    fn network(&self) -> Result<(), String> {
        let laptop = self.namespace("laptop");
        let ip = |line: &str| run(Command::new("ip").args(line.split_whitespace()));
        ip(&format!("netns add {laptop}"))?;
        ip(&format!("-n {laptop} link add name bridge type bridge"))?;
        ip(&format!("-n {laptop} addr add 198.18.0.1/24 dev bridge"))?;
        ip(&format!("-n {laptop} link set bridge up"))?;
        ip(&format!("-n {laptop} link set lo up"))?;
        for (host, number) in HOSTS {
            let namespace = self.namespace(host);
            ip(&format!("netns add {namespace}"))?;
            ip(&format!("-n {laptop} link add name {host} type veth peer name eth0 netns {namespace}"))?;
            ip(&format!("-n {laptop} link set dev {host} master bridge up"))?;
            ip(&format!("-n {namespace} addr add 198.18.0.{number}/24 dev eth0"))?;
            ip(&format!("-n {namespace} link set eth0 up"))?;
            ip(&format!("-n {namespace} link set lo up"))?;
        }
        Ok(())
    }

    fn daemon(&self, host: &str, number: u8, plugin: &Path) -> Result<(), String> {
        let (qemu, store, root) = (self.path("qemu"), self.path("store"), self.root(host));
        // What this machine's user has in his shell's start-up files is not a host's business: it takes time, and
        // locks.
        let home = self.folder.path();
        let set: [(&str, &Path); 5] = [
            ("KAPUT_QEMU", &qemu),
            ("KAPUT_PLUGIN", plugin),
            ("KAPUT_STORE", &store),
            ("KAPUT_ROOT", &root),
            ("HOME", home),
        ];
        let set: Vec<String> = set.iter().map(|(name, value)| format!("{name}={}", value.display())).collect();
        let config = format!(
            "ListenAddress 198.18.0.{number}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM \
             no\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nAcceptEnv TMPDIR\nMaxStartups 100\nSetEnv \
             {}\n",
            self.path("host-key").display(),
            self.path("key.pub").display(),
            set.join(" "),
        );
        let path = self.path(&format!("{host}.sshd_config"));
        fs::write(&path, config).map_err(|e| e.to_string())?;
        // It wants to be started by its whole name.
        let sshd = needs::find("sshd").ok_or("there is no sshd")?.display().to_string();
        let mut command = self.on(host, &[&sshd]);
        command.args(["-D", "-e", "-f"]).arg(&path);
        let mut sshd = Daemon::start(format!("sshd of host {host}"), &mut command, self.path(&format!("{host}.sshd")))?;
        sshd.wait(|sshd| sshd.said().contains("Server listening"))?;
        self.daemons.lock().expect("unpoisoned").push(sshd);
        Ok(())
    }

    /// What a host has of its own where a libvirt keeps things.
    fn own_folders(&self, host: &str) -> Result<(), String> {
        for folder in ["run/sshd", "cache", "log", "lib", "etc"] {
            fs::create_dir_all(self.path(&format!("{host}-own/{folder}"))).map_err(|e| e.to_string())?;
        }
        let write = |name: &str, text: &str| fs::write(self.path(&format!("{host}-own/etc/{name}")), text);
        // Two on one machine would else take each other for the same host.
        let uuid = if host == "a" { 10 } else { 11 };
        let uuid = format!("67c622a4-fa2a-4220-97d8-8548067070{uuid}");
        write("libvirtd.conf", &format!("auth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nhost_uuid = \"{uuid}\"\n"))
            .map_err(|e| e.to_string())?;
        let qemu = "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nnamespaces = []\n\
                    stdio_handler = \"file\"\n";
        write("qemu.conf", qemu).map_err(|e| e.to_string())
    }

    /// A program on a host, with its name and its own folders.
    pub(crate) fn on(&self, host: &str, program: &[&str]) -> Command {
        let mut command = inside(&self.namespace(host), "unshare");
        command.args(["--uts", "sh", "-c", HOST, "sh", host]).arg(self.path(&format!("{host}-own"))).args(program);
        command
    }

    /// Starts or stops a host's libvirt.
    pub(crate) fn libvirt(&self, host: &str, on: bool) -> Result<(), String> {
        let mut all = self.libvirts.lock().expect("unpoisoned");
        drop(all.remove(host));
        _ = fs::remove_file(self.path(&format!("{host}-own/run/libvirt/libvirt-sock")));
        if !on {
            return Ok(());
        }
        let libvirtd = needs::find("libvirtd").ok_or("there is no libvirtd")?.display().to_string();
        let mut command = self.on(host, &[&libvirtd, "--pid-file", "/run/libvirtd.pid"]);
        let log = self.path(&format!("{host}.libvirtd"));
        let mut daemon = Daemon::start(format!("libvirtd of host {host}"), &mut command, log)?;
        // Its socket is there before its QEMU driver is, or is not.
        let answers = |_: &Daemon| {
            let asked = self.on(host, &["virsh", "-q", "-c", "qemu:///system", "uri"]).output();
            asked.is_ok_and(|output| output.status.success())
        };
        let served = daemon.wait(answers);
        all.insert(host.to_owned(), daemon);
        served
    }

    /// Whether what the tests of a libvirt take came up.
    pub(crate) fn has_libvirt(&self) -> Result<(), String> {
        self.libvirt_fault.clone().map_or(Ok(()), Err)
    }

    /// Whether every daemon still runs that should.
    pub(crate) fn runs(&self) -> Result<(), String> {
        let mut daemons = self.daemons.lock().expect("unpoisoned");
        let mut libvirts = self.libvirts.lock().expect("unpoisoned");
        daemons.iter_mut().chain(libvirts.values_mut()).try_for_each(Daemon::runs)
    }

    /// What the user's ssh would know: the two hosts, and some that cannot be reached.
    fn client(&self) -> String {
        let host = |name: &str, address: &str, key: &str, folder: &str, port: u16| {
            format!(
                "Host {name}\nHostName {address}\nPort {port}\nUser root\nIdentityFile {}\nUserKnownHostsFile {}\n\
                 SetEnv TMPDIR={}\nIdentitiesOnly yes\nIdentityAgent none\nStrictHostKeyChecking no\nLogLevel \
                 ERROR\n\n",
                self.path(key).display(),
                self.path("known").display(),
                self.path(folder).display(),
            )
        };
        [
            host("a", "198.18.0.2", "key", "a", 22),
            host("b", "198.18.0.3", "key", "b", 22),
            host("full", "198.18.0.2", "key", "full", 22),
            host("stranger", "198.18.0.2", "other-key", "a", 22),
            host("closed", "198.18.0.2", "key", "a", 23),
            host("nowhere", "nowhere.invalid", "key", "a", 22),
        ]
        .concat()
    }

    /// kaput on the laptop, with what the environment of these tests names.
    pub(crate) fn kaput(&self, arguments: &[&str]) -> Command {
        let mut command = inside(&self.namespace("laptop"), env!("CARGO_BIN_EXE_kaput"));
        command.args(arguments).env("KAPUT_SSH_CONFIG", self.ssh_config()).env("NO_COLOR", "1");
        command.env("KAPUT_STATE", self.path("state"));
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        Said::of(&self.kaput(arguments).output().expect("kaput can be started"))
    }

    /// How long ssh alone takes to log in.
    pub(crate) fn login(&self) -> Duration {
        let begin = Instant::now();
        let mut ssh = inside(&self.namespace("laptop"), "ssh");
        _ = ssh.arg("-F").arg(self.ssh_config()).args(["a", "true"]).output();
        begin.elapsed()
    }

    /// What is in the temporary folders of the hosts.
    pub(crate) fn left_behind(&self) -> Vec<PathBuf> {
        let entries =
            |host: &str| fs::read_dir(self.path(host)).into_iter().flatten().flatten().map(|entry| entry.path());
        ["a", "b", "full"].into_iter().flat_map(entries).collect()
    }

    /// Waits until nothing is left on the hosts: no file, and no program but sshd's.
    pub(crate) fn cleared(&self, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        loop {
            let files = self.left_behind();
            let programs: Vec<u32> = HOSTS.iter().flat_map(|(host, _)| self.programs(host)).collect();
            let programs: Vec<u32> = programs.into_iter().filter(|pid| !is_sshd(*pid)).collect();
            if files.is_empty() && programs.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let line = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let lines: Vec<String> =
                    programs.iter().map(|pid| String::from_utf8_lossy(&line(pid)).replace('\0', " ")).collect();
                return Err(format!("left behind: files {files:?}, programs {programs:?} {lines:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What runs on a host besides the sshd that listens.
    pub(crate) fn programs(&self, host: &str) -> Vec<u32> {
        let output = Command::new("ip").args(["netns", "pids", &self.namespace(host)]).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let libvirts = self.libvirts.lock().expect("unpoisoned");
        let daemons = self.daemons.lock().expect("unpoisoned");
        let daemons: Vec<u32> = daemons.iter().chain(libvirts.values()).map(Daemon::id).collect();
        text.lines().filter_map(|line| line.parse().ok()).filter(|pid| !daemons.contains(pid)).collect()
    }

    /// Changes where a host sends what is for an address.
    pub(crate) fn route(&self, host: &str, verb: &str, route: &str) {
        let namespace = self.namespace(host);
        let words = ["-n", &namespace, "route", verb].into_iter().chain(route.split(' '));
        run(Command::new("ip").args(words)).expect("a route");
    }

    /// Whether a guest is or was to be on a host.
    pub(crate) fn has_qemu(&self, host: &str) -> bool {
        self.programs(host).into_iter().any(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("s390-ccw-virtio")
        })
    }

    /// Cuts or fixes the cable of a host.
    pub(crate) fn cable(&self, host: &str, up: bool) {
        let state = if up { "up" } else { "down" };
        let line = ["-n", &self.namespace("laptop"), "link", "set", "dev", host, state];
        run(Command::new("ip").args(line)).expect("the link is there");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.daemons.get_mut().expect("unpoisoned").clear();
        self.libvirts.get_mut().expect("unpoisoned").clear();
        for host in ["a", "b", "laptop"] {
            _ = Command::new("ip").args(["netns", "del", &self.namespace(host)]).output();
        }
        _ = Command::new("umount").arg(self.path("full")).output();
    }
}

/// What a program said and how it ended.
pub(crate) struct Said {
    pub(crate) status: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn of(output: &Output) -> Self {
        // Whatever the width of the terminal: a line that was broken reads as one.
        let words = |text: &[u8]| {
            String::from_utf8_lossy(text).replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        Self { status: output.status.code(), out, err: words(&output.stderr) }
    }
}

/// Sends a signal; a process that is gone already needs none.
pub(crate) fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        _ = kill_process(pid, signal);
    }
}

fn this_program() -> String {
    std::env::current_exe().unwrap_or_default().display().to_string()
}

/// One for a connection that was cut waits for the kernel to give it up. Newer ones call it `sshd-session`.
fn is_sshd(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim().starts_with("sshd"))
}

/// A program in a namespace.
fn inside(namespace: &str, program: &str) -> Command {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, program]);
    command
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(said.trim().to_owned()) }
}
