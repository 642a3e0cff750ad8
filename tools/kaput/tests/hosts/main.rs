// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two hosts that are reached by ssh: every scenario has the verdict there that it has here, what goes wrong on the way is
//! told with its mend, and nothing is left behind.

mod bed;
mod doctor;
mod far;
mod real;
mod standin;
mod tcp;

use std::process::ExitCode;
use std::sync::Arc;

use bed::Bed;
use libtest_mimic::{Arguments, Failed, Trial};

/// A test that needs the bed.
pub(crate) type Step = fn(&Bed) -> Result<(), String>;

fn main() -> ExitCode {
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
    let trials = far::STEPS.iter().chain(real::STEPS).chain(doctor::STEPS).chain(tcp::STEPS).map(|(name, step)| {
        let (skipped, shared) = (bed.is_none(), bed.clone());
        let run = move || shared.as_deref().map_or(Ok(()), step).map_err(Failed::from);
        Trial::test(*name, run).with_ignored_flag(skipped)
    });
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    // Before the process ends, which drops nothing.
    drop(bed);
    conclusion.exit_code()
}
