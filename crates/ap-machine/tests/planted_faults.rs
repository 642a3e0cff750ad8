// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every fault that can be planted, in the real QEMU: the guest's case that is to notice it must fail. It starts a QEMU for
//! each fault, so it runs only when asked for, with QEMU, plugin and image in the environment as the harness takes them:
//! `KAPUT_QEMU=… KAPUT_PLUGIN=… KAPUT_IMAGE=… cargo test -p ap-machine --test planted_faults -- --ignored`.

use std::env;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use ap_arch::report::{Line, Verdict};
use ap_machine::{FAULTS, PlantedFault};

/// How long one guest may take to come to the case.
const PATIENCE: Duration = Duration::from_secs(120);

/// A QEMU that ends with us.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A host with the fault, one card of each mode, two domains and all facilities.
fn host(fault: &str) -> String {
    let masks = r#""domains":["33","3a"],"control-domains":["33","3a","44"]"#;
    format!(
        r#"{{"name":"A","topology":{{"adapters":{{"05":"cex8a","06":"cex8c","07":"cex8p"}},{masks},
        "facilities":{{"apqci":true,"apft":true,"apqi":true}},"faults":["{fault}"]}},
        "mdev":{{"uuid":"00000000-0000-0000-0000-000000000001","adapters":["05","06","07"],{masks}}}}}"#
    )
}

/// What the guest says of the case; `Err` says why it said nothing.
fn verdict(planted: &PlantedFault) -> Result<Verdict, String> {
    let named = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let (suite, case) = planted.case.split_once('/').ok_or("the fault names no case")?;
    let folder = env::temp_dir().join(format!("kaput-fault-{}-{}", std::process::id(), planted.name));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let (config, control) = (folder.join("host.json"), folder.join("control"));
    std::fs::write(&config, host(planted.name)).map_err(|error| error.to_string())?;
    let plugin = format!("{},config={},control={}", named("KAPUT_PLUGIN")?, config.display(), control.display());
    let mut child = Command::new(named("KAPUT_QEMU")?)
        .args(["-machine", "s390-ccw-virtio", "-cpu", "qemu", "-accel", "tcg", "-smp", "2", "-m", "128M"])
        .args(["-nodefaults", "-display", "none", "-device", "sclpconsole,chardev=c", "-chardev", "stdio,id=c"])
        .args(["-kernel", &named("KAPUT_IMAGE")?, "-plugin", &plugin])
        .args(["-append", &format!("suites={suite} expect=05,06,07/33,3a/33,3a,44")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    let console = child.stdout.take().ok_or("QEMU has no standard output")?;
    let qemu = Qemu(child);
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(console).lines().map_while(Result::ok);
        // Nobody listens any more once the verdict is there.
        let _ = lines.into_iter().try_for_each(|line| sender.send(line));
    });
    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(line) = lines.recv_timeout(left) else { break Err("the guest said nothing of it".to_owned()) };
        match Line::parse(&line) {
            Line::Case(found) if (found.suite, found.case) == (suite, case) => break Ok(found.verdict),
            _ => {}
        }
    };
    drop(qemu);
    let _ = std::fs::remove_dir_all(&folder);
    found
}

#[test]
#[ignore = "starts a QEMU for each fault"]
fn the_case_of_every_planted_fault_fails() {
    let unnoticed: Vec<String> = FAULTS
        .iter()
        .filter_map(|planted| match verdict(planted) {
            Ok(Verdict::Fail) => None,
            Ok(other) => Some(format!("{}: {} is {}", planted.name, planted.case, other.word())),
            Err(reason) => Some(format!("{}: {}: {reason}", planted.name, planted.case)),
        })
        .collect();
    assert!(unnoticed.is_empty(), "not noticed:\n{}", unnoticed.join("\n"));
}
