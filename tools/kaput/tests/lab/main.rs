// SPDX-License-Identifier: MIT OR Apache-2.0
//! The real vfio_ap driver in an emulated LPAR: the kernel that `cargo xtask lab` builds, our agent, hardware of this
//! process. What the driver does is judged by the conformance suite; here it is judged whether the lab can be believed.

mod bench;
mod checkers;
mod compare;
mod control;
mod driver;
mod gate;
mod guest;
mod lpar;
mod prepared;
#[path = "../support/program.rs"]
mod program;
mod programs;
#[path = "../support/mod.rs"]
mod support;
mod wrapper;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use bench::Bench;

type Test = fn(&Bench) -> Result<(), String>;

const TESTS: &[(&str, Test)] = &[
    ("the model does as the released driver, step by step", compare::with_the_model),
    ("the kernel's sample of a driver that migrates is judged by the generic cases", control::is_judged),
    ("the released driver does what it can be asked to", driver::is_judged),
    ("a guest keeps its crypto on the released driver", guest::keeps_its_crypto),
    ("a guest under load gets no impossible answer while its masks change", gate::lets_no_impossible_answer_through),
    ("a guest is judged and nothing is left when its host is lost", guest::survives_the_loss_of_its_host),
    ("what a guest notices of a finding it notices on the model", guest::notices_the_findings),
    ("in the place of QEMU it boots what kunit.py starts", wrapper::boots_for_kunit),
    ("in the place of QEMU it boots what virtme-ng starts", wrapper::boots_for_virtme),
    ("an LPAR boots, and its agent answers for the kernel", lpar::boots),
    ("a kept LPAR comes back on other hardware", lpar::comes_back),
    ("a copy of a prepared host is that host", prepared::comes_back),
    ("a kernel that ended while a case ran has complained", prepared::says_why_it_ended),
    ("a kernel that panics is shown by its first lines", lpar::panics),
    ("an LPAR that is killed is reported, and nothing is left of it", lpar::killed),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(2);
    let named = |variable| std::env::var_os(variable).map(PathBuf::from);
    let bench = match (named("KAPUT_LAB_KERNEL"), named("KAPUT_AGENT")) {
        (Some(kernel), Some(agent)) => Some(Arc::new(Bench::new(&kernel, &agent))),
        _ => {
            let reason = std::env::var("KAPUT_LAB_MISSING");
            let reason = reason.unwrap_or_else(|_| "use `cargo xtask test`, which builds and names it".to_owned());
            println!("SKIP lab: {reason}");
            None
        }
    };
    let trial = |(name, test): &(&'static str, Test)| {
        let (bench, test) = (bench.clone(), *test);
        let run = move || bench.as_ref().map_or(Ok(()), |bench| test(bench)).map_err(Failed::from);
        Trial::test(*name, run)
    };
    let skipped = bench.is_none();
    let mut trials: Vec<Trial> =
        TESTS.iter().map(|one| trial(one).with_kind("lab").with_ignored_flag(skipped)).collect();
    let no_compiler = programs::missing().filter(|_| !skipped);
    if let Some(reason) = no_compiler {
        println!("SKIP lab: {reason}");
    }
    let programs = trial(&("the programs for findings compile without a warning", programs::compile));
    trials.push(programs.with_kind("lab").with_ignored_flag(skipped || no_compiler.is_some()));
    // Only where somebody names such kernels.
    if named("KAPUT_LAB_CHECKERS").is_some() {
        trials.push(trial(&("a kernel with checkers is judged by them", checkers::judge)).with_kind("lab"));
        trials.push(trial(&("each program shows its finding in an LPAR", programs::show)).with_kind("lab"));
    }
    if named(guest::MIGRATING).is_some() {
        let phases = guest::survives_the_loss_of_its_host_in_each_phase;
        trials.push(trial(&("a host may be lost in each phase of a hand-over", phases)).with_kind("lab"));
    }
    if named(guest::MIGRATING).and(named(guest::PATTERN)).is_some() {
        let findings = guest::notices_the_findings_on_a_real_driver;
        trials.push(trial(&("a guest notices the findings of a real driver", findings)).with_kind("lab"));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
