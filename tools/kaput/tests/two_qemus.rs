// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two QEMUs, one machine: this process owns it, each guest has one of its two adapters and must not see the other's.

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ap_arch::Matrix;
use ap_machine::machine_socket::Client;
use ap_machine::{Configuration, Machine, Topology};

use support::named;

const TOPOLOGY: &str = "05=cex8a,06=cex8a/33";

/// What each plugin knows without asking: the facilities.
const HOST: &str =
    r#"{"name": "A", "topology": {"facilities": {"apqci": true, "apft": true}}, "mdev": {"uuid": "none"}}"#;

/// A guest's QEMU, killed when dropped, and the thread that executes for it.
struct Guest {
    process: Child,
    serving: Option<JoinHandle<Result<(), String>>>,
}

impl Drop for Guest {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

fn start(machine: &Arc<Machine>, folder: &Path, adapter: u8) -> Guest {
    let configuration = Configuration::guest(machine);
    let [adapters, domains] = [adapter, 0x33].map(|number| [number].into_iter().collect());
    configuration.set_apcb(Matrix { adapters, domains, control_domains: domains });
    let file = |name: &str| folder.join(format!("{adapter}-{name}"));
    let (config, socket) = (file("host.json"), file("machine"));
    fs::write(&config, HOST).expect("written");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let plugin = named().emulator.plugin.expect("named");
    let plugin = format!("{},config={},machine={}", plugin.display(), config.display(), socket.display());
    let options = format!("suites=presence,config-info,rsa,reset expect={adapter:02x}/33/33");
    let process = Command::new(named().emulator.qemu.expect("named"))
        .args(["-nodefaults", "-display", "none", "-m", "64", "-run-with", "exit-with-parent=on"])
        .args(["-chardev", "stdio,id=console", "-device", "sclpconsole,chardev=console"])
        .args(["-plugin", &plugin, "-append", &options, "-kernel"])
        .arg(named().image.expect("named"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("QEMU starts");
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
        Client::greet(stream).map_err(|error| error.to_string())?.serve(&configuration)
    });
    Guest { process, serving: Some(serving) }
}

#[test]
fn two_qemus_compute_on_one_machine_each_on_its_own_card() {
    let topology: Topology = TOPOLOGY.parse().expect("a topology");
    let machine = Machine::new(&topology).expect("a machine");
    let folder = tempfile::tempdir().expect("a folder");
    let guests = [5, 6].map(|adapter| (adapter, start(&machine, folder.path(), adapter)));
    for (adapter, mut guest) in guests {
        let mut report = String::new();
        let console = guest.process.stdout.as_mut().expect("piped");
        console.take(1 << 20).read_to_string(&mut report).expect("text");
        for passed in ["PASS: rsa: ", "PASS: reset: ", "PASS: config-info: matrix-as-expected"] {
            assert!(
                report.contains(passed),
                "{passed} is not in what the guest with adapter {adapter:02x} says:\n{report}"
            );
        }
        assert!(!report.contains("FAIL: ") && report.contains("EXIT: STATUS=1"), "{adapter:02x}:\n{report}");
        guest.process.wait().expect("QEMU ends");
        let served = guest.serving.take().map(JoinHandle::join).expect("one thread").expect("no panic");
        assert_eq!(served, Ok(()), "guest with adapter {adapter:02x}");
    }
    let used = machine.snapshot().queues;
    let work = |name: &str| used.iter().find(|queue| queue.queue == name).map_or(0, |queue| queue.counters.replies);
    assert!(work("05.0033") > 0 && work("06.0033") > 0, "{used:?}");
}
