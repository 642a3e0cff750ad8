// SPDX-License-Identifier: MIT OR Apache-2.0
//! A control: the kernel's own sample of a driver that migrates, `mtty`, judged by the same cases, the same agent and
//! the same adapter, so by real system calls that really migrate. It knows nothing of AP: of the cases those are asked
//! that are about VFIO alone. One that fails here and with vfio_ap is the case's fault.

use std::collections::BTreeMap;
use std::num::NonZero;

use vfio_linux::Driver;
use vfio_mig::conformance::{CaseResult, Options, Verdict, run_several};

use crate::bench::Bench;

/// How many cases at a time.
const AT_A_TIME: NonZero<usize> = NonZero::new(2).expect("it is two");

/// The generic cases that it passes.
const PASSED: [&str; 27] = [
    "arc/stop-to-stop",
    "arc/stop-to-running",
    "arc/stop-to-stop-copy",
    "arc/stop-to-resuming",
    "arc/running-to-stop",
    "arc/running-to-running",
    "arc/running-to-stop-copy",
    "arc/running-to-resuming",
    "arc/stop-copy-to-stop",
    "arc/stop-copy-to-running",
    "arc/stop-copy-to-stop-copy",
    "arc/stop-copy-to-resuming",
    "arc/resuming-to-stop",
    "arc/resuming-to-running",
    "arc/resuming-to-stop-copy",
    "arc/resuming-to-resuming",
    "code/read-write-espipe",
    "code/read-enodev-closed",
    "code/read-efault",
    "code/write-enodev-closed",
    "code/wrong-direction-ebadf",
    "uapi/any-read-size",
    "uapi/plain-calls",
    "uapi/short-first-write",
    "uapi/stable-while-read",
    "beyond/write-of-no-bytes",
    "later/read-fault-loses-nothing",
];

/// The generic cases that say something else of it, and why that is right.
const OTHERS: [(&str, Verdict, &str); 8] = [
    ("arc/no-such-state", Verdict::Fail, "it has the states RUNNING_P2P, PRE_COPY and PRE_COPY_P2P"),
    ("arc/before-open", Verdict::Differs, "VFIO itself answers for a device that is not open, on every real kernel"),
    ("arc/error-is-left-by-reset-only", Verdict::Skip, "nothing brings it into the error state"),
    ("code/write-eio-fault", Verdict::Differs, "it answers EFAULT to a fault, and vfio_ap EIO; the uAPI says neither"),
    ("code/write-eio-too-long", Verdict::Fail, "it answers ENOMEM to a stream that is too long"),
    ("later/first-write-too-long", Verdict::Fail, "it answers ENOMEM to a stream that is too long"),
    ("uapi/reset-ends-reading", Verdict::Differs, "a stream that a reset has ended answers ENODEV"),
    ("uapi/reset-ends-writing", Verdict::Differs, "a stream that a reset has ended answers ENODEV"),
];

pub(crate) fn is_judged(bench: &Bench) -> Result<(), String> {
    let factory = bench.factory("control", Driver::MTTY)?;
    let passed = PASSED.into_iter().map(|case| (case, (Verdict::Pass, "it does as the specification says")));
    let others = OTHERS.into_iter().map(|(case, verdict, why)| (case, (verdict, why)));
    let expected: BTreeMap<&str, (Verdict, &str)> = passed.chain(others).collect();
    let only = expected.keys().map(|case| (*case).to_owned()).collect();
    let options = Options { only, dangerous: true, shuffle: None };
    let results = run_several(&factory, &options.cases(), &options, AT_A_TIME, &|_| {});
    let results: BTreeMap<&str, &CaseResult> = results.iter().map(|result| (result.case.as_str(), result)).collect();
    let wrong = expected.iter().filter_map(|(case, (verdict, why))| match results.get(case) {
        Some(result) if result.verdict == *verdict => None,
        Some(CaseResult { verdict, reason, expected, seen, .. }) => {
            Some(format!("{case}: {verdict:?}: {reason}: expected {expected}, seen {seen}; listed because {why}"))
        }
        None => Some(format!("there is no case {case}")),
    });
    let wrong: Vec<String> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
}
