// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput preflight --fleet` as a user meets it.

use super::*;

/// Three hosts in a folder `hosts`: `a` has the guest, `b` has its queue ready, `c` another card.
fn fleet() -> Place {
    let place = Place::new();
    place.put("a/sys/bus/ap/devices/05.0033/status", "in use\n");
    place.host("c", "", "13\n");
    fs::create_dir(place.path("hosts")).expect("made");
    for host in ["a", "b", "c"] {
        place.says(&["collect", host, "-o", &format!("hosts/{host}.json")], 0, &[]);
    }
    place
}

#[test]
fn a_guest_is_compared_with_every_host() {
    let place = fleet();
    let wants = ["fleet: YES, 1 guest can be made movable: no command is needed", "here yes no [1]", "[1] ap-type"];
    place.says(&["preflight", "--fleet", "hosts"], 0, &wants);
    place.says(
        &["preflight", "--fleet", "hosts/a.json", "hosts/c.json"],
        1,
        &["NO, 1 of 1 guest", "c: never, ap-type"],
    );
    place.says(&["preflight", "--fleet", "hosts", "--fix"], 0, &["#!/bin/sh", "Nothing is to be done."]);
    let text = place.says(&["preflight", "--fleet", "hosts", "--report", "json"], 0, &[]);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(json["guests"][0]["hosts"]["c"], serde_json::json!({"answer": "never", "rule": "ap-type"}));
    place.says(&["preflight", "--fleet", "hosts", "--report", "html=fleet.html"], 0, &[]);
    let page = fs::read_to_string(place.path("fleet.html")).expect("a page");
    assert!(page.contains("class=\"heat-0\"") && page.contains("class=\"heat-never\""), "{page}");
}

/// A program of this name that a script finds.
fn program(place: &Place, name: &str, script: &str) {
    super::program::program(&place.made(&format!("bin/{name}")), &format!("#!/bin/sh\n{script}")).expect("written");
}

#[test]
fn the_script_that_empties_a_host_prepares_the_others_and_then_migrates() {
    let place = fleet();
    edit(&place.path("hosts/b.json"), UUID, "11111111-1111-4111-8111-111111111111");
    place.says(&["preflight", "--fleet", "hosts", "--empty", "a"], 0, &["empty a: YES", "a -> b after 1 command"]);
    let script = place.says(&["preflight", "--fleet", "hosts", "--empty", "a", "--fix"], 0, &[]);
    let create = "b/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create";
    place.put(create, "");
    // The host's name is the last word before the shell's; its files are in the folder of that name.
    program(&place, "ssh", "host=${3#root@}; echo \"on $host\" >> calls; sed \"s,/sys/,$PWD/$host/sys/,g\" | sh -s\n");
    let domain =
        format!("case $4 in list) echo d1;; dumpxml) echo \"uuid='{UUID}'\";; *) echo \"$@\" >> calls;; esac\n");
    program(&place, "virsh", &domain);
    let run = |script: &str| {
        let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap_or_default());
        Command::new("sh")
            .args(["-c", script])
            .current_dir(place.path("."))
            .env("PATH", path)
            .output()
            .expect("a shell")
    };
    let done = run(&script);
    assert!(done.status.success(), "{script}\n{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(fs::read_to_string(place.path(create)).expect("written"), format!("{UUID}\n"));
    let calls = fs::read_to_string(place.path("calls")).expect("calls");
    let migrates = "-q -c qemu+ssh://root@a/system migrate --live --p2p d1 qemu+ssh://root@b/system";
    assert_eq!(calls.lines().collect::<Vec<_>>(), ["on b", migrates]);
    // Where a command changes nothing, nothing is migrated.
    fs::remove_dir_all(place.path(&format!("b/sys/devices/vfio_ap/matrix/{UUID}"))).expect("removed");
    fs::remove_file(place.path("calls")).expect("removed");
    let failed = run(&script);
    assert!(!failed.status.success() && String::from_utf8_lossy(&failed.stderr).contains("expected there"));
    assert_eq!(fs::read_to_string(place.path("calls")).expect("calls"), "on b\n");
}

#[test]
fn what_is_no_fleet_is_named_with_file_and_reason() {
    let place = fleet();
    fs::create_dir(place.path("empty")).expect("made");
    place.put("other/list.json", "[]");
    place.put("other2/defined.json", r#"{"mdev_type": "vfio_ap-passthrough", "attrs": [{"assign_adapter": "5"}]}"#);
    place.put("twice/a.json", &fs::read_to_string(place.path("hosts/a.json")).expect("a snapshot"));
    place.put("odd/-a b.json", &fs::read_to_string(place.path("hosts/a.json")).expect("a snapshot"));
    place.put("cut/a.json", "{\"format\": \"kaput-snapshot\", \"version\": 1,");
    for (paths, words) in [
        (&["empty"][..], "empty: there is no snapshot in this folder; expected files HOST.json"),
        (&["nowhere"], "cannot read nowhere: No such file"),
        (&["/dev/null"], "cannot read /dev/null: it is neither a file nor a folder"),
        (&["other"], "other/list.json: `format` is \"\""),
        (&["other2"], "other2/defined.json: it is mdevctl's definition of a guest, and a fleet is hosts"),
        (&["hosts", "twice"], "hosts/a.json and twice/a.json would both be the host a"),
        (&["odd"], "odd/-a b.json: a host is called as its file is"),
        (&["cut"], "cut/a.json: EOF while parsing"),
        (&["hosts", "--empty", "x"], "there is no host \"x\""),
        (&["hosts", "--report", "tap"], "there is no report of this as tap"),
        (&["hosts", "--mdev", UUID], "cannot be used with"),
    ] {
        place.says(&[&["preflight", "--fleet"], paths].concat(), 2, &[words]);
    }
    place.says(&["preflight", "--empty", "a"], 2, &["--fleet"]);
    edit(&place.path("hosts/b.json"), "6.18.0", "6.19.0");
    let wants = "note: the hosts run different kernels, 6.18.0 on a, c; 6.19.0 on b";
    place.says(&["preflight", "--fleet", "hosts"], 0, &[wants]);
}
