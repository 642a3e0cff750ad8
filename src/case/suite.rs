// SPDX-License-Identifier: MIT OR Apache-2.0
//! A suite and its cases. A case is a function, or a line, that says what it asserts and gives an `Outcome`. `cases!`
//! lists the cases of a suite, once: it makes the table that runs and exports the names to the ELF file, where the
//! harness reads which verdicts to wait for.

use super::outcome::{Outcome, Stop};
use super::report;
use crate::machine::clock;

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
    pub(crate) fn give_up(&self, stop: &Stop) {
        for case in self.cases {
            report::begin(self.name, case.name);
            report::outcome(Err(stop.clone()));
        }
    }
}

/// Declares `SUITE` with these functions as its cases, or with what stands behind a name, where a line says it all. A
/// case is called as its function, with hyphens.
macro_rules! cases {
    (@run $case:ident) => { $case };
    (@run $case:ident $run:expr) => { $run };
    ($suite:literal for $subject:ty: $($(#[$says:meta])* $case:ident $(: $run:expr)?),+ $(,)?) => {
        pub(crate) const SUITE: $crate::case::suite::Suite<$subject> = $crate::case::suite::Suite {
            name: $suite,
            cases: &[$($crate::case::suite::Case { name: const {
                const NAME: [u8; stringify!($case).len()] = $crate::case::suite::hyphenated(stringify!($case));
                $crate::case::suite::text(&NAME)
            }, run: $crate::case::suite::cases!(@run $case $($run)?) }),+],
        };

        $(const _: () = {
            const EXPORTED: &str = concat!($suite, "/", stringify!($case), "\0");
            #[used]
            // SAFETY: the section is not loaded, its contents are only read by the harness.
            #[allow(unsafe_code)]
            #[unsafe(link_section = ".kaput.cases")]
            static NAME: [u8; EXPORTED.len()] = $crate::case::suite::hyphenated(EXPORTED);
        };)+
    };
}
pub(crate) use cases;

/// A name of Rust as a name of a case.
pub(crate) const fn hyphenated<const N: usize>(name: &str) -> [u8; N] {
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
pub(crate) const fn text(bytes: &'static [u8]) -> &'static str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(_) => "",
    }
}
