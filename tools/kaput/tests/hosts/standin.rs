// SPDX-License-Identifier: MIT OR Apache-2.0
//! A host's driver as a program: the model of it behind a folder that looks like sysfs. Reading is reading files; a
//! write goes over a socket to the model, with its errors, and the files follow before it is answered.
//!
//! What the model logs is in the host's kernel log, a file in the form of `/dev/kmsg`. It stands here and not in the
//! QEMUs because a real host's driver outlives them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ap_arch::{Apqn, Mask256};
use serde_json::Value;
use vfio_ap::control::{Hex64, HexBytes, LogReply, QueueName, Reply, Request, RequestFrame};
use vfio_ap::{Host, HostConfig, MdevConfig};
use vfio_mig::{DeviceState, LogLevel};

const TOPOLOGY: &str = "04=cex8c,05=cex8a,06=cex8c/33,3a/33,3a,44";
/// A mediated device that is there from the start, and which a guest has.
pub(crate) const TAKEN: &str = "11111111-2222-4333-8444-555555555555";
/// Adapters of the host's own drivers that are not in use: what a run may take.
const OFFLINE: [u8; 2] = [5, 6];

/// One host.
pub(crate) struct StandIn {
    root: PathBuf,
    state: Arc<Mutex<Arc<Host>>>,
    /// Whether it refuses every write, as to a user who may not.
    closed: Arc<AtomicBool>,
    /// How often somebody wrote.
    writes: Arc<AtomicUsize>,
}

impl StandIn {
    /// Starts it, with masks in use or not.
    pub(crate) fn start(root: &Path) -> Result<Self, String> {
        let host = fresh(true, TOPOLOGY)?;
        fs::create_dir_all(root.join("sys/bus/ap")).map_err(|error| error.to_string())?;
        fs::create_dir_all(root.join("dev")).map_err(|error| error.to_string())?;
        fs::write(root.join("dev/kvm"), "").map_err(|error| error.to_string())?;
        fs::write(kernel_log(root), "6,1,0,-;Linux version 6.18.0\n SUBSYSTEM=none\n")
            .map_err(|error| error.to_string())?;
        follow(root, &host)?;
        let listener = UnixListener::bind(root.with_extension("socket")).map_err(|error| error.to_string())?;
        let state = Arc::new(Mutex::new(host));
        let closed = Arc::new(AtomicBool::new(false));
        let writes = Arc::new(AtomicUsize::new(0));
        let (served, refuses, folder) = (Arc::clone(&state), Arc::clone(&closed), root.to_owned());
        let counted = Arc::clone(&writes);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let host = Arc::clone(&served.lock().expect("unpoisoned"));
                counted.fetch_add(1, Ordering::Relaxed);
                _ = serve(&stream, &folder, &host, refuses.load(Ordering::Relaxed));
            }
        });
        Ok(Self { root: root.to_owned(), state, closed, writes })
    }

    /// Makes it another one, on which queues are reserved by masks or by overrides.
    pub(crate) fn renew(&self, by_masks: bool) -> Result<(), String> {
        self.replace(fresh(by_masks, TOPOLOGY)?)
    }

    /// Makes it another one, with other cards.
    pub(crate) fn renew_with(&self, topology: &str) -> Result<(), String> {
        self.replace(fresh(true, topology)?)
    }

    fn replace(&self, host: Arc<Host>) -> Result<(), String> {
        follow(&self.root, &host)?;
        *self.state.lock().expect("unpoisoned") = host;
        Ok(())
    }

    /// Whether every write is refused from now on.
    pub(crate) fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::Relaxed);
    }

    /// How often the host's shell has written to it.
    pub(crate) fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    /// What an administrator does.
    pub(crate) fn admin(&self, path: &str, value: &str) -> Result<(), String> {
        let host = Arc::clone(&self.state.lock().expect("unpoisoned"));
        host.sysfs_write(path, &format!("{value}\n")).map_err(|error| format!("{error:?}"))?;
        follow(&self.root, &host)
    }

    /// Every file there is, with its content.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, Option<String>> {
        let mut files = BTreeMap::new();
        walk(&self.root, &mut files);
        files
    }
}

