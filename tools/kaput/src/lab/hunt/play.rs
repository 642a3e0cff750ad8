// SPDX-License-Identifier: MIT OR Apache-2.0
//! Plays a sequence on a fresh host and says what was found: what the kernel complains about, a call without an answer
//! that may not wait, a write that is accepted after its session.

use std::collections::BTreeSet;

use vfio_mig::catalogue::{elsewhere, finding_of};
use vfio_mig::complaint::Key;
use vfio_mig::conformance::{A, B, DeviceFactory, HostSetup, NoHost};
use vfio_mig::sequence::{Act, Action, Done, Player, Sequence, Step, devices};
use vfio_mig::{Complaint, DeviceError, DeviceState};

/// lockdep judges the order of locks from there on; it ends with its first report.
pub(super) const ORDER: &str = "/sys/module/lockdep/parameters/prove_locking";
/// Steps from one look at the log to the next.
const LOOK: usize = 4;
/// A device that sequences make.
pub(super) const EXTRA: &str = "6b617075-0000-4000-8000-000000000001";

/// What one sequence came to.
#[derive(Clone, Debug, Default)]
pub struct Played {
    /// How many steps there were until something was found, or all.
    pub steps: usize,
    /// The calls that ended, those of the last round.
    pub calls: Vec<Done>,
    /// What was found, and what was said of it.
    pub found: Vec<(Key, Vec<String>)>,
    /// Steps that had nothing to act upon, by their places.
    pub idle: BTreeSet<usize>,
    /// These, and those that were refused.
    pub refused: BTreeSet<usize>,
    /// A call has not ended.
    pub hangs: bool,
}

impl Played {
    fn add(&mut self, kind: &str, function: &str, object: &str, said: String) {
        let [kind, function, object] = [kind, function, object].map(str::to_owned);
        self.found.push((Key { kind, function, object }, vec![said]));
    }

    /// What a step did, at this place.
    fn note(&mut self, at: usize, step: &Step, ended: &[Done]) {
        if !matches!(step.action, Action::Plain(_) | Action::Fail(..) | Action::Fault(..) | Action::Together(_)) {
            return;
        }
        if ended.is_empty() {
            self.idle.insert(at);
        }
        if ended.iter().all(|done| matches!(done.result, Err(DeviceError::Refused { .. }))) {
            self.refused.insert(at);
        } else {
            self.refused.remove(&at);
        }
    }
}

fn setup() -> HostSetup {
    let mut setup = HostSetup::source();
    setup.mdevs.retain(|mdev| mdev.name == A || mdev.name == B);
    setup
}

fn is_of_driver(complaint: &Complaint) -> bool {
    elsewhere(complaint).is_none()
}

/// What counts as the same: the finding, or what is known of an unknown one.
pub(super) fn name(key: &Key) -> String {
    finding_of(key).map_or_else(|| key.to_string(), str::to_owned)
}

/// Plays a sequence on a fresh host. A host that is lost is a finding too: its kernel has ended.
///
/// # Errors
/// [`NoHost`].
pub fn play(factory: &dyn DeviceFactory, sequence: &Sequence) -> Result<Played, NoHost> {
    let host = factory.host(&setup())?;
    let devices = devices(&*host, &[A, B]);
    let mut played = Played::default();
    let mut player = Player::new(&*host, &devices).map_err(|error| NoHost::Broken(error.to_string()))?;
    let mut sessions = Sessions::default();
    let (mut at, mut round, mut is_over) = (0, 1, false);
    let (mut fails, mut failed) = (false, false);
    let mut lost = None;
    while !is_over {
        let step = sequence.0.get(at);
        played.steps = played.steps.max(at + usize::from(step.is_some()));
        let elsewhere = step.is_some_and(|step| player.waits_elsewhere(step));
        let ended = match step {
            Some(Step { action: Action::Again(_), .. }) => player.finish(),
            None => player.finish().and_then(|ended| Ok([ended, player.close_streams()?].concat())),
            Some(step) => player.step(step, round),
        };
        let ended = match ended {
            Ok(ended) => ended,
            Err(error) => {
                lost = Some(error.to_string());
                break;
            }
        };
        if let Some(step) = step {
            played.note(at, step, &ended);
            sessions.step(step, &ended, player.waits());
            fails |= matches!(step.action, Action::Fail(None, _));
        }
        for done in ended {
            failed |= done.failed;
            played.hangs |= matches!(done.result, Err(DeviceError::Hung(_)));
            without_answer(&mut played, &done, player.waits(), elsewhere);
            if sessions.is_late(&done) {
                let said = format!("{} = {}, and its session was over", done.call, done.answer());
                played.add("late success", "write", "", said);
            }
            played.calls.push(done);
        }
        is_over |= step.is_none() || played.hangs || !played.found.is_empty();
        // What comes after the first complaint shows nothing, because the checkers report once. A look at the log takes
        // as long as some calls.
        let ends_round = matches!(step, Some(Step { action: Action::Again(_), .. }));
        if ends_round || round == 1 && at % LOOK == LOOK - 1 {
            is_over |= host.complaints().is_ok_and(|complaints| complaints.iter().any(is_of_driver));
        }
        match step.map(|step| &step.action) {
            // When no allocation fails any more, all were tried.
            Some(Action::Again(rounds)) if round < *rounds && (failed || !fails) && !is_over => {
                (at, round, failed) = (0, round + 1, false);
                played.calls.clear();
            }
            _ => at += 1,
        }
    }
    drop(player);
    for complaint in host.complaints().unwrap_or_default().into_iter().filter(is_of_driver) {
        if played.found.iter().all(|(key, _)| *key != complaint.key()) {
            played.found.push((complaint.key(), complaint.short()));
        }
    }
    // A kernel that ends without a word, or a connection.
    if let Some(error) = lost.filter(|_| played.found.is_empty()) {
        played.add("the host is lost", "", "", error);
    }
    Ok(played)
}

