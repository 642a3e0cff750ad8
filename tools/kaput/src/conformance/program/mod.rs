// SPDX-License-Identifier: MIT OR Apache-2.0
//! A case as a C program that stands alone, for people who will not install kaput: as the first program of an LPAR, or
//! as root on a host whose adapters 04 to 07 nobody needs. The kernel's log, or a line that begins with `SHOWN`, has
//! the finding. A case of races is calls already; of another one the calls are taken that it makes on the model of v3.

mod body;
mod judge;
mod text;

use ap_arch::Matrix;
use vfio_ap::model::ModelFactory;
use vfio_ap::profile::Profile;
use vfio_mig::conformance::races::{self, Race};
use vfio_mig::conformance::{HostSetup, record};
use vfio_mig::sequence::{Act, Action, Sequence};

use super::evidence::{self, Evidence};
use body::Body;
use judge::Judge;
use text::{Text, literal};

/// Why there is no program for a finding.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there is no program that shows `{id}`: {why}")]
pub struct NoProgram {
    id: String,
    why: String,
}

/// The case of calls that stands for a finding, of several the one that a kernel was shown by.
#[must_use]
pub fn race_of(id: &str) -> Option<&'static Race> {
    let shown = evidence::of(id).map(|evidence| evidence.case.as_str()).unwrap_or_default();
    let mut races = races::RACES.iter().filter(|race| race.covers.contains(&id));
    races.clone().find(|race| shown.strip_prefix("races/") == Some(race.name)).or_else(|| races.next())
}

/// The program that shows a finding.
///
/// # Errors
/// [`NoProgram`]: no kernel shows it, or its case is more than calls.
pub fn of(id: &str) -> Result<String, NoProgram> {
    let no = |why: &str| NoProgram { id: id.to_owned(), why: why.to_owned() };
    let seen = evidence::of(id).ok_or_else(|| no("no kernel has shown it"))?;
    if !seen.not_shown.is_empty() {
        return Err(no(&seen.not_shown));
    }
    let program = race_of(id).map_or_else(|| Program::of_case(&seen.case), |race| Ok(Program::of_race(race)));
    let text = program.and_then(|program| program.text(id, seen));
    text.map_err(|why| no(&format!("{why}; `kaput lab run --only {}` shows it", seen.case)))
}

/// Rounds after which memory that leaks is seen. A program looks at the driver's memory only, a case at all of it.
const ROUNDS_OF_LEAKS: u32 = 10;

/// What a program does.
struct Program {
    sequence: Sequence,
    /// How often at most.
    rounds: u32,
    judge: Judge,
    /// What device A has assigned when the calls begin.
    assigned: Matrix,
    /// The kernel's checkers may judge.
    is_race: bool,
}

/// What device A has assigned at first.
fn at_first() -> Matrix {
    HostSetup::source().mdevs.first().map(|mdev| mdev.matrix).unwrap_or_default()
}

impl Program {
    fn of_race(race: &Race) -> Self {
        let leaks = race.judge == races::Judge::NoLeak;
        let rounds = if leaks { ROUNDS_OF_LEAKS } else { race.rounds };
        let judge = Judge::Race(race.judge, rounds);
        Self { sequence: races::sequence(race), rounds, judge, assigned: at_first(), is_race: true }
    }

    /// Of a case of another kind.
    fn of_case(name: &str) -> Result<Self, String> {
        let v3 = ModelFactory { profile: Profile::V3, defects: Vec::new() };
        let recording = record(&v3, name).ok_or("its case does not fail on the model of v3")?;
        let judge = Judge::of(&recording)?;
        Ok(Self { sequence: recording.sequence, rounds: 1, judge, assigned: recording.assigned, is_race: false })
    }

    fn uses(&self, wanted: fn(&Action) -> bool) -> bool {
        self.sequence.0.iter().any(|step| wanted(&step.action))
    }

