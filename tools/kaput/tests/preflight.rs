// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput collect` and `kaput preflight` as a user meets them: exit status, forms, errors that name file and place, and
//! snapshots by somebody who means ill.

#[path = "preflight/fleet.rs"]
mod fleet;
#[path = "support/program.rs"]
mod program;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UUID: &str = "669d9b23-fe1b-4ecb-be08-a2fabca99b71";
const MIGRATABLE: &str = "guest_matrix hotplug ap_config migratable\n";

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// A folder with two equal hosts, `a` with a guest, both with a CEX8 accelerator 05 and domain 0033.
    fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().expect("a folder") };
        place.host("a", "05.0033\n", "14\n");
        place.host("b", "", "14\n");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.made(name), text).expect("written");
    }

    /// A path whose folder is there.
    fn made(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        path
    }

    fn host(&self, name: &str, queues: &str, ap_type: &str) {
        let zero = format!("0x{}\n", "0".repeat(64));
        for (file, text) in [
            ("proc/sys/kernel/osrelease", "6.18.0\n"),
            ("sys/firmware/uv/prot_virt_guest", "0\n"),
            ("sys/bus/ap/apmask", &zero),
            ("sys/bus/ap/aqmask", &zero),
            ("sys/bus/ap/ap_control_domain_mask", &zero),
            ("sys/bus/ap/ap_max_adapter_id", "255\n"),
            ("sys/bus/ap/ap_max_domain_id", "255\n"),
            ("sys/bus/ap/drivers/vfio_ap/05.0033", ""),
            ("sys/bus/ap/devices/card05/hwtype", ap_type),
            ("sys/bus/ap/devices/card05/ap_functions", "0x6A800000\n"),
            ("sys/bus/ap/devices/05.0033/ap_functions", "0x6A800000\n"),
            ("sys/bus/ap/devices/05.0033/config", "1\n"),
            ("sys/bus/ap/devices/05.0033/chkstop", "0\n"),
            ("sys/bus/ap/devices/05.0033/driver_override", "(null)\n"),
            ("sys/devices/vfio_ap/matrix/features", MIGRATABLE),
        ] {
            self.put(&format!("{name}/{file}"), text);
        }
        for file in ["matrix", "guest_matrix"] {
            self.put(&format!("{name}/sys/devices/vfio_ap/matrix/{UUID}/{file}"), queues);
        }
        self.put(&format!("{name}/sys/devices/vfio_ap/matrix/{UUID}/control_domains"), "");
    }

    /// kaput in this folder; `ssh` is the script of that name in it, if there is one.
    fn command(&self, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kaput"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("KAPUT_SSH_CONFIG");
        command.env("PATH", format!("{}:{path}", self.path("bin").display())).env("NO_COLOR", "1");
        command
    }

    fn kaput(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("kaput can be started")
    }

    fn says(&self, arguments: &[&str], status: i32, words: &[&str]) -> String {
        let output = self.kaput(arguments);
        let said = [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        let one_line = said.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ");
        for word in words {
            assert!(one_line.contains(word), "{arguments:?} does not say {word:?}: {said}");
        }
        said
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("a file");
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).expect("written");
}

#[test]
fn equal_hosts_are_a_yes_in_every_form() {
    let place = Place::new();
    place.says(&["preflight", "a", "b"], 0, &["a -> b: YES", "queues: 1 yes, 0 no, 0 unknown"]);
    place.says(
        &["preflight", "a", "b", "--report", "tap"],
        0,
        &["TAP version 13 1..2 ok 1 - hosts ok 2 - queue 05.0033"],
    );
    let json: serde_json::Value =
        serde_json::from_str(&place.says(&["preflight", "a/sys", "b", "--report", "json"], 0, &[])).expect("JSON");
    let queue = &json["queues"]["05.0033"];
    assert_eq!((&json["version"], &json["verdict"], &queue["verdict"]), (&2.into(), &"yes".into(), &"yes".into()));
    assert_eq!((&queue["apid"], &queue["apqi"]), (&"05".into(), &"0033".into()));
    let seen = &queue["destination"];
    assert_eq!((&seen["type"], &seen["generation"]), (&"accel".into(), &"CEX8".into()));
    assert_eq!((&seen["queue_status"], &seen["mkvp_state"]), (&"bound-vfio".into(), &"unknown".into()));
    place.says(&["preflight", "a", "b", "--matrix"], 0, &["05 CEX8A G", "05 CEX8A Y"]);
}