fn fresh(by_masks: bool, topology: &str) -> Result<Arc<Host>, String> {
    let all = Mask256::FULL;
    let taken = MdevConfig {
        uuid: TAKEN.to_owned(),
        adapters: if by_masks { [4].into_iter().collect() } else { Mask256::EMPTY },
        domains: [0x33].into_iter().collect(),
        open: true,
        ..MdevConfig::default()
    };
    let config = HostConfig {
        name: "stand-in".to_owned(),
        topology: topology.parse().map_err(|error| format!("{error}"))?,
        mdev: MdevConfig { uuid: "unused".to_owned(), ..MdevConfig::default() },
        others: vec![taken],
        default_adapters: if by_masks { all.difference([4].into_iter().collect()) } else { all },
        default_domains: all,
        ..HostConfig::default()
    };
    let host = Host::new(config).map_err(|error| error.to_string())?;
    for queue in host.sysfs_list("/sys/bus/ap/drivers/cex4queue").unwrap_or_default() {
        if queue.parse::<Apqn>().is_ok_and(|apqn| OFFLINE.contains(&apqn.apid.0)) {
            host.sysfs_write(&format!("/sys/bus/ap/devices/{queue}/online"), "0")
                .map_err(|error| format!("{error:?}"))?;
        }
    }
    Ok(host)
}

fn serve(mut stream: &UnixStream, root: &Path, host: &Host, refuses: bool) -> Result<(), String> {
    let mut request = String::new();
    BufReader::new(stream).read_line(&mut request).map_err(|error| error.to_string())?;
    let (path, value) = request.trim_end_matches('\n').split_once(' ').unwrap_or((&request, ""));
    if refuses {
        return stream.write_all(b"Permission denied\n").map_err(|error| error.to_string());
    }
    let before = log_of(host, 0)?.next;
    let done = match path {
        "/sys/resume" => refuse(root, host, value.trim_end_matches(".json")),
        // What came is a line, and as one it is written: a write of no bytes would be none.
        _ => host.sysfs_write(path, &format!("{value}\n")).map_err(|error| format!("{error:?}")),
    };
    let answer = done.and_then(|()| follow(root, host)).map_or_else(|error| error, |()| "ok".to_owned());
    print_log(root, &log_of(host, before)?)?;
    stream.write_all(format!("{answer}\n").as_bytes()).map_err(|error| error.to_string())
}

/// Where a host's kernel logs.
pub(crate) fn kernel_log(root: &Path) -> PathBuf {
    root.join("dev/kmsg")
}

fn ask(host: &Host, request: Request) -> Result<Value, String> {
    let reply: Reply = serde_json::from_str(&host.control_line(&RequestFrame::new(request, 1).to_line()))
        .map_err(|error| error.to_string())?;
    reply.into_result().map_err(|error| format!("{}: {}", error.class, error.desc))
}

fn log_of(host: &Host, since: u64) -> Result<LogReply, String> {
    let mut reply = LogReply { lines: Vec::new(), next: since, lost: 0 };
    loop {
        let more: LogReply = serde_json::from_value(ask(host, Request::QueryLog { since: reply.next })?)
            .map_err(|error| error.to_string())?;
        if more.lines.is_empty() {
            return Ok(reply);
        }
        reply.lines.extend(more.lines);
        reply.next = more.next;
    }
}

/// The driver's lines as the kernel keeps them; those for debugging it does not.
fn print_log(root: &Path, log: &LogReply) -> Result<(), String> {
    let path = kernel_log(root);
    // Where there is none, nobody may read it.
    let Ok(mut text) = fs::read_to_string(&path) else { return Ok(()) };
    let mut number = text.lines().count();
    for line in &log.lines {
        let level = match line.level {
            LogLevel::Error => 3,
            LogLevel::Warning => 4,
            LogLevel::Info => 6,
            LogLevel::Debug => continue,
        };
        number += 1;
        text += &format!("{level},{number},0,-;{}\n", line.text);
    }
    fs::write(&path, text).map_err(|error| error.to_string())
}

