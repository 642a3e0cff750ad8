// SPDX-License-Identifier: MIT OR Apache-2.0
//! The calls of a sequence as lines of C: those of `main`, and a function for each that another thread makes.

use vfio_mig::DeviceState;
use vfio_mig::conformance::races;
use vfio_mig::sequence::{Act, Action, Sequence, Step};

use super::judge::Judge;
use super::text::{bytes, literal};

/// What is read behind the stream itself.
const READ: &str = "bytes + 32768";

/// Lines of C.
pub(super) struct Body {
    /// Functions.
    pub(super) threads: Vec<String>,
    /// Of `main`.
    pub(super) lines: Vec<String>,
    /// The number of the round, in C.
    round: &'static str,
    indent: &'static str,
    /// Calls of other threads.
    calls: usize,
    ended: usize,
    /// Of so many of them the answers are kept.
    answers: usize,
    is_stream_compared: bool,
    may_be_late: bool,
    /// A step that has no C.
    missing: Option<String>,
}

impl Body {
    /// Of a sequence.
    ///
    /// # Errors
    /// The step that has no C.
    pub(super) fn of(sequence: &Sequence, judge: &Judge, rounds: u32) -> Result<Self, String> {
        let repeats = rounds > 1;
        let mut body = Self {
            threads: Vec::new(),
            lines: Vec::new(),
            round: if repeats { "round" } else { "1" },
            indent: if repeats { "\t\t" } else { "\t" },
            calls: 0,
            ended: 0,
            answers: judge.answers(),
            is_stream_compared: matches!(judge, Judge::OtherStream),
            may_be_late: matches!(judge, Judge::Race(races::Judge::NothingLate, _)),
            missing: None,
        };
        if repeats {
            body.lines.push(format!("\tfor (int round = 1; round <= {rounds}; round++) {{"));
        }
        if body.is_stream_compared {
            body.line("long got = 0;");
        }
        let is_answer_judged = matches!(judge, Judge::Answer(..));
        for (at, step) in sequence.0.iter().enumerate() {
            body.step(step, is_answer_judged && at + 1 == sequence.0.len());
        }
        if repeats {
            body.lines.push("\t}".to_owned());
        }
        match body.missing.take() {
            Some(step) => Err(format!("its case has a step that no program has: {step}")),
            None => Ok(body),
        }
    }

    fn line(&mut self, line: &str) {
        self.lines.push(format!("{}{line}", self.indent));
    }

    fn step(&mut self, Step { device, action }: &Step, is_judged: bool) {
        let device = device.as_deref().unwrap_or("a");
        match action {
            Action::Plain(Act::Size) => self.missing = Some(action.to_string()),
            Action::Plain(Act::Read(length)) if self.is_stream_compared => {
                self.line(&format!("got += SAY(ERR(read(a.stream, {READ} + got, {length})));"));
            }
            Action::Plain(act) => {
                let call = plain(device, act, None);
                self.line(&if is_judged { format!("long last = SAY({call});") } else { format!("SAY({call});") });
            }
            Action::Fail(number, Act::Echo { value, path }) => {
                let number = number.map_or_else(|| self.round.to_owned(), |number| number.to_string());
                self.line(&format!("SAY(fail({number}, {}, {}));", c_path(path), c_value(value)));
            }
            Action::Together(acts) => self.together(device, acts),
            Action::Park(at, act) => {
                let number = self.thread(&plain(device, act, Some("p")), "");
                self.line(&format!("park(&c{number}, call{number}, {at});"));
            }
            Action::Begin(act) => {
                let number = self.thread(&plain(device, act, Some("p")), "");
                let from = if matches!(act, Act::Read(_)) { READ } else { "bytes" };
                self.line(&format!(
                    "c{number}.fd = -1, pthread_create(&c{number}.thread, 0, call{number}, {from}), usleep(300000);"
                ));
            }
            Action::Release if self.ended < self.calls => self.release(),
            Action::Change(at, data) => {
                let number = self.calls;
                self.line(&format!("memcpy(c{number}.buffer + {at}, {}, {});", bytes(data), data.len()));
            }
            Action::Patch(at, data) => self.line(&format!("memcpy(bytes + {at}, {}, {});", bytes(data), data.len())),
            Action::Fault(..) | Action::Fail(..) | Action::Release | Action::Again(_) => {
                self.missing = Some(action.to_string());
            }
        }
    }

