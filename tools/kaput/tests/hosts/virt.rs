// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs by libvirt, one daemon on each host: the verdicts, what libvirt says where it cannot, and that no domain stays.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Failed, Trial};
use rustix::process::Signal;
use serde_json::Value;

use crate::Step;
use crate::bed::{Bed, Said, kill};
use crate::needs;

pub(crate) const STEPS: &[(&str, Step)] = &[
    ("each_host_has_a_libvirt_of_its_own", own),
    ("what_is_written_where_a_libvirt_keeps_things_is_the_hosts_own", private),
    ("a_libvirt_that_cannot_start_is_told_with_its_last_lines", cannot_start),
    ("scenarios_have_the_verdicts_by_libvirt_that_they_have_without", verdicts),
    ("what_libvirt_cannot_do_is_told_before_anything_is_connected", unfit),
    ("a_host_without_its_libvirt_is_named_with_the_fix", no_daemon),
    ("a_guest_that_libvirt_does_not_take_is_told_in_its_words_and_nothing_stays", not_taken),
    ("a_libvirt_that_ends_in_the_middle_ends_the_run_as_such", ends),
    ("whoever_is_killed_leaves_no_domain", killed),
    ("restore_ends_a_domain_that_nobody_could_end", restored),
];

const THERE: [&str; 6] = ["--source", "ssh:a", "--destination", "ssh:b", "--engine", "libvirt"];

/// Those that migrate and can do so by libvirt in little time, and one that stays.
const SCENARIOS: [&str; 5] = ["survive", "lost-registration", "every-queue", "strict", "outside"];

/// A daemon asks its QEMU to end, and waits for that.
const SOON: Duration = Duration::from_secs(30);

/// There and back, on two CPUs: a domain comes to a host that had it before.
const BACK: &str = r#"
summary = "The guest goes there and back"
[guest]
suites = ["presence", "migration-apcb", "migration-rsa"]
cpus = 2
[hosts.A]
topology = "05=cex8a/33"
mdev = { adapters = ["05"], domains = ["33"] }
[hosts.B]
topology = "05=cex8a/33"
[[migrations]]
to = ["B", "A"]
[expect]
result = "pass"
"#;

/// libvirt's own grammar takes what the golden files say, which is what is written.
pub(crate) fn schema() -> Trial {
    let schema = Path::new("/usr/share/libvirt/schemas/domain.rng");
    let missing = needs::no_schema(schema);
    if let Some(reason) = &missing {
        println!("SKIP validators: {reason}");
    }
    let says = move |xml: &str| -> Result<(bool, String), String> {
        let file = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        std::fs::write(file.path(), xml).map_err(|error| error.to_string())?;
        let output = Command::new("xmllint").args(["--noout", "--relaxng"]).args([schema, file.path()]).output();
        let output = output.map_err(|error| error.to_string())?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let run = move || -> Result<(), Failed> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/libvirt/snapshots");
        let mut number = 0;
        for file in std::fs::read_dir(folder)? {
            let text = std::fs::read_to_string(file?.path())?;
            let xml = text.find("<domain").map(|begin| &text[begin..]).ok_or("no domain in a golden file")?;
            let (valid, said) = says(xml)?;
            if !valid {
                return Err(format!("{said}{xml}").into());
            }
            if says(&xml.replace("type=\"sclp\"", "type=\"pigeon\""))?.0 {
                return Err("the schema refuses nothing".into());
            }
            number += 1;
        }
        if number < 2 { Err("golden files are missing".into()) } else { Ok(()) }
    };
    Trial::test("libvirts_schema_takes_a_guest_with_and_without_a_device", run)
        .with_kind("validators")
        .with_ignored_flag(missing.is_some())
}

fn run(bed: &Bed, more: &[&str]) -> Said {
    bed.run(&[&["run"], more, &THERE].concat())
}

