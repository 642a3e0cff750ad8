// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two hosts that are reached by ssh: every scenario has the verdict there that it has here, what goes wrong on the way
//! is reported with its fix, and nothing is left behind.

mod bed;
mod beds;
mod daemon;
mod doctor;
mod far;
mod needs;
#[path = "../support/program.rs"]
mod program;
mod real;
mod relay;
mod signals;
mod standin;
mod tcp;
mod virt;

use std::process::ExitCode;
use std::sync::Arc;

use bed::Bed;
use beds::Beds;
use libtest_mimic::{Arguments, Failed, Trial};

/// How many beds are in use at the same time.
const BEDS: usize = 2;

/// A test that needs a bed.
pub(crate) type Step = fn(&Bed) -> Result<(), String>;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    match words.get(1).and_then(|word| word.to_str()) {
        Some("monitor") => return relay::start(&words[2..]),
        Some("relay") => return relay::relay(),
        _ => {}
    }
    if let [_, word, path] = &std::env::args().collect::<Vec<_>>()[..]
        && word == "store"
    {
        let stored = standin::store(path);
        return stored.map_or_else(
            |error| {
                eprintln!("{}", error.trim_end());
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    let mut arguments = Arguments::from_args();
    // Cables are cut and programs killed, so each test has a bed to itself; many of them only wait.
    arguments.test_threads = Some(BEDS);
    let named = |variable| std::env::var_os(variable).map(std::path::PathBuf::from);
    let tools = named("KAPUT_QEMU").zip(named("KAPUT_PLUGIN"));
    let no_tools = || "use `cargo xtask test`, which builds and names the tools".to_owned();
    let no_hosts = tools.is_none().then(no_tools).or_else(needs::no_hosts);
    let no_libvirt = no_hosts.clone().or_else(needs::no_libvirt);
    for (group, reason) in [("hosts", &no_hosts), ("libvirt", &no_libvirt)] {
        if let Some(reason) = reason {
            println!("SKIP {group}: {reason}");
        }
    }
    let tools = tools.filter(|_| no_hosts.is_none() && !arguments.list);
    let beds = Arc::new(tools.map(|(qemu, plugin)| Beds::new(qemu, plugin)));
    let trial = |group: &'static str, (name, step): &(&str, Step), skipped: bool| {
        let (step, shared) = (*step, Arc::clone(&beds));
        let run = move || match shared.as_ref() {
            Some(beds) => beds.with(|bed| taken(bed, group, step)).map_err(Failed::from),
            None => Ok(()),
        };
        Trial::test(*name, run).with_kind(group).with_ignored_flag(skipped)
    };
    let hosts = far::STEPS.iter().chain(real::STEPS).chain(doctor::STEPS).chain(tcp::STEPS).chain(signals::STEPS);
    let mut trials: Vec<Trial> = hosts.map(|step| trial("hosts", step, no_hosts.is_some())).collect();
    let by_libvirt = virt::STEPS.iter().chain(signals::LIBVIRT_STEPS);
    trials.extend(by_libvirt.map(|step| trial("libvirt", step, no_libvirt.is_some())));
    trials.push(virt::schema());
    trials.extend(daemon::trials());
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Before the process ends, which drops nothing.
    drop(beds);
    conclusion.exit_code()
}

/// Takes a step, unless a daemon that it wants is not there; one that ends meanwhile is reported besides.
fn taken(bed: &Bed, group: &str, step: Step) -> Result<(), String> {
    if group == "libvirt" {
        bed.has_libvirt()?;
    }
    bed.runs()?;
    let done = step(bed);
    match (done, bed.runs()) {
        (Err(error), Err(ended)) => Err(format!("{ended}; {error}")),
        (done, runs) => done.and(runs),
    }
}