/// A guest comes to a device, and its first queue is an older card by then, or with the defect that the file beside the
/// folder names one that differs in a bit without a meaning: the model refuses, and logs why.
fn refuse(root: &Path, host: &Host, mdev: &str) -> Result<(), String> {
    let [adapters, domains, control_domains] = matrix(host, mdev);
    let coming = MdevConfig { uuid: mdev.to_owned(), adapters, domains, control_domains, open: true };
    let topology = TOPOLOGY.parse().map_err(|error| format!("{error}"))?;
    let config = HostConfig { name: "source".to_owned(), topology, mdev: coming, ..HostConfig::default() };
    let source = Host::new(config).map_err(|error| error.to_string())?;
    let named = Some(mdev.to_owned());
    let state = |host: &Host, state| {
        let reply = ask(host, Request::MigrationSetState { state, mdev: named.clone() })?;
        serde_json::from_value(reply["stream"].clone()).map_err(|error| error.to_string())
    };
    state_without_stream(&source, DeviceState::STOP)?;
    let from = state(&source, DeviceState::STOP_COPY)?;
    let read = Request::MigrationRead { stream: from, length: 1 << 20, offset: None, fault_at: None };
    let data: HexBytes =
        serde_json::from_value(ask(&source, read)?["data"].clone()).map_err(|error| error.to_string())?;

    let first = Apqn::new(adapters.iter().next().unwrap_or(0), domains.iter().next().unwrap_or(0));
    let defect = fs::read_to_string(root.with_extension("refuses")).map_err(|error| error.to_string())?;
    if !defect.is_empty() {
        ask(host, Request::DefectSet { name: defect.clone(), on: true })?;
    }
    let older = Some(Hex64(if defect.is_empty() { 0x6b80_0000_0dff_0007 } else { 0x6b90_0000_0eff_0007 }));
    let queue = QueueName(first);
    ask(host, Request::QueueAnswer { queue, response: Some(0), asynchronous: false, hw_info: older })?;
    ask(host, Request::DeviceOpen { mdev: named.clone(), guest: None })?;
    let to = state(host, DeviceState::RESUMING)?;
    let written = ask(host, Request::MigrationWrite { stream: to, data, offset: None, fault_at: None });
    ask(host, Request::DeviceReset { mdev: named.clone() })?;
    ask(host, Request::DeviceClose { mdev: named.clone() })?;
    let queue = QueueName(first);
    ask(host, Request::QueueAnswer { queue, response: None, asynchronous: false, hw_info: None })?;
    if written.is_ok() { Err("the model took an older card".to_owned()) } else { Ok(()) }
}

fn state_without_stream(host: &Host, state: DeviceState) -> Result<(), String> {
    ask(host, Request::MigrationSetState { state, mdev: None }).map(|_| ())
}

/// What the host's shell calls to write a file: `store PATH`, the value on standard input.
pub(crate) fn store(path: &str) -> Result<(), String> {
    let (root, inside) = path.split_once("/sys/").ok_or("no path in a sysfs")?;
    let mut value = String::new();
    std::io::stdin().read_to_string(&mut value).map_err(|error| error.to_string())?;
    let mut stream = UnixStream::connect(format!("{root}.socket")).map_err(|error| error.to_string())?;
    let request = format!("/sys/{inside} {}\n", value.trim_end_matches('\n'));
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).map_err(|error| error.to_string())?;
    if answer == "ok\n" { Ok(()) } else { Err(answer) }
}

