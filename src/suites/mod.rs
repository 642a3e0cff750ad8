// SPDX-License-Identifier: MIT OR Apache-2.0
//! The suites. One file each; a case is a function that says what it asserts and ends with `Ok`, or with why it failed
//! or was not judged. `cases!` lists the cases of a suite, once: it makes the table that runs and exports the names to
//! the ELF file, where the harness reads which verdicts to wait for.
#![deny(unsafe_code)]

mod bench;
mod card_info;
mod config_info;
mod dqap_exceptions;
pub(crate) mod hot_unplug;
mod interrupts;
mod limits;
mod messages;
pub(crate) mod migration;
mod nqap_exceptions;
mod outside;
mod pqap_exceptions;
mod presence;
mod privileged;
mod queues;
mod random;
mod reipl;
mod reset;
mod rsa;

use crate::ap::guest::Guest;
use crate::case::report;
use crate::machine::clock;
use crate::migration::hop::Hop;
use alloc::string::String;
use ap_arch::report::Verdict;
use core::fmt::Arguments;

/// Suites that judge the guest where it is, in the order in which they run.
pub(crate) const PLAIN: &[Suite<Guest>] = &[
    presence::SUITE,
    privileged::SUITE,
    pqap_exceptions::SUITE,
    nqap_exceptions::SUITE,
    dqap_exceptions::SUITE,
    config_info::SUITE,
    queues::SUITE,
    reset::SUITE,
    messages::SUITE,
    interrupts::SUITE,
    rsa::SUITE,
    random::SUITE,
    card_info::SUITE,
];

/// Suites that run only where the command line names them: they need somebody outside, or time, or do what one should
/// know of.
pub(crate) const ON_REQUEST: &[Suite<Guest>] = &[outside::SUITE, limits::SUITE, reipl::SUITE, bench::SUITE];

/// The suite that waits for a domain to go away.
pub(crate) const HOT_UNPLUG: &Suite<hot_unplug::Unplugged> = &hot_unplug::SUITE;

/// Suites that judge what a migration left, in the order in which they run.
pub(crate) const MIGRATION: &[Suite<Hop>] = &[
    migration::apcb::SUITE,
    migration::queues::SUITE,
    migration::messages::SUITE,
    migration::interrupts::SUITE,
    migration::refused::SUITE,
    migration::rsa::SUITE,
    migration::continuous::SUITE,
    migration::keys::SUITE,
];

/// Why a case did not pass.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// It failed.
    Fail(String),
    /// It was not judged.
    Skip(String),
}

/// Out of the way, because there are hundreds of them and the image is to be small.
impl Stop {
    #[cold]
    #[inline(never)]
    pub(crate) fn fail(text: Arguments<'_>) -> Self {
        Self::Fail(alloc::fmt::format(text))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn skip(text: Arguments<'_>) -> Self {
        Self::Skip(alloc::fmt::format(text))
    }
}

/// How a case ends.
pub(crate) type Outcome = Result<(), Stop>;

/// A suite whose cases look at a `T`.
pub(crate) struct Suite<T: 'static> {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its cases.
    pub(crate) cases: &'static [Case<T>],
}

/// One case.
pub(crate) struct Case<T: 'static> {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it asserts.
    pub(crate) run: fn(&T) -> Outcome,
}

/// What cases look at.
pub(crate) trait Subject {
    /// Makes the subject fit to be looked at by the next case.
    fn recover(&self) {}
}

impl<T: Subject> Suite<T> {
    /// Runs all cases on `subject`.
    pub(crate) fn run(&self, subject: &T) {
        let start = clock::now();
        for case in self.cases {
            report::begin(self.name, case.name);
            let outcome = (case.run)(subject);
            let failed = matches!(outcome, Err(Stop::Fail(_)));
            report::outcome(outcome);
            if failed {
                subject.recover();
            }
        }
        let micros = clock::now().micros_since(start);
        report::info(format_args!("{} took {}.{:03} ms", self.name, micros / 1000, micros % 1000));
    }

    /// Reports all cases as not judged or failed, for one reason.
    pub(crate) fn give_up(&self, verdict: Verdict, reason: &str) {
        for case in self.cases {
            report::begin(self.name, case.name);
            report::end(verdict, Some(format_args!("{reason}")));
        }
    }
}

/// Fails the case unless the condition holds.
macro_rules! require {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::suites::failed!($($text)+));
        }
    };
}
pub(crate) use require;

/// The error of a case that cannot be judged.
macro_rules! skipped {
    ($($text:tt)+) => { $crate::suites::Stop::skip(format_args!($($text)+)) };
}
pub(crate) use skipped;

/// The error of a case that failed.
macro_rules! failed {
    ($($text:tt)+) => { $crate::suites::Stop::fail(format_args!($($text)+)) };
}
pub(crate) use failed;

/// Declares `SUITE` with these functions as its cases. A case is called as its function, with hyphens.
macro_rules! cases {
    ($suite:literal for $subject:ty: $($case:ident),+ $(,)?) => {
        pub(in crate::suites) const SUITE: $crate::suites::Suite<$subject> = $crate::suites::Suite {
            name: $suite,
            cases: &[$($crate::suites::Case { name: const {
                const NAME: [u8; stringify!($case).len()] = $crate::suites::hyphenated(stringify!($case));
                $crate::suites::text(&NAME)
            }, run: $case }),+],
        };

        $(const _: () = {
            const EXPORTED: &str = concat!($suite, "/", stringify!($case), "\0");
            #[used]
            // SAFETY: the section is not loaded, its contents are only read by the harness.
            #[allow(unsafe_code)]
            #[unsafe(link_section = ".kaput.cases")]
            static NAME: [u8; EXPORTED.len()] = $crate::suites::hyphenated(EXPORTED);
        };)+
    };
}
pub(crate) use cases;

/// A name of Rust as a name of a case.
const fn hyphenated<const N: usize>(name: &str) -> [u8; N] {
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        let byte = name.as_bytes()[i];
        bytes[i] = if byte == b'_' { b'-' } else { byte };
        i += 1;
    }
    bytes
}

/// Those bytes as text again.
const fn text(bytes: &'static [u8]) -> &'static str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}
