// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two hosts that are reached by ssh: every scenario has the verdict there that it has here, what goes wrong on the way is
//! told with its mend, and nothing is left behind.

mod bed;
mod doctor;
mod far;
mod real;
mod relay;
mod standin;
mod tcp;
mod virt;

use std::process::ExitCode;
use std::sync::Arc;

use bed::Bed;
use libtest_mimic::{Arguments, Failed, Trial};

/// A test that needs the bed.
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
    // Cables are cut and programs killed: one after the other.
    arguments.test_threads = Some(1);
    let named = |variable| std::env::var_os(variable).map(std::path::PathBuf::from);
    let tools = named("KAPUT_QEMU").zip(named("KAPUT_PLUGIN"));
    let bed = match (tools, bed::missing()) {
        (None, _) => Err("use `cargo xtask test`, which builds and names the tools".to_owned()),
        (_, Some(reason)) => Err(reason),
        (Some((qemu, plugin)), None) if !arguments.list => Ok(Some(Bed::make(&qemu, &plugin))),
        _ => Ok(None),
    };
    let bed = match bed {
        Ok(Some(Err(reason))) => {
            eprintln!("the two hosts cannot be made: {reason}");
            return ExitCode::FAILURE;
        }
        Ok(Some(Ok(bed))) => Some(Arc::new(bed)),
        Ok(None) => None,
        Err(reason) => {
            println!("SKIP: no two hosts on this machine: {reason}");
            None
        }
    };
    let no_libvirt = bed.is_some().then(virt::missing).flatten();
    if let Some(reason) = &no_libvirt {
        println!("SKIP: no libvirt on this machine: {reason}");
    }
    let trial = |(name, step): &(&str, Step), skipped: bool| {
        let (step, shared) = (*step, bed.clone());
        let run = move || shared.as_deref().map_or(Ok(()), step).map_err(Failed::from);
        Trial::test(*name, run).with_ignored_flag(skipped)
    };
    let always = far::STEPS.iter().chain(real::STEPS).chain(doctor::STEPS).chain(tcp::STEPS);
    let mut trials: Vec<Trial> = always.map(|step| trial(step, bed.is_none())).collect();
    trials.extend(virt::STEPS.iter().map(|step| trial(step, bed.is_none() || no_libvirt.is_some())));
    trials.push(virt::schema());
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Before the process ends, which drops nothing.
    drop(bed);
    conclusion.exit_code()
}