    fn text(&self, id: &str, seen: &Evidence) -> Result<String, String> {
        let closes = |act: &Act| matches!(act, Act::CloseDevice);
        let closes = self.sequence.0.iter().any(|step| match &step.action {
            Action::Plain(act) => closes(act),
            Action::Together(acts) => acts.iter().any(closes),
            _ => false,
        });
        let hangs = seen.said.iter().any(|line| line.contains("does not return") || line.contains("recursive locking"));
        let parks = self.uses(|action| matches!(action, Action::Park(..) | Action::Begin(_)));
        let together = self.uses(|action| matches!(action, Action::Together(_)));
        let fails = self.uses(|action| matches!(action, Action::Fail(..)));
        let traces = self.judge.part() == Some("traces");
        let has_b = self.sequence.0.iter().any(|step| step.device.is_some());
        let with_control_domains = self.judge.looks_at_control_domains();
        let body = Body::of(&self.sequence, &self.judge, self.rounds)?;

        let mut text = Text::default();
        text.parts(&[(true, "base"), (has_b, "b"), (true, "state"), (true, "open"), (closes, "close")]);
        text.parts(&[(hangs, "watch"), (parks, "park"), (fails, "fail"), (together, "together")]);
        text.parts(&[(true, self.judge.part().unwrap_or_default())]);
        text.lines(&body.threads);
        text.parts(&[(true, "main"), (fails || traces, "main debugfs"), (fails, "main fail"), (true, "main queues")]);
        text.parts(&[(self.is_race && !traces, "main order"), (true, "main create")]);
        text.lines(&changes(&Matrix::EMPTY, &at_first(), with_control_domains));
        text.parts(&[(has_b, "main b"), (!has_b, "main a"), (true, "main stream"), (hangs, "main watch")]);
        text.lines(&changes(&at_first(), &self.assigned, with_control_domains));
        text.lines(&self.judge.before());
        text.lines(&body.lines);
        text.lines(&self.judge.at_the_end());
        let done = if self.judge.is_the_kernel() { "done: see the kernel's log" } else { "done" };
        text.lines(&[format!("\treturn puts({}) < 0;", literal(done)), "}".to_owned()]);
        Ok(text.whole(id, &seen.case))
    }
}

/// The attributes by which other queues are assigned to device A.
fn changes(from: &Matrix, to: &Matrix, with_control_domains: bool) -> Vec<String> {
    let kinds = [
        ("adapter", &from.adapters, &to.adapters),
        ("domain", &from.domains, &to.domains),
        ("control_domain", &from.control_domains, &to.control_domains),
    ];
    let mut lines = Vec::new();
    for (kind, from, to) in kinds.into_iter().take(if with_control_domains { 3 } else { 2 }) {
        let put = |verb: &str, number: u8| format!("PUT(M A \"/{verb}_{kind}\", \"{number:#x}\")");
        let gone = from.iter().filter(|number| !to.contains(*number)).map(|number| put("unassign", number));
        let come = to.iter().filter(|number| !from.contains(*number)).map(|number| put("assign", number));
        let all: Vec<String> = gone.chain(come).collect();
        lines.extend(all.chunks(2).map(|some| format!("\t{};", some.join(", "))));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_short_and_narrow_and_there_is_one_for_every_finding_that_calls_have_shown() {
        for finding in vfio_mig::catalogue::findings() {
            match (of(finding.id), evidence::of(finding.id)) {
                (Ok(program), _) => {
                    assert!(program.lines().count() <= text::LINES, "{}: {program}", finding.id);
                    let wide = program.lines().find(|line| text::width(line) > text::WIDTH);
                    assert_eq!(wide, None, "{}", finding.id);
                }
                (Err(error), Some(seen)) if seen.case.starts_with("races/") => panic!("{error}"),
                (Err(error), _) => assert!(error.to_string().len() > finding.id.len() + 40, "{error}"),
            }
        }
    }

    #[test]
    fn what_the_model_of_v3_does_in_a_program_is_what_the_kernel_was_seen_to_do() {
        let v3 = ModelFactory { profile: Profile::V3, defects: Vec::new() };
        for (id, seen) in evidence::all().iter().filter(|(id, _)| race_of(id).is_none() && of(id).is_ok()) {
            // What such a stack holds the model cannot know.
            if seen.kernel.contains("pattern") {
                continue;
            }
            let recording = record(&v3, &seen.case).expect("a recording");
            assert_eq!(seen.said.first(), Some(&format!("asked: {}", recording.asked)), "{id}");
        }
    }
}
