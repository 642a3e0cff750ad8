// SPDX-License-Identifier: MIT OR Apache-2.0
//! A case of calls as a C program that stands alone, for people who will not install kaput: as the first program of an
//! LPAR, or as root on a host whose adapters 04 to 06 nobody needs. The kernel's log, or a line that begins with
//! `SHOWN`, has the finding.

use std::fmt::Write as _;

use vfio_mig::conformance::races::{self, Judge, Race};
use vfio_mig::sequence::{Act, Action, Step};

use super::evidence;

/// Pieces of C, each behind a line that names it.
const PARTS: &str = include_str!("parts.c");

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
    match (race_of(id), evidence::of(id)) {
        (_, Some(seen)) if !seen.not_shown.is_empty() => Err(no(&seen.not_shown)),
        (Some(race), Some(_)) => Ok(program(id, race)),
        (None, Some(seen)) => {
            let why = "its case needs hosts as kaput makes them";
            Err(no(&format!("{why}; `kaput lab run --only {}` shows it", seen.case)))
        }
        (_, None) => Err(no("no kernel has shown it")),
    }
}

fn part(name: &str) -> &'static str {
    let parts = PARTS.split("//= ").find_map(|part| part.strip_prefix(name)?.strip_prefix('\n'));
    parts.unwrap_or_default()
}

fn program(id: &str, race: &Race) -> String {
    let steps = races::sequence(race).0;
    let uses = |wanted: fn(&Action) -> bool| steps.iter().any(|step| wanted(&step.action));
    let waits = uses(|action| matches!(action, Action::Park(..) | Action::Begin(_) | Action::Together(_)));
    let mut text = format!(
        "// SPDX-License-Identifier: MIT OR Apache-2.0\n// {id}: case races/{}. Made by `kaput explain {id} --c`; the \
         kernel's log, or a line with SHOWN, has the finding.\n// s390x-linux-gnu-gcc -O2 -Wall -Wextra -static \
         -pthread -o show show.c; kaput lab shell --program show --ap 04=cex8c,05=cex8c,06=cex8c/33,3a\n",
        race.name
    );
    text.push_str(part("head"));
    text.push_str(part("watch"));
    for (is_used, name) in [
        (waits, "work"),
        (uses(|action| matches!(action, Action::Fail(..))), "fail"),
        (race.judge == Judge::NoLeak, "traces"),
    ] {
        text.push_str(if is_used { part(name) } else { "" });
    }
    text.push_str(part("main"));
    text.push_str("\tpthread_t watcher; pthread_create(&watcher, 0, watch, 0);\n");
    let mut body = Body { text, round: "1", calls: 0, ended: 0, judge: race.judge };
    if race.rounds > 1 {
        _ = writeln!(body.text, "\tfor (int round = 1; round <= {}; round++) {{", race.rounds);
        body.round = "round";
    }
    for step in &steps {
        body.step(step);
    }
    body.text.push_str(if race.rounds > 1 { "\t}\n" } else { "" });
    body.text.push_str(match race.judge {
        Judge::Kernel => "",
        Judge::OneSucceeds => "\tif (r1 >= 0 && r2 >= 0) puts(\"SHOWN: both succeed\");\n",
        Judge::TheyDiffer => {
            "\tif (r1 > 0 && !memcmp(c1->buffer, c2->buffer, r1)) puts(\"SHOWN: the same bytes twice\");\n"
        }
        Judge::NothingLate => "\tif (late && r1 >= 0) puts(\"SHOWN: it succeeds after its session\");\n",
        Judge::NoLeak => "\ttraces();\n",
    });
    body.text.push_str("\tputs(\"done\");\n\treturn 0;\n}\n");
    body.text
}

/// The calls of `main`.
struct Body {
    text: String,
    /// The number of the round, in C.
    round: &'static str,
    calls: usize,
    ended: usize,
    judge: Judge,
}

impl Body {
    fn line(&mut self, line: &str) {
        _ = writeln!(self.text, "\t{line}");
    }