    /// A function for a call; its number.
    fn thread(&mut self, call: &str, before: &str) -> usize {
        self.calls += 1;
        let number = self.calls;
        let unused = if call.contains(", p,") { "" } else { "(void)p, " };
        let does = if self.may_be_late && number == 2 {
            self.threads.push("static volatile int ended;".to_owned());
            format!("long r = {call}; return ended = 1, {unused}(void *)r;")
        } else {
            format!("{before}return {unused}(void *){call};")
        };
        self.threads.push(format!("void *call{number}(void *p) {{ {does} }}"));
        number
    }

    fn together(&mut self, device: &str, acts: &[Act]) {
        self.line("pthread_t threads[2];");
        self.line("go = 0;");
        for (at, act) in acts.iter().enumerate() {
            let number = self.thread(&plain(device, act, None), "while (!go); ");
            self.line(&format!("pthread_create(threads + {at}, 0, call{number}, 0);"));
        }
        self.line("usleep(1000), go = 1;");
        for at in 0..acts.len() {
            self.line(&format!("pthread_join(threads[{at}], 0);"));
        }
        self.ended = self.calls;
    }

    fn release(&mut self) {
        self.ended += 1;
        let number = self.ended;
        if self.may_be_late && number == 1 {
            self.line("int late = ended;");
        }
        let keeps = if number <= self.answers { format!("long r{number} = ") } else { String::new() };
        self.line(&format!("{keeps}SAY(end(&c{number}));"));
    }
}

/// A call; of another thread it may have a buffer.
fn plain(name: &str, act: &Act, buffer: Option<&str>) -> String {
    let from = |at: usize| match buffer {
        Some(buffer) => buffer.to_owned(),
        None if at == 0 => "bytes".to_owned(),
        None => format!("bytes + {at}"),
    };
    match act {
        Act::Set(state) => format!("state(&{name}, SET, {})", c_state(*state)),
        Act::Get | Act::Size => format!("state(&{name}, GET, 0)"),
        Act::Read(length) => format!("ERR(read({name}.stream, {}, {length}))", buffer.unwrap_or(READ)),
        Act::Write(None) => format!("ERR(write({name}.stream, {}, length))", from(0)),
        Act::Write(Some(range)) => format!("ERR(write({name}.stream, {}, {}))", from(range.start), range.len()),
        Act::Close => format!("ERR(close({name}.stream))"),
        Act::Reset => format!("ERR(ioctl({name}.file, 0x3b6f))"),
        Act::Open => format!("open_device(&{name})"),
        Act::CloseDevice => format!("close_device(&{name})"),
        Act::Echo { value, path } => format!("PUT({}, {})", c_path(path), c_value(value)),
    }
}

fn c_state(state: DeviceState) -> String {
    match state {
        DeviceState::STOP => "STOP".to_owned(),
        DeviceState::RUNNING => "RUNNING".to_owned(),
        DeviceState::STOP_COPY => "STOP_COPY".to_owned(),
        DeviceState::RESUMING => "RESUMING".to_owned(),
        DeviceState(number) => number.to_string(),
    }
}

/// A path; the folder of the first device has its UUID there.
fn c_path(path: &str) -> String {
    match path.strip_prefix("@/").map(|rest| (rest, rest.strip_prefix("../"))) {
        Some((_, Some(above))) => format!("M {}", literal(above)),
        Some((rest, None)) => format!("M A {}", literal(&format!("/{rest}"))),
        None => literal(path),
    }
}

fn c_value(value: &str) -> String {
    literal(value)
}