#[test]
fn a_mismatch_names_queue_rule_both_values_and_the_fix_on_one_screen() {
    let place = Place::new();
    place.host("b", "", "13\n");
    let wants = [
        "NO ap-type: queue 05.0033",
        "source 0e (CEX8)",
        "destination 0d (CEX7)",
        "AP type of source (0e)",
        "fix",
        "EFAULT",
    ];
    let said = place.says(&["preflight", "a", "b"], 1, &wants);
    assert!(said.lines().count() <= 24 && said.lines().all(|line| line.chars().count() <= 132), "{said}");
    place.says(
        &["preflight", "a", "b", "--report", "tap"],
        1,
        &["not ok 2 - queue 05.0033", "ap-type: {", "\"verdict\":\"no\""],
    );
    place.says(&["preflight", "a", "b", "--report", "json"], 1, &["\"errno\":\"EFAULT\""]);
}

#[test]
fn a_missing_input_is_unknown_and_exit_status_3() {
    let place = Place::new();
    fs::remove_file(place.path("b/sys/bus/ap/devices/card05/hwtype")).expect("removed");
    place.says(&["preflight", "a", "b"], 3, &["UNKNOWN", "ap-type", "not known: hwtype: no such file"]);
    place.says(&["preflight", "a", "b", "--report", "tap"], 3, &["not ok 2", "\"verdict\":\"unknown\""]);
}

#[test]
fn the_fix_is_printed_and_nothing_is_run() {
    let place = Place::new();
    fs::remove_file(place.path("b/sys/bus/ap/drivers/vfio_ap/05.0033")).expect("removed");
    place.put("b/sys/bus/ap/drivers_probe", "");
    place.says(&["preflight", "a", "b", "--fix"], 1, &["#!/bin/sh", "put 05.0033 /sys/bus/ap/drivers_probe"]);
    assert_eq!(fs::read_to_string(place.path("b/sys/bus/ap/drivers_probe")).expect("readable"), "");
}

#[test]
fn a_snapshot_says_what_its_folder_says() {
    let place = Place::new();
    place.says(&["collect", "a", "-o", "a.json"], 0, &[]);
    place.says(&["collect", "b", "-o", "b.json"], 0, &[]);
    place.says(&["preflight", "a.json", "b.json"], 0, &["YES"]);
    let script = place.says(&["collect", "--script"], 0, &[]);
    place.put("collect.sh", &script);
    let taken = Command::new("sh").arg(place.path("collect.sh")).arg(place.path("b")).output().expect("a shell");
    place.put("by-script.json", &String::from_utf8(taken.stdout).expect("a text"));
    place.says(&["preflight", "a.json", "by-script.json"], 0, &["YES"]);
}

fn domain(uuid: &str) -> String {
    let device = format!("<source><address uuid='{uuid}'/></source>");
    format!("<domain type='kvm'><hostdev mode='subsystem' type='mdev' model='vfio-ap'>{device}</hostdev></domain>")
}

#[test]
fn what_people_have_besides_snapshots_is_taken_for_what_is_in_it() {
    let place = Place::new();
    place.put("guest.xml", &domain(&UUID.to_uppercase()));
    place.says(&["preflight", "a", "b", "--mdev", "guest.xml"], 0, &["YES"]);
    let defined = place.says(&["collect", "a", "--mdevctl", UUID], 0, &["vfio_ap-passthrough", "assign_adapter"]);
    place.put(&format!("mdevctl.d/{UUID}"), &defined);
    let definition = format!("mdevctl.d/{UUID}");
    place.says(&["preflight", &definition, "b"], 3, &["UNKNOWN", UUID, "05 x 0033"]);
    place.says(&["preflight", "a", "b", "--mdev", &definition], 0, &["YES"]);
    let table = "CARD.DOM TYPE  MODE  STATUS  REQUESTS PENDING HWTYPE QDEPTH FUNCTIONS  DRIVER   \n\
                 05       CEX7A Accel online         0       0     13     08 ----A-N-F- cex4card\n";
    place.put("there.txt", table);
    place.says(&["preflight", "a", "there.txt"], 1, &["queue-on-destination", "ap-type"]);
    place.says(&["collect", "a", "-o", "a.json"], 0, &[]);
    place.put("older/sys/bus/ap/devices/05.0033/mkvps", "AES CUR: valid 0x01\n");
    place.says(&["collect", "a.json", "--keys-from", "older"], 0, &["AES CUR: valid 0x01"]);
}

