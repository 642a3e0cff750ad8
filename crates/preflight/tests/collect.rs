// SPDX-License-Identifier: MIT OR Apache-2.0
//! The collector and its shell script say the same of the same folder, whatever is in its files; and neither changes
//! it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use preflight::{Attribute, Directory, Snapshot, collect};

fn put(root: &Path, file: &str, text: impl AsRef<[u8]>) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
}

/// A folder that looks like `/` of a host with two queues and a guest.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    put(root, "proc/sys/kernel/osrelease", "6.12.107+deb13-s390x\n");
    put(root, "proc/cpuinfo", "vendor_id       : IBM/S390\nfacilities      : 0 1 12 15 65\ncache0          : x\n");
    put(root, "sys/firmware/uv/prot_virt_guest", "0\n");
    put(
        root,
        "lib/modules/6.12.107+deb13-s390x/modules.dep",
        "kernel/drivers/s390/crypto/vfio_ap.ko.xz: kernel/a.ko\n",
    );
    put(root, "sys/bus/ap/apmask", format!("0x{}\n", "0".repeat(64)));
    put(root, "sys/bus/ap/features", "APSC APXA QACT RC8A \n");
    for card in ["05", "0a"] {
        put(root, &format!("sys/bus/ap/devices/card{card}/hwtype"), "14\n");
        put(root, &format!("sys/bus/ap/devices/card{card}/serialnr"), "  \"a\\b\"\n");
    }
    for queue in ["05.0033", "0a.003a"] {
        put(root, &format!("sys/bus/ap/devices/{queue}/config"), "1\n");
        put(root, &format!("sys/bus/ap/devices/{queue}/driver_override"), "(null)\n");
        put(root, &format!("sys/bus/ap/devices/{queue}/mkvps"), "AES CUR: - -\n\nAPKA CUR: valid 0x01\n");
        put(root, &format!("sys/bus/ap/devices/{queue}/status"), "in use\n");
    }
    put(root, "sys/bus/ap/devices/05.0033/chkstop", b"\x1b[31m0\xff\t\\\"\n");
    put(root, "sys/bus/ap/devices/05.0033/ap_functions", "no newline");
    put(root, "sys/bus/ap/drivers/vfio_ap/05.0033", "");
    put(root, "sys/bus/ap/drivers/vfio_ap/bind", "");
    put(root, "var/lib/kubelet/device-plugins/kubevirt-kvm.sock", "");
    put(root, "sys/bus/ap/drivers/cex4queue/uevent", "");
    let mdev = "sys/devices/vfio_ap/matrix/669d9b23-fe1b-4ecb-be08-a2fabca99b71";
    put(root, "sys/devices/vfio_ap/matrix/features", "guest_matrix hotplug ap_config migratable\n");
    put(root, "sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/name", "x\n");
    put(root, &format!("{mdev}/matrix"), "05.0033\n05.003a\n");
    put(root, &format!("{mdev}/guest_matrix"), "05.0033\n");
    put(root, &format!("{mdev}/control_domains"), "");
    fs::create_dir_all(root.join(mdev).join("ap_config")).expect("a folder where a file should be");
    put(root, "sys/devices/vfio_ap/matrix/empty/matrix", "");
    put(root, "sys/devices/vfio_ap/matrix/empty/guest_matrix", "");
    folder
}

fn by_script(root: &Path) -> Snapshot {
    let script = root.parent().expect("a folder").join(format!("{}.sh", root.file_name().unwrap().display()));
    fs::write(&script, collect::SCRIPT).expect("written");
    let output = Command::new("sh").arg(&script).arg(root).stdin(Stdio::null()).output().expect("a shell");
    fs::remove_file(&script).expect("removed");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    Snapshot::from_json(&String::from_utf8(output.stdout).expect("a text")).expect("a snapshot")
}

/// Every file with its content, to see that nothing is written.
fn content(root: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(content(&path));
        } else {
            all.push((path.clone(), fs::read(path).expect("readable")));
        }
    }
    all.sort();
    all
}

#[test]
fn the_script_and_the_program_take_the_same_snapshot_and_leave_all_as_it_was() {
    let folder = folder();
    let before = content(folder.path());
    let by_program = collect::collect(&Directory::new(folder.path()).expect("a root"));
    let by_script = by_script(folder.path());
    assert_eq!(content(folder.path()), before);
    assert_eq!(by_script.taken_by, "collect.sh");
    let text = |snapshot: &Snapshot| snapshot.to_json().expect("JSON").lines().map(str::to_owned).collect::<Vec<_>>();
    let by_script = text(&Snapshot { taken_by: "kaput".to_owned(), ..by_script });
    for (script, program) in by_script.iter().zip(&text(&by_program)) {
        assert_eq!(script, program);
    }
    assert_eq!(by_script.len(), text(&by_program).len());
    insta::assert_snapshot!(by_program.to_json().expect("JSON"));
}