/// A call that does not end is a finding unless it may wait. What changes a session may wait for a call of the same
/// device that waits itself, and a removal for the user of its device; a question may not wait, nor may anything for
/// another device.
fn without_answer(played: &mut Played, done: &Done, waits: bool, elsewhere: bool) {
    let Err(error @ DeviceError::Hung(_)) = &done.result else { return };
    let call = done.call.rsplit(": ").next().unwrap_or_default();
    let verb = call.split([' ', ',']).next().unwrap_or_default();
    // Of an attribute its name says more.
    let function = if verb == "echo" { call.rsplit('/').next().unwrap_or_default() } else { verb };
    let may_wait = if elsewhere { false } else { waits || function == "remove" };
    if may_wait && !["get", "size"].contains(&function) {
        return;
    }
    let object = match (elsewhere, done.call.contains("fail ")) {
        (true, _) => "a call of another device waits",
        (false, true) => "a failing allocation",
        (false, false) => "",
    };
    played.add("no answer", function, object, format!("{}: {error}", done.call));
}

/// Devices whose session was ended while a call of theirs waited.
#[derive(Default)]
struct Sessions(BTreeSet<String>);

impl Sessions {
    fn step(&mut self, Step { device, action }: &Step, ended: &[Done], waits: bool) {
        let device = device.as_deref().unwrap_or(A);
        let is_done = ended.iter().any(|done| done.result.is_ok());
        match action {
            Action::Plain(Act::Set(DeviceState::RESUMING)) => _ = self.0.remove(device),
            Action::Plain(Act::Set(_) | Act::Reset) if is_done && waits => _ = self.0.insert(device.to_owned()),
            _ if !waits && !matches!(action, Action::Release) => self.0.clear(),
            _ => {}
        }
    }

    /// Whether it is a write that waited meanwhile and was accepted.
    fn is_late(&self, done: &Done) -> bool {
        let (device, call) = match done.call.strip_prefix("on ").and_then(|rest| rest.split_once(": ")) {
            Some((device, call)) => (device, call),
            None => (A, done.call.as_str()),
        };
        let is_write = call.starts_with("park ") && call.contains(": write ") && call.ends_with(", released");
        is_write && done.result.is_ok() && self.0.contains(device)
    }
}

#[cfg(test)]
mod tests {
    use vfio_mig::{Answered, Errno};

    use super::*;

    fn done(call: &str, result: Result<Answered, DeviceError>) -> Done {
        Done { call: call.to_owned(), result, overtook: false, failed: false }
    }

    /// What is found when a call does not return: while a call of its device waits, or only one of another.
    fn found(call: &str, waits: bool, elsewhere: bool) -> Option<String> {
        let mut played = Played::default();
        let hung = Err(DeviceError::Hung("it has not returned".to_owned()));
        without_answer(&mut played, &done(call, hung), waits, elsewhere);
        played.found.first().map(|(key, _)| format!("{}|{}|{}", key.kind, key.function, key.object))
    }