#[test]
fn an_odd_value_is_unknown_and_told_with_what_was_expected() {
    let place = Place::new();
    place.says(&["collect", "b", "-o", "b.json"], 0, &[]);
    edit(&place.path("b.json"), &format!("0x{}", "0".repeat(64)), &format!("0x{}", "0".repeat(63)));
    place.says(
        &["preflight", "a", "b.json"],
        3,
        &["UNKNOWN queue-given: queue 05.0033", "apmask says", "expected 0x and 64 hex digits"],
    );
}

#[test]
fn bad_input_is_named_with_file_and_place() {
    let place = Place::new();
    place.says(&["collect", "a", "-o", "a.json"], 0, &[]);
    let whole = fs::read_to_string(place.path("a.json")).expect("a snapshot");
    place.put("cut.json", &whole[..whole.len() / 2]);
    place.put("version.json", &whole.replace("\"version\": 1", "\"version\": 2"));
    place.put("list.json", "[]");
    place.put("text", "Welcome\n");
    place.put("guest.xml", &domain(UUID));
    place.put("empty/file", "");
    for (bad, words) in [
        ("cut.json", &["cut.json: EOF while parsing", "line"][..]),
        ("version.json", &["version.json: `format` is \"kaput-snapshot\", `version` is 2"]),
        ("list.json", &["list.json: `format` is \"\""]),
        (
            "text",
            &["text: it is none of the texts that are known here", "`kaput collect` on the host prints a snapshot"],
        ),
        ("guest.xml", &["guest.xml: it is a libvirt domain: --mdev takes it"]),
        ("empty", &["empty: there is neither `sys/bus` nor `bus`"]),
        ("nowhere.json", &["cannot read nowhere.json: No such file"]),
        ("/dev/null", &["cannot read /dev/null: it is neither a file nor a folder"]),
    ] {
        let output = place.kaput(&["preflight", "a.json", bad]);
        assert!(output.stdout.is_empty(), "{bad}");
        place.says(&["preflight", "a.json", bad], 2, words);
        place.says(&["preflight", bad, "a.json"], 2, words);
    }
    place.says(&["preflight", "b", "a", "--mdev", "x"], 2, &["the source has no mediated device x; it has 669d9b23"]);
    place.says(&["preflight", "a"], 2, &["<DESTINATION>"]);
}

fn ssh(place: &Place, script: &str) {
    let text = format!("#!/bin/sh\nprintf '%s ' \"$@\" > '{}'\n{script}", place.path("asked").display());
    program::program(&place.made("bin/ssh"), &text).expect("written");
}

#[test]
fn another_host_is_asked_by_ssh_with_the_script_on_its_standard_input() {
    let place = Place::new();
    ssh(&place, &format!("exec sh -s -- '{}'\n", place.path("b").display()));
    let asked = || fs::read_to_string(place.path("asked")).expect("asked");
    place.says(&["preflight", "a", "ssh:root@zhost"], 0, &["a -> ssh:root@zhost: YES"]);
    assert_eq!(asked(), "-T -- root@zhost sh -s ");
    place.says(&["preflight", "a", "ssh:zhost", "--ssh-config", "my config"], 0, &["a -> ssh:zhost: YES"]);
    assert_eq!(asked(), "-F my config -T -- zhost sh -s ");
    let collect = place.command(&["collect", "ssh:zhost"]).env("KAPUT_SSH_CONFIG", "theirs").output().expect("started");
    assert_eq!((collect.status.code(), asked().as_str()), (Some(0), "-F theirs -T -- zhost sh -s "));
}

