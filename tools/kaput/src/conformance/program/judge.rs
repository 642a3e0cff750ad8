// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program says of what it saw: whether it is the finding.

use ap_arch::{Mask256, Matrix};
use vfio_mig::conformance::Recording;
use vfio_mig::conformance::races;
use vfio_mig::{DeviceState, Errno};

use super::at_first;
use super::text::literal;

/// Of a hundred rounds so many leave something behind if memory leaks.
const LEAKS_OF_100: u32 = 80;

/// Who judges.
pub(super) enum Judge {
    /// As in the races, in so many rounds at most.
    Race(races::Judge, u32),
    /// The last call answers what it did; and what it was to answer.
    Answer(i64, String),
    /// An attribute of device A says something else than this.
    Attribute(&'static str, String),
    /// What is read is not the stream of before.
    OtherStream,
    /// The length in the header.
    Length,
    /// The facilities of the first queue in the stream.
    Facilities,
}

impl Judge {
    /// Of a case that was run.
    ///
    /// # Errors
    /// What a program cannot do or see.
    pub(super) fn of(recording: &Recording) -> Result<Self, String> {
        let Recording { asked, expected, seen, answer, outside, .. } = recording;
        if asked.starts_with("facility word of 04.0033") && outside.len() == 1 {
            return Ok(Self::Facilities);
        }
        if let Some(first) = outside.first() {
            return Err(format!("its case has what no program has: {first}"));
        }
        if asked.starts_with("length field") {
            return Ok(Self::Length);
        }
        if expected == "the stream of before the change" {
            return Ok(Self::OtherStream);
        }
        if expected.starts_with("adapters {") {
            return Ok(Self::of_guest(expected, seen));
        }
        let said = format!("{asked}: right is {expected}");
        match number(seen) {
            Some(number) if answer == seen => Ok(Self::Answer(number, said)),
            _ => Err(format!("a program does not see this: {asked}")),
        }
    }

    /// What a guest has. sysfs shows it in two attributes; the case is about the one that differs.
    fn of_guest(expected: &str, seen: &str) -> Self {
        let queues = |text: &str| text.split(", control domains").next().map(str::to_owned);
        let Matrix { control_domains, .. } = at_first();
        if queues(expected) == queues(seen) {
            Self::Attribute("control_domains", listed(&control_domains))
        } else {
            let queues = at_first().queues().map(|queue| format!("{queue}\n")).collect();
            Self::Attribute("guest_matrix", queues)
        }
    }

    /// The piece of C that it needs.
    pub(super) const fn part(&self) -> Option<&'static str> {
        match self {
            Self::Race(races::Judge::NoLeak, _) => Some("traces"),
            Self::Attribute(..) => Some("shows"),
            Self::Facilities => Some("facilities"),
            _ => None,
        }
    }

    /// Of how many calls of other threads the answers matter.
    pub(super) const fn answers(&self) -> usize {
        match self {
            Self::Race(races::Judge::OneSucceeds, _) => 2,
            Self::Race(races::Judge::TheyDiffer | races::Judge::NothingLate, _) => 1,
            _ => 0,
        }
    }

    pub(super) fn looks_at_control_domains(&self) -> bool {
        matches!(self, Self::Attribute("control_domains", _))
    }

    /// Whether only the kernel's log has the finding.
    pub(super) const fn is_the_kernel(&self) -> bool {
        matches!(self, Self::Race(races::Judge::Kernel, _))
    }

    /// What it asks before the calls.
    pub(super) fn before(&self) -> Vec<String> {
        let leaks = matches!(self, Self::Race(races::Judge::NoLeak, _));
        leaks.then(|| "\tlong before = SAY(alive());".to_owned()).into_iter().collect()
    }

    /// What it asks when all calls were made.
    pub(super) fn at_the_end(&self) -> Vec<String> {
        let shown = |condition: &str, text: &str| vec![format!("\tif ({condition}) puts({});", literal(text))];
        match self {
            Self::Race(races::Judge::Kernel, _) => Vec::new(),
            Self::Race(races::Judge::OneSucceeds, _) => shown("r1 >= 0 && r2 >= 0", "SHOWN: both succeed"),
            Self::Race(races::Judge::TheyDiffer, _) => {
                shown("r1 > 0 && !memcmp(c1.buffer, bytes + 32768, r1)", "SHOWN: the same bytes twice")
            }
            Self::Race(races::Judge::NothingLate, _) => {
                shown("late && r1 >= 0", "SHOWN: it succeeds after its session")
            }
            Self::Race(races::Judge::NoLeak, rounds) => {
                let least = rounds * LEAKS_OF_100 / 100;
                shown(&format!("SAY(alive() - before) >= {least}"), "SHOWN: more is alive after all rounds")
            }
            Self::Answer(number, said) => shown(&format!("last == {number}"), &format!("SHOWN: {said}")),
            Self::Attribute(name, right) => vec![format!("\tshows(M A \"/{name}\", {});", literal(right))],
            Self::OtherStream => {
                shown("got == length && memcmp(bytes, bytes + 32768, got)", "SHOWN: not the stream of before")
            }
            Self::Length => {
                let mut lines = vec!["\tlong said = *(long *)(bytes + 8);".to_owned()];
                lines.push("\tprintf(\"its header says %ld\\n\", said);".to_owned());
                lines.extend(shown("length > 0 && said != length", "SHOWN: it says another length than it has"));
                lines
            }
            Self::Facilities => vec!["\tfacilities();".to_owned()],
        }
    }
}

/// As sysfs lists domains.
fn listed(domains: &Mask256) -> String {
    domains.iter().map(|domain| format!("{domain:04x}\n")).collect()
}

/// An answer as a program has it.
fn number(answer: &str) -> Option<i64> {
    let first = answer.split(' ').next().unwrap_or_default();
    let errno = Errno::NAMED.iter().find(|errno| errno.name() == Some(answer));
    let state = DeviceState::NAMED.iter().find(|state| state.name() == Some(answer));
    match (answer, errno, state) {
        ("ok" | "ok, stream" | "end", ..) => Some(0),
        (_, Some(errno), _) => Some(-i64::from(errno.0)),
        (_, _, Some(state)) => Some(i64::from(state.0)),
        _ => first.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_numbers_as_system_calls_have_them() {
        let of = |answer| number(answer);
        assert_eq!([of("ok"), of("ok, stream"), of("end"), of("16 bytes")], [Some(0), Some(0), Some(0), Some(16)]);
        assert_eq!([of("EFAULT"), of("stop-copy"), of("48"), of("another one")], [Some(-14), Some(3), Some(48), None]);
    }

    #[test]
    fn what_a_program_cannot_do_is_named() {
        let outside = vec!["TAPQ of 04.0033 := GR2 0".to_owned()];
        let error = Judge::of(&Recording { outside, ..Recording::default() }).err().unwrap_or_default();
        assert!(error.contains("TAPQ of 04.0033"), "{error}");
    }
}