    fn step(&mut self, Step { device, action }: &Step) {
        let device = format!("&{}", device.as_deref().unwrap_or("a"));
        match action {
            Action::Plain(act) => {
                let call = self.plain(&device, act);
                self.line(&format!("SAY({call});"));
            }
            Action::Fail(number, Act::Echo { value, path }) => {
                let number = number.map_or_else(|| self.round.to_owned(), |number| number.to_string());
                self.line(&format!("SAY(fail({number}, {}, \"{value}\"));", c_path(path)));
            }
            // Only attributes are written with failing allocations here.
            Action::Fail(_, act) => {
                let call = self.plain(&device, act);
                self.line(&format!("SAY({call});"));
            }
            Action::Together(acts) => {
                self.line("go = 0;");
                let first = self.calls + 1;
                for act in acts {
                    self.begin(&device, act, -1);
                }
                self.line("usleep(1000); go = 1;");
                for number in first..=self.calls {
                    self.line(&format!("SAY(end(c{number}));"));
                }
                self.ended = self.calls;
            }
            Action::Park(at, act) => self.begin(&device, act, i64::try_from(*at).unwrap_or(0)),
            Action::Begin(act) => {
                self.begin(&device, act, -1);
                self.line("usleep(300000);");
            }
            Action::Release if self.ended < self.calls => {
                self.ended += 1;
                if self.judge == Judge::NothingLate && self.ended == 1 {
                    self.line("int late = c2->ended;");
                }
                let number = self.ended;
                self.line(&format!("long r{number} = end(c{number}); SAY(r{number});"));
            }
            Action::Change(at, bytes) => {
                let call = self.calls;
                self.line(&format!("memcpy(c{call}->buffer + {at}, \"{}\", {});", c_bytes(bytes), bytes.len()));
            }
            Action::Patch(at, bytes) => {
                self.line(&format!("memcpy(bytes + {at}, \"{}\", {});", c_bytes(bytes), bytes.len()));
            }
            Action::Fault(..) | Action::Release | Action::Again(_) => {}
        }
    }

    fn begin(&mut self, device: &str, act: &Act, at: i64) {
        self.calls += 1;
        let (verb, value, from, size) = match act {
            Act::Write(None) => ('w', 0, "0".to_owned(), "length".to_owned()),
            Act::Write(Some(range)) => ('w', 0, range.start.to_string(), range.len().to_string()),
            Act::Read(length) => ('r', 0, "0".to_owned(), length.to_string()),
            Act::Set(state) => ('s', state.0, "0".to_owned(), "0".to_owned()),
            Act::Close => ('c', 0, "0".to_owned(), "0".to_owned()),
            Act::CloseDevice => ('d', 0, "0".to_owned(), "0".to_owned()),
            _ => ('x', 0, "0".to_owned(), "0".to_owned()),
        };
        let call = self.calls;
        self.line(&format!("struct call *c{call} = begin({device}, '{verb}', {value}, {from}, {size}, {at});"));
    }

    fn plain(&self, device: &str, act: &Act) -> String {
        let name = &device[1..];
        match act {
            Act::Set(state) => format!("set({device}, {})", state.0),
            Act::Get | Act::Size => format!("get({device})"),
            Act::Read(length) => format!("ERR(read({name}.stream, bytes + 32768, {length}))"),
            Act::Write(None) => format!("ERR(write({name}.stream, bytes, length))"),
            Act::Write(Some(range)) => {
                format!("ERR(write({name}.stream, bytes + {}, {}))", range.start, range.len())
            }
            Act::Close => format!("ERR(close({name}.stream))"),
            Act::Reset => format!("ERR(ioctl({name}.file, 0x3b6f))"),
            Act::Open => format!("open_device({device})"),
            Act::CloseDevice => format!("close_device({device})"),
            Act::Echo { value, path } => format!("put({}, \"{value}\")", c_path(path)),
        }
    }
}

/// A path; the folder of the first device has its UUID there.
fn c_path(path: &str) -> String {
    match path.strip_prefix("@/") {
        Some(rest) => match rest.strip_prefix("../") {
            Some(above) => format!("M \"{above}\""),
            None => format!("M \"6b617075-7400-4000-8000-00000000000a/{rest}\""),
        },
        None => format!("\"{path}\""),
    }
}

fn c_bytes(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_short_and_there_is_one_for_every_finding_that_calls_have_shown() {
        for finding in vfio_mig::catalogue::findings() {
            match (of(finding.id), evidence::of(finding.id)) {
                (Ok(program), _) => assert!(program.lines().count() <= 80, "{}: {program}", finding.id),
                (Err(error), Some(seen)) if seen.case.starts_with("races/") => panic!("{error}"),
                (Err(error), _) => assert!(error.to_string().len() > finding.id.len() + 40, "{error}"),
            }
        }
    }
}