#[test]
fn an_ssh_that_fails_is_quoted() {
    let place = Place::new();
    ssh(&place, "echo 'Permission denied (publickey).' >&2; exit 255\n");
    place.says(
        &["preflight", "a", "ssh:zhost"],
        2,
        &["host ssh:zhost cannot be reached: exit status: 255; Permission denied (publickey).", "no key fits"],
    );
    ssh(&place, "echo Welcome\n");
    place.says(&["preflight", "a", "ssh:zhost"], 2, &["ssh:zhost: it is none of the texts that are known here"]);
    ssh(&place, "printf '\\033[2Jevil' >&2; exit 1\n");
    let said = place.says(&["collect", "ssh:-oProxyCommand=x"], 2, &["\\u{1b}[2Jevil"]);
    assert!(!said.contains('\x1b'), "{said:?}");
    assert!(fs::read_to_string(place.path("asked")).expect("asked").starts_with("-T -- -oProxyCommand=x"));
}

#[test]
fn nothing_of_a_snapshot_reaches_shell_or_terminal_unescaped() {
    let place = Place::new();
    place.says(&["collect", "a", "-o", "a.json"], 0, &[]);
    place.says(&["collect", "b", "-o", "b.json"], 0, &[]);
    edit(&place.path("b.json"), MIGRATABLE.trim(), "$(touch note)\\u001b]0;owned\\u0007");
    edit(&place.path("b.json"), "no such file", "`touch note`\\u001b[31m\\n touch note \\u202e\\u009b");
    for form in [&["--report", "human"][..], &["--report", "json"], &["--report", "tap"], &["--matrix"], &["--fix"]] {
        let output = place.kaput(&[&["preflight", "a.json", "b.json"], form].concat());
        assert_eq!(output.status.code(), Some(1), "{form:?}");
        let said = String::from_utf8(output.stdout).expect("a text");
        assert!(said.chars().all(|c| matches!(c, ' '..='~' | '\n' | '…')), "{form:?}: {said:?}");
        if form == ["--fix"] {
            let script = said.replace("> \"$2\"", "> /dev/null");
            let run = Command::new("sh").args(["-c", &script]).current_dir(place.path(".")).output().expect("a shell");
            assert_eq!((run.status.code(), place.path("note").exists()), (Some(0), false), "{said}");
        }
    }
    // The name of a device would go into a command: one that cannot be a name is refused.
    place.says(&["collect", "b", "-o", "c.json"], 0, &[]);
    edit(&place.path("c.json"), UUID, "x'; touch note; $(touch note)\\u001b[2J\\n touch note");
    let said = place.says(&["preflight", "a.json", "c.json", "--fix"], 2, &["mdevs", "expected the UUID"]);
    assert!(!said.contains('\x1b'), "{said:?}");
    place.says(&["preflight", "a.json", "b.json", "--mdev", "$(x)"], 2, &["expected the UUID of a mediated device"]);
    // In what is said of odd values too.
    edit(&place.path("b.json"), "0x00000", "\\u001b[2J\\u202e");
    let said =
        place.says(&["preflight", "a.json", "b.json"], 1, &["not known: apmask says", "expected 0x and 64 hex digits"]);
    assert!(!said.contains(['\x1b', '\u{202e}']), "{said:?}");
}

#[test]
fn a_qemu_that_blocks_is_asked_by_its_monitor() {
    use std::io::{BufRead, BufReader, Write};
    let place = Place::new();
    let listener = std::os::unix::net::UnixListener::bind(place.path("qmp")).expect("a socket");
    let qemu = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut writer = stream.try_clone().expect("a second handle");
        writer
            .write_all(b"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 11}}, \"capabilities\": []}}\n")
            .expect("written");
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let asked: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let answer = match asked["execute"].as_str() {
                Some("query-migrate") => serde_json::json!({"blocked-reasons": ["vfio-ap: no", "9p"]}),
                _ => serde_json::json!({}),
            };
            writeln!(writer, "{}", serde_json::json!({"return": answer, "id": asked["id"]})).expect("written");
        }
    });
    let wants = ["NO qemu-not-blocked", "source vfio-ap: no; 9p"];
    place.says(&["preflight", "a", "b", "--monitor", "qmp"], 1, &wants);
    qemu.join().expect("no panic");
    place.says(
        &["preflight", "a", "b", "--monitor", "nowhere"],
        3,
        &["UNKNOWN qemu-not-blocked", "nowhere: No such file"],
    );
}

#[test]
fn help_tells_exit_status_and_examples() {
    let place = Place::new();
    place.says(&["preflight", "--help"], 0, &["Exit status: 0 yes", "3 unknown", "Examples:"]);
    place.says(&["collect", "--help"], 0, &["Examples:", "Nothing is written on the host"]);
}
