// SPDX-License-Identifier: MIT OR Apache-2.0
//! One machine for the guests of several processes. `Configuration::execute` takes and returns plain data and asks for
//! storage by a trait, so a process can own the machine and others can execute on it from afar: here two child
//! processes do, each with a guest's memory of its own, as two QEMUs would. Nothing of the way in process changes for
//! that.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use ap_arch::{Apqn, FunctionCode, Gr0, Matrix, ProgramCode, QueueStatus};
use ap_machine::machine_socket::{Client, Remote};
use ap_machine::{Configuration, Instruction, Machine, Operands, Outcome, ProgramException, Topology};
use libtest_mimic::{Arguments, Failed, Trial};

const ADAPTERS: [u8; 2] = [5, 6];
const DOMAIN: u8 = 0x33;
const PSMID: u64 = 0x1234_5678;
const BUFFER: u64 = 0x1000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, role, adapter, socket] = &arguments[..]
        && role == "as-a-guest"
    {
        return as_a_guest(adapter, socket);
    }
    let trial = Trial::test("two_processes_execute_on_one_machine", two_processes_execute_on_one_machine);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit_code()
}

fn status(outcome: Outcome) -> Result<QueueStatus, String> {
    match outcome {
        Outcome::Completed { writes, .. } => Ok(QueueStatus::from_gr1(writes.get(1).ok_or("GR1 was not written")?)),
        Outcome::Exception(exception) => Err(format!("{exception:?}")),
    }
}

fn expect(what: &str, seen: Result<QueueStatus, String>, begins: &str) -> Result<(), String> {
    let seen = seen?.to_string();
    if seen.starts_with(begins) { Ok(()) } else { Err(format!("{what}: {seen}, expected {begins}")) }
}

/// What a child does: it has one of the two adapters, and the other child the other one.
fn as_a_guest(adapter: &str, socket: &str) -> ExitCode {
    match story(adapter, socket) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("the guest with adapter {adapter}: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn story(adapter: &str, socket: &str) -> Result<(), String> {
    let adapter: u8 = adapter.parse().map_err(|_| "the adapter is a number")?;
    let other = ADAPTERS.into_iter().find(|other| *other != adapter).ok_or("there are two adapters")?;
    let [mine, others] = [adapter, other].map(|adapter| Apqn::new(adapter, DOMAIN));
    let mut remote = Remote::new(UnixStream::connect(socket).map_err(|error| error.to_string())?)
        .map_err(|error| error.to_string())?;
    // The guest's memory, which is in its own process and nowhere else.
    let mut memory = vec![0; 0x4000];
    let tapq = |apqn| Operands { gr0: Gr0::pqap(FunctionCode::TAPQ, apqn).0, ..Operands::default() };
    let tested = status(remote.execute(Instruction::Pqap, &tapq(mine), &mut memory)?);
    expect("TAPQ of a queue of mine", tested, "E---- rc 00")?;
    let tested = status(remote.execute(Instruction::Pqap, &tapq(others), &mut memory)?);
    expect("TAPQ of the other guest's", tested, "----- rc 01")?;

    // A message out of this memory, its reply into this memory.
    let (nqap, dqap) = (Instruction::Nqap { r1: 4, r2: 6 }, Instruction::Dqap { r1: 4, r2: 6 });
    let psmid = PSMID + u64::from(adapter);
    let send = Operands { gr0: Gr0::nqap(mine).0, r1: [0, psmid], r2: [BUFFER, 64], ..Operands::default() };
    expect("NQAP", status(remote.execute(nqap, &send, &mut memory)?), "-R--- rc 00")?;
    memory[0x1000..0x2000].fill(0xee);
    let receive = Operands { gr0: Gr0::dqap(mine).0, r2: [BUFFER, 0x1000], ..Operands::default() };
    let outcome = remote.execute(dqap, &receive, &mut memory)?;
    let Outcome::Completed { writes, .. } = outcome else { return Err(format!("DQAP: {outcome:?}")) };
    if writes.get(5) != Some(psmid) || memory[0x1000..0x1008] == [0xee; 8] {
        return Err(format!("the reply is not the message's: {writes:?}"));
    }

    // Storage that is not there is this process's exception, met by the other.
    let outside = Operands { r2: [0x10_0000, 64], ..send };
    let outcome = remote.execute(nqap, &outside, &mut memory)?;
    if outcome != Outcome::Exception(ProgramException::new(ProgramCode::ADDRESSING)) {
        return Err(format!("a message from nowhere: {outcome:?}"));
    }
    // Left behind, for the owner of the machine to see.
    expect("NQAP", status(remote.execute(nqap, &send, &mut memory)?), "-R--- rc 00")
}

/// A child with its guest, and the thread that serves it.
fn start(
    machine: &Arc<Machine>,
    folder: &Path,
    adapter: u8,
) -> Result<(Child, JoinHandle<Result<(), String>>), String> {
    let guest = Configuration::guest(machine);
    let domains = [DOMAIN].into_iter().collect();
    guest.set_apcb(Matrix { adapters: [adapter].into_iter().collect(), domains, control_domains: domains });
    let socket = folder.join(adapter.to_string());
    let listener = UnixListener::bind(&socket).map_err(|error| error.to_string())?;
    let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
    let child = command.args(["as-a-guest", &adapter.to_string()]).arg(&socket).spawn();
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().map_err(|error| error.to_string())?;
        Client::greet(stream).map_err(|error| error.to_string())?.serve(&guest)
    });
    Ok((child.map_err(|error| error.to_string())?, serving))
}

fn two_processes_execute_on_one_machine() -> Result<(), Failed> {
    let topology: Topology = "05=cex8a,06=cex8c/33".parse().map_err(|error| format!("{error}"))?;
    let machine = Machine::new(&topology).map_err(|error| error.to_string())?;
    let folder = std::env::temp_dir().join(format!("ap-machine-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let both = ADAPTERS.map(|adapter| start(&machine, &folder, adapter));
    for guest in both {
        let (mut child, serving) = guest?;
        let ended = child.wait().map_err(|error| error.to_string())?;
        // Who never came is waited for by nobody.
        if !ended.success() {
            return Err(format!("a guest's process: {ended}").into());
        }
        serving.join().map_err(|_| "a server's thread ended")??;
    }
    _ = std::fs::remove_dir_all(&folder);
    // What the two left behind is in one machine.
    let host = Configuration::host(&machine);
    for adapter in ADAPTERS {
        let gr0 = Gr0::pqap(FunctionCode::TAPQ, Apqn::new(adapter, DOMAIN)).0;
        let outcome = host.execute(Instruction::Pqap, &Operands { gr0, ..Operands::default() }, &mut Vec::new());
        expect("TAPQ by the host", status(outcome), "-R--- rc 00")?;
    }
    Ok(())
}