    #[test]
    fn a_question_may_not_wait_whatever_else_does() {
        for waits in [false, true] {
            assert_eq!(found("get", waits, false).as_deref(), Some("no answer|get|"));
            assert_eq!(found("on b: size", waits, false).as_deref(), Some("no answer|size|"));
        }
    }

    #[test]
    fn what_changes_a_session_may_wait_for_a_call_of_its_own_device_only() {
        for call in ["set running", "close-device", "reset", "park at 16: write all, released"] {
            assert_eq!(found(call, true, false), None, "{call}");
            assert!(found(call, false, false).is_some(), "{call}");
        }
        let elsewhere = found("on b: set running", true, true);
        assert_eq!(elsewhere.as_deref(), Some("no answer|set|a call of another device waits"));
    }

    #[test]
    fn a_removal_may_wait_for_the_user_of_its_device_and_another_attribute_may_not() {
        assert_eq!(found("echo 1 > @/remove", false, false), None);
        assert!(found("on b: echo 1 > @/remove", true, true).is_some());
        let making = found("fail 7: echo x > @/../mdev_supported_types/vfio_ap-passthrough/create", false, false);
        assert_eq!(making.as_deref(), Some("no answer|create|a failing allocation"));
    }

    #[test]
    fn an_answer_is_no_finding_not_even_an_error() {
        for result in [Ok(Answered::Done), Err(Errno::EIO.into())] {
            let mut played = Played::default();
            without_answer(&mut played, &done("get", result), false, false);
            assert!(played.found.is_empty());
        }
    }

    /// Whether `released`, of a call that waited while these steps were answered, is a late success.
    fn is_late(steps: &[(&str, bool)], released: &str, result: Result<Answered, DeviceError>) -> bool {
        let mut sessions = Sessions::default();
        for (text, succeeds) in steps {
            let answer = if *succeeds { Ok(Answered::Stream(None)) } else { Err(Errno::EBUSY.into()) };
            sessions.step(&text.parse().expect("a step"), &[done(text, answer)], true);
        }
        sessions.step(&"release".parse().expect("a step"), &[], false);
        sessions.is_late(&done(released, result))
    }

    const WRITE: &str = "park at 16: write all, released";

    #[test]
    fn a_write_that_is_accepted_after_its_session_is_late() {
        for end in ["set running", "set stop", "reset"] {
            assert!(is_late(&[("set resuming", true), (end, true)], WRITE, Ok(Answered::Written(80))), "{end}");
        }
        assert!(is_late(&[("on b: reset", true)], &format!("on b: {WRITE}"), Ok(Answered::Written(80))));
    }

    #[test]
    fn a_write_is_in_time_when_it_is_refused_or_its_session_did_not_end() {
        let written = || Ok(Answered::Written(80));
        assert!(!is_late(&[("set running", true)], WRITE, Err(Errno::ENXIO.into())));
        assert!(!is_late(&[("set running", false)], WRITE, written()));
        assert!(!is_late(&[("on b: set running", true)], WRITE, written()));
        assert!(!is_late(&[("set running", true), ("set resuming", true)], WRITE, written()));
        assert!(!is_late(&[("set running", true)], "park at 0: read 64, released", Ok(Answered::Bytes(vec![1]))));
        assert!(!is_late(&[("set running", true)], "write all", written()));
    }

    #[test]
    fn what_waited_before_says_nothing_of_what_waits_next() {
        let mut sessions = Sessions::default();
        let step = |text: &str| text.parse::<Step>().expect("a step");
        sessions.step(&step("set running"), &[done("set running", Ok(Answered::Stream(None)))], true);
        sessions.step(&step("release"), &[], false);
        sessions.step(&step("get"), &[], false);
        assert!(!sessions.is_late(&done(WRITE, Ok(Answered::Written(80)))));
    }

    #[test]
    fn nothing_is_found_on_the_correct_driver() {
        let factory = vfio_ap::model::ModelFactory::corrected();
        let text = "set resuming\npark at 16: write all\nrelease\nset running\non b: get\nwrite all\nclose\nreset\n";
        let sequence: Sequence = text.parse().expect("steps");
        let played = play(&factory, &sequence).expect("a host");
        assert!(played.found.is_empty() && !played.hangs, "{:?}", played.found);
        assert_eq!(played.steps, sequence.0.len());
    }
}