/// The names of a host's domains.
fn domains(bed: &Bed, host: &str) -> Result<Vec<String>, String> {
    let listed = bed.on(host, &["virsh", "-q", "-c", "qemu:///system", "list", "--all", "--name"]).output();
    let listed = Said::of(&listed.map_err(|error| error.to_string())?);
    if listed.status != Some(0) {
        return Err(format!("domains on {host}: {}", listed.err));
    }
    Ok(listed.out.lines().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

/// Nothing on the hosts, in libvirt's eyes either.
pub(crate) fn clear(bed: &Bed) -> Result<(), String> {
    bed.cleared(SOON)?;
    for host in ["a", "b"] {
        let domains = domains(bed, host)?;
        if !domains.is_empty() {
            return Err(format!("domains on {host}: {domains:?}"));
        }
        let logs = bed.path(&format!("{host}-own/log/libvirt/qemu"));
        let logs: Vec<_> = std::fs::read_dir(logs).into_iter().flatten().flatten().collect();
        if !logs.is_empty() {
            return Err(format!("{logs:?}"));
        }
    }
    Ok(())
}

fn own(bed: &Bed) -> Result<(), String> {
    let mut seen = Vec::new();
    for host in ["a", "b"] {
        let told = bed.on(host, &["virsh", "-q", "-c", "qemu:///system", "capabilities"]).output();
        let told = Said::of(&told.map_err(|error| error.to_string())?);
        let uuid = told.out.split_once("<uuid>").and_then(|(_, rest)| rest.split_once("</uuid>"));
        seen.push(uuid.ok_or_else(|| format!("host {host} reports no UUID: {}", told.err))?.0.to_owned());
    }
    if seen[0] == seen[1] { Err(format!("both hosts are {}", seen[0])) } else { Ok(()) }
}

fn private(bed: &Bed) -> Result<(), String> {
    // The last does not exist on the system.
    let folders = ["/run", "/var/cache", "/var/log", "/var/lib/libvirt", "/etc/libvirt", "/var/opt/kaput-none"];
    let file = format!("kaput-{}", std::process::id());
    let script = "for folder; do echo x > $folder/$0 || exit; done; ls -d /etc/passwd /var/opt";
    let mut write = bed.on("a", &[&["sh", "-c", script, &file], &folders[..]].concat());
    let written = write.env("KAPUT_ALSO", "none=/var/opt/kaput-none").output();
    let written = written.map_err(|error| error.to_string())?;
    if !written.status.success() {
        return Err(String::from_utf8_lossy(&written.stderr).into_owned());
    }
    let seen = |path: &Path| path.join(&file).exists();
    if let Some(folder) = folders.into_iter().find(|folder| seen(Path::new(folder))) {
        return Err(format!("a host wrote to {folder} of the system"));
    }
    let own = ["run", "cache", "log", "lib", "etc", "none"].map(|name| bed.path(&format!("a-own/{name}")));
    let missing = own.iter().find(|folder| !seen(folder));
    own.iter().for_each(|folder| _ = std::fs::remove_file(folder.join(&file)));
    missing.map_or(Ok(()), |folder| Err(format!("nothing came to {}", folder.display())))
}

fn cannot_start(bed: &Bed) -> Result<(), String> {
    let file = bed.path("b-own/etc/qemu.conf");
    let text = std::fs::read_to_string(&file).map_err(|error| error.to_string())?;
    let wrong = text.replacen("\"root\"", "\"nobody-of-this-name\"", 1);
    std::fs::write(&file, wrong).map_err(|error| error.to_string())?;
    let told = bed.libvirt("b", true);
    std::fs::write(&file, text).map_err(|error| error.to_string())?;
    bed.libvirt("b", true)?;
    let told = told.err().ok_or("it started")?;
    let words = ["libvirtd of host b ended", "nobody-of-this-name"];
    if words.iter().all(|word| told.contains(word)) { Ok(()) } else { Err(told) }
}

fn verdicts(bed: &Bed) -> Result<(), String> {
    let back = bed.path("back.toml");
    std::fs::write(&back, BACK).map_err(|error| error.to_string())?;
    let back = back.display().to_string();
    let said = run(bed, &[&SCENARIOS[..], &[&back, "-j", "2", "--report", "json"]].concat());
    let reports: Vec<Value> = said.out.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let wrong = reports.iter().find(|report| report["verdict"]["kind"] != "as-expected");
    if let Some(report) = wrong {
        return Err(format!("{}: {}", report["scenario"], report["verdict"]));
    }
    let by_tcp = run(bed, &["survive", "--migrate-over", "tcp:198.18.0.3"]);
    if by_tcp.status != Some(0) {
        return Err(format!("by TCP: {}{}", by_tcp.out, by_tcp.err));
    }
    if reports.len() != SCENARIOS.len() + 1 || said.status != Some(0) {
        return Err(format!("{} scenarios: {}", reports.len(), said.err));
    }
    clear(bed)
}

fn tells(said: &Said, status: i32, words: &[&str]) -> Result<(), String> {
    let text = format!("{} {}", said.err, said.out);
    if said.status != Some(status) {
        return Err(format!("status {:?}: {text}", said.status));
    }
    match words.iter().find(|word| !text.contains(**word)) {
        Some(word) => Err(format!("no {word:?} in: {text}")),
        None => Ok(()),
    }
}

fn unfit(bed: &Bed) -> Result<(), String> {
    let refusal = "older-card: it expects a refusal";
    tells(&run(bed, &["older-card", "chunked"]), 2, &["libvirt cannot carry out", refusal, "handed over"])?;
    tells(&bed.run(&["run", "survive", "--engine", "libvirt"]), 2, &["two hosts are needed"])
}

fn no_daemon(bed: &Bed) -> Result<(), String> {
    bed.libvirt("b", false)?;
    let said = run(bed, &["survive"]);
    bed.libvirt("b", true)?;
    tells(
        &said,
        2,
        &["host ssh:b is not fit", "its libvirt does not answer", "Failed to connect socket", "start libvirtd"],
    )?;
    clear(bed)
}

fn not_taken(bed: &Bed) -> Result<(), String> {
    bed.drivers.iter().try_for_each(|driver| driver.renew(true))?;
    let before: Vec<_> = bed.drivers.iter().map(|driver| driver.files()).collect();
    // There is no KVM for it here, or else no such device: what looks like a driver is none of the kernel's.
    let said = run(bed, &["survive", "--assign", "05,06/33,3a/33,3a,44"]);
    tells(&said, 3, &["source-never-started", "host ssh:a could not create a domain: Failed to create"])?;
    let after: Vec<_> = bed.drivers.iter().map(|driver| driver.files()).collect();
    if before != after {
        return Err("the hosts are not what they were".to_owned());
    }
    clear(bed)
}

/// A run that goes on for long, once its guest comes to the other host.
fn on_its_way(bed: &Bed) -> Result<Child, String> {
    let mut command = bed.kaput(&[&["run", "ping-pong"], &THERE[..]].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| error.to_string())?;
    let deadline = Instant::now() + Duration::from_secs(60);
    while !bed.has_qemu("b") {
        if Instant::now() > deadline {
            _ = child.kill();
            return Err("the guest does not get to the other host".to_owned());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(child)
}

fn ends(bed: &Bed) -> Result<(), String> {
    let child = on_its_way(bed)?;
    bed.libvirt("b", false)?;
    let said = Said::of(&child.wait_with_output().map_err(|error| error.to_string())?);
    bed.cleared(SOON)?;
    bed.libvirt("b", true)?;
    tells(&said, 3, &["host ssh:b could not", "Failed to connect socket"])?;
    // A libvirt that comes back notes there what became of its QEMU.
    _ = std::fs::remove_dir_all(bed.path("b-own/log/libvirt/qemu"));
    clear(bed)
}

fn killed(bed: &Bed) -> Result<(), String> {
    for signal in [Signal::KILL, Signal::INT] {
        let child = on_its_way(bed)?;
        // The guest is wherever it is by then.
        std::thread::sleep(Duration::from_secs_f64(rand::random_range(0.0..3.0)));
        kill(child.id(), signal);
        let said = Said::of(&child.wait_with_output().map_err(|error| error.to_string())?);
        clear(bed).map_err(|error| format!("{signal:?}: {error}; {}", said.err))?;
    }
    Ok(())
}

/// Everything of kaput's is killed on both hosts at once, and a journal says that the run had a device.
fn restored(bed: &Bed) -> Result<(), String> {
    let mut child = on_its_way(bed)?;
    let is_qemu = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("s390-ccw-virtio") || line.ends_with("relay\0")
    };
    let programs = ["a", "b"].into_iter().flat_map(|host| bed.programs(host)).filter(|pid| !is_qemu(pid));
    programs.for_each(|pid| kill(pid, Signal::KILL));
    _ = child.kill();
    _ = child.wait();
    let name = domains(bed, "a")?.into_iter().chain(domains(bed, "b")?).next().ok_or("nothing is left")?;
    let mark = name.split('-').nth(1).ok_or("a name without a mark")?.to_owned();
    std::fs::create_dir_all(bed.path("state")).map_err(|error| error.to_string())?;
    for host in ["a", "b"] {
        let record = serde_json::json!({"uuid": format!("{mark}-2222-4333-8444-555555555555"), "changes": []});
        let journal = serde_json::json!({"version": 1, "pid": 1, "host": format!("ssh:{host}"), "ssh-config": null,
            "record": record});
        let path = bed.path(&format!("state/{host}.json"));
        std::fs::write(path, journal.to_string()).map_err(|error| error.to_string())?;
    }
    let said = bed.run(&["restore"]);
    tells(&said, 0, &["ssh:a is as it was", "ssh:b is as it was"])?;
    for file in bed.left_behind() {
        _ = std::fs::remove_dir_all(file);
    }
    for host in ["a", "b"] {
        _ = std::fs::remove_dir_all(bed.path(&format!("{host}-own/log/libvirt/qemu")));
    }
    clear(bed)
}