/// Makes the files what the model says. The folder of the bus stays the same one: it is locked.
fn follow(root: &Path, host: &Host) -> Result<(), String> {
    let wanted = surface(root, host);
    let mut present = BTreeMap::new();
    walk(root, &mut present);
    for (path, content) in present.iter().rev().filter(|(path, _)| !wanted.contains_key(*path)) {
        let removed = if content.is_none() { fs::remove_dir(path) } else { fs::remove_file(path) };
        removed.map_err(|error| error.to_string())?;
    }
    for (path, content) in wanted.iter().filter(|(path, content)| present.get(*path) != Some(*content)) {
        let made = match content {
            None => fs::create_dir_all(path),
            Some(text) if text.starts_with(LINK) => {
                _ = fs::remove_file(path);
                std::os::unix::fs::symlink(text.trim_start_matches(LINK), path)
            }
            Some(text) => fs::write(path, text),
        };
        made.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    describe(root, host)
}

/// Writes for each mediated device what the emulation of a guest that has it is to be given.
fn describe(root: &Path, host: &Host) -> Result<(), String> {
    let folder = configurations(root);
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    for uuid in host.sysfs_list("/sys/devices/vfio_ap/matrix").unwrap_or_default() {
        let [adapters, domains, control_domains] = matrix(host, &uuid);
        let mdev = MdevConfig { uuid: uuid.clone(), adapters, domains, control_domains, open: false };
        let topology = TOPOLOGY.parse().map_err(|error| format!("{error}"))?;
        let config = HostConfig { name: "stand-in".to_owned(), topology, mdev, ..HostConfig::default() };
        let text = serde_json::to_string(&config).map_err(|error| error.to_string())?;
        fs::write(folder.join(format!("{uuid}.json")), text).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Where the descriptions are, beside the folder that looks like a host's.
pub(crate) fn configurations(root: &Path) -> PathBuf {
    root.with_extension("configurations")
}

/// What is assigned to a mediated device: adapters, domains, control domains.
fn matrix(host: &Host, mdev: &str) -> [Mask256; 3] {
    let text = host.sysfs_read(&format!("/sys/devices/vfio_ap/matrix/{mdev}/ap_config")).unwrap_or_default();
    let mut masks = text.trim().split(',').map(bits);
    [(); 3].map(|()| masks.next().unwrap_or(Mask256::EMPTY))
}

fn bits(mask: &str) -> Mask256 {
    let digits = mask.trim_start_matches("0x").chars().filter_map(|digit| digit.to_digit(16));
    let each = (0..=63)
        .zip(digits)
        .flat_map(|(index, digit)| (0..4).filter(move |bit| digit & (8 >> bit) != 0).map(move |bit| index * 4 + bit));
    each.collect()
}

/// What the content of a link begins with; its target follows.
const LINK: &str = "link to ";

/// Files with their content, and folders.
fn surface(root: &Path, host: &Host) -> BTreeMap<PathBuf, Option<String>> {
    let mut files: BTreeMap<PathBuf, Option<String>> = BTreeMap::new();
    let mut add = |path: &str, text: String| {
        let full = root.join(path);
        let folders = full.ancestors().skip(1).take_while(|folder| *folder != root);
        files.extend(folders.map(|folder| (folder.to_owned(), None)).collect::<Vec<_>>());
        files.insert(full, Some(text));
    };
    add("proc/sys/kernel/osrelease", "6.18.0\n".to_owned());
    add("proc/cpuinfo", "facilities      : 0 1 2 12 15 65\n".to_owned());
    let list = |folder: &str| host.sysfs_list(folder).unwrap_or_default();
    let mut copy = |path: String| {
        if let Ok(text) = host.sysfs_read(&path) {
            add(path.trim_start_matches('/'), text);
        }
    };
    let (ap, matrix) = ("/sys/bus/ap", "/sys/devices/vfio_ap/matrix");
    for name in preflight::collect::BUS {
        copy(format!("{ap}/{name}"));
    }
    for device in list(&format!("{ap}/devices")) {
        for name in ["hwtype", "ap_functions", "config", "chkstop", "driver_override", "online", "status"] {
            copy(format!("{ap}/devices/{device}/{name}"));
        }
    }
    copy(format!("{matrix}/features"));
    for mdev in list(matrix) {
        for name in preflight::collect::MDEV {
            copy(format!("{matrix}/{mdev}/{name}"));
        }
    }
    for driver in list(&format!("{ap}/drivers")) {
        for queue in list(&format!("{ap}/drivers/{driver}")) {
            add(&format!("sys/bus/ap/drivers/{driver}/{queue}"), String::new());
            add(&format!("sys/bus/ap/devices/{queue}/driver"), format!("{LINK}../../drivers/{driver}"));
        }
    }
    files
}

fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, Option<String>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        // What the kernel logs is nobody's setting.
        if path.ends_with("dev") {
            continue;
        }
        let target = fs::read_link(&path).ok().map(|target| format!("{LINK}{}", target.display()));
        let is_folder = target.is_none() && path.is_dir();
        let content = || target.unwrap_or_else(|| fs::read_to_string(&path).unwrap_or_default());
        files.insert(path.clone(), (!is_folder).then(content));
        if is_folder {
            walk(&path, files);
        }
    }
}