#[test]
fn links_that_lead_nowhere_are_queues_without_files_for_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let link = |path: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::os::unix::fs::symlink("../../../devices/ap/gone", path).expect("a link");
    };
    link("sys/bus/ap/devices/card05");
    link("sys/bus/ap/devices/05.0033");
    link("sys/bus/ap/drivers/vfio_ap/05.0033");
    let by_program = collect::collect(&Directory::new(folder.path()).expect("a root"));
    let by_script = by_script(folder.path());
    assert_eq!(Snapshot { taken_by: "kaput".to_owned(), ..by_script }, by_program);
    assert_eq!((by_program.queues.entries().count(), by_program.cards.entries().count()), (1, 1));
    assert_eq!(by_program.drivers.entries().map(|(_, queues)| queues.len()).sum::<usize>(), 1);
}

/// A container that a device plugin gave one queue: copies and constants instead of sysfs, and no vfio_ap.
#[test]
fn a_container_with_one_queue_is_a_host_without_guests_for_both() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let (card, queue) = ("sys/devices/ap/card09", "sys/devices/ap/card09/09.0033");
    put(root, "proc/sys/kernel/osrelease", "6.4.0\n");
    put(root, "proc/cpuinfo", "facilities      : 0 1 2 12 15 65\n");
    for (file, text) in
        [("hwtype", "12"), ("raw_hwtype", "12"), ("ap_functions", "0x92800000"), ("serialnr", "KPTEST01")]
    {
        put(root, &format!("{card}/{file}"), format!("{text}\n"));
    }
    put(root, &format!("{queue}/online"), "1\n");
    put(root, "sys/bus/ap/ap_max_domain_id", "84\n");
    for (link, target) in [("devices/card09", card), ("devices/09.0033", queue), ("drivers/cex4queue/09.0033", queue)] {
        let up = "../".repeat(link.split('/').count() + 2);
        let link = root.join("sys/bus/ap").join(link);
        fs::create_dir_all(link.parent().expect("a folder")).expect("made");
        std::os::unix::fs::symlink(format!("{up}{target}"), link).expect("a link");
    }
    let by_program = collect::collect(&Directory::new(root).expect("a root"));
    assert_eq!(Snapshot { taken_by: "kaput".to_owned(), ..by_script(root) }, by_program);
    let host = preflight::Host::new(&by_program).expect("a host");
    assert_eq!(host.driver("09.0033".parse().expect("a queue")), Ok(Some("cex4queue")));
    assert!(host.mdevs.as_ref().is_ok_and(std::collections::BTreeMap::is_empty), "{:?}", host.mdevs);
}

/// A stand-in answers as QEMU 11.1.3 does, but with a state.
#[test]
fn of_a_host_itself_qemu_is_asked_what_its_device_can() {
    let folder = tempfile::tempdir().expect("a folder");
    let qemu = "#!/bin/sh\ncase $* in\n\
                -version) printf 'QEMU emulator version 11.1.3 (x=1)\\nCopyright (c)\\n' ;;\n\
                '-device vfio-ap,help') printf 'vfio-ap options:\\n  fd=<string>\\n  sysfsdev=<str>  - Path\\n' ;;\n\
                *) printf '{\\n  \"a\": {\\n    \"Fields\": [\\n  },\\n'\n\
                printf '  \"vfio-ap\": {\\n    \"Fields\": [\\n  }\\n' ;;\n\
                esac\n";
    put(folder.path(), "qemu", qemu);
    // Another process writes it: what another thread starts could have a file that this one writes open still.
    let mut install = Command::new("install");
    let installed = install.args(["-m755", "qemu", "qemu-system-s390x"]).current_dir(folder.path()).status();
    assert!(installed.expect("install").success());
    let path = std::env::var("PATH").expect("a path");
    let shell = |script: &str| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).env("PATH", format!("{}:{path}", folder.path().display()));
        String::from_utf8(shell.output().expect("a shell").stdout).expect("a text")
    };
    let answer = "QEMU emulator version 11.1.3 (x=1)\noption fd\noption sysfsdev\nstate";
    assert_eq!(shell(collect::QEMU_SCRIPT).trim_end(), answer);
    let snapshot = Snapshot::from_json(&shell(collect::SCRIPT)).expect("a snapshot");
    assert_eq!(snapshot.host.get(collect::QEMU), Some(&Attribute::Text(answer.to_owned())));
}

#[test]
fn a_snapshot_is_read_back_as_it_was_taken() {
    let folder = folder();
    let snapshot = collect::collect(&Directory::new(folder.path()).expect("a root"));
    assert_eq!(Snapshot::from_json(&snapshot.to_json().expect("JSON")).expect("a snapshot"), snapshot);
}

#[test]
fn the_script_is_one_page_and_writes_nowhere() {
    let lines: Vec<&str> = collect::SCRIPT.lines().collect();
    assert!(lines.len() < 125, "{} lines", lines.len());
    for line in lines {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once('>') {
            let target = after.trim_start_matches('>').trim_start();
            let harmless = ["&2", "&1", "/dev/null", "host.json"].iter().any(|ok| target.starts_with(ok));
            assert!(harmless, "writes: {line}");
            rest = after;
        }
    }
}

#[test]
fn a_folder_without_sysfs_is_refused_by_the_script_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut shell = Command::new("sh");
    let output = shell.args(["-c", collect::SCRIPT, "collect.sh"]).arg(folder.path()).output().expect("a shell");
    assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(2), true));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no sysfs at"));
}
