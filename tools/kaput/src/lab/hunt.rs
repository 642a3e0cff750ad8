// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fuzzer for the driver's migration: calls, sizes and moments are drawn without knowledge of any finding, each
//! sequence on a fresh host, and whatever the kernel complains about is shrunk to the shortest sequence that shows it.

use std::collections::BTreeMap;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vfio_mig::catalogue::finding_of;
use vfio_mig::complaint::Key;
use vfio_mig::conformance::{A, B, DeviceFactory, HostSetup, NoHost};
use vfio_mig::sequence::{Act, Action, Done, Player, Sequence, Step, devices};
use vfio_mig::{DeviceError, DeviceState};

/// Steps of a sequence: a host takes seconds to make, a step milliseconds.
const STEPS: std::ops::RangeInclusive<usize> = 16..=64;
/// Acts that begin at the same moment.
const TOGETHER: std::ops::RangeInclusive<usize> = 2..=4;
/// Bytes beyond which a stream of the hosts here does not go; places and sizes are drawn up to it.
const STREAM: usize = 112;
/// The most allocations that a call of the driver makes, about.
const ALLOCATIONS: u32 = 80;
/// Sequences that shrinking tries at most.
const TRIES: usize = 30;
/// So many hosts in a row that cannot be made, and no more are tried.
const HOSTLESS: usize = 5;
/// Adapter 04 and domain 0033 are left, no control domain.
const CONFIG: &str = "0x0800000000000000000000000000000000000000000000000000000000000000,\
                      0x0000000000001000000000000000000000000000000000000000000000000000,\
                      0x0000000000000000000000000000000000000000000000000000000000000000";
/// What an administrator writes: value and path.
const WRITES: [(&str, &str); 10] = [
    ("1", "@/remove"),
    ("5", "@/unassign_adapter"),
    (CONFIG, "@/ap_config"),
    ("7", "@/assign_adapter"),
    ("0x3a", "@/unassign_domain"),
    ("0x55", "@/assign_control_domain"),
    ("04.0033", "/sys/bus/ap/drivers/vfio_ap/unbind"),
    ("04.0033", "/sys/bus/ap/drivers/vfio_ap/bind"),
    ("6b617075-0000-4000-8000-000000000001", "@/../mdev_supported_types/vfio_ap-passthrough/create"),
    ("1", "@/../6b617075-0000-4000-8000-000000000001/remove"),
];
const STATES: [DeviceState; 4] =
    [DeviceState::STOP, DeviceState::STOP_COPY, DeviceState::RESUMING, DeviceState::RUNNING];

/// Something that was found, by what it is known again.
#[derive(Clone, Debug)]
pub struct Found {
    /// Kind, function and object.
    pub key: Key,
    /// The shortest sequence that showed it.
    pub sequence: Sequence,
    /// How many sequences showed it.
    pub times: usize,
    /// What the kernel said, shortened.
    pub said: Vec<String>,
}

/// What one sequence came to.
#[derive(Debug, Default)]
pub struct Played {
    /// How many steps there were until something was found, or all.
    pub steps: usize,
    /// The calls that ended.
    pub calls: Vec<Done>,
    /// What was found, and what was said of it.
    pub found: Vec<(Key, Vec<String>)>,
}

fn setup() -> HostSetup {
    let mut setup = HostSetup::source();
    setup.mdevs.retain(|mdev| mdev.name == A || mdev.name == B);
    setup
}

/// Plays a sequence on a fresh host. A host that is lost is a finding too: its kernel has ended.
///
/// # Errors
/// [`NoHost`].
pub fn play(factory: &dyn DeviceFactory, sequence: &Sequence) -> Result<Played, NoHost> {
    let host = factory.host(&setup())?;
    let devices = devices(&*host, &[A, B]);
    let mut played = Played::default();
    let lost = |error: &DeviceError| {
        let key = |kind: &str| Key { kind: kind.to_owned(), function: String::new(), object: String::new() };
        (key("the host is lost"), vec![error.to_string()])
    };
    let mut player = match Player::new(&*host, &devices) {
        Ok(player) => player,
        Err(error) => return Err(NoHost::Broken(error.to_string())),
    };
    let mut steps = sequence.0.iter();
    let mut is_over = false;
    while !is_over {
        let next = steps.next();
        is_over = next.is_none();
        played.steps += usize::from(next.is_some());
        let ended = match next {
            Some(step) => player.step(step, 1),
            None => player.finish(),
        };
        match ended {
            Ok(ended) => {
                for done in ended {
                    if let Err(error @ DeviceError::Hung(_)) = &done.result {
                        let call = done.call.rsplit(": ").next().unwrap_or_default();
                        let function = call.split([' ', ',']).next().unwrap_or_default().to_owned();
                        // What changes a session may wait for a call of it that waits itself, and a removal for the
                        // user of the device; a question may not wait.
                        let may_wait = player.waits() || function == "echo";
                        if !may_wait || ["get", "size"].contains(&function.as_str()) {
                            let key = Key { kind: "no answer".to_owned(), function, object: String::new() };
                            played.found.push((key, vec![format!("{}: {error}", done.call)]));
                        }
                        is_over = true;
                    }
                    played.calls.push(done);
                }
            }
            Err(error) => {
                played.found.push(lost(&error));
                is_over = true;
            }
        }
        // What comes after the first complaint shows nothing: the checkers report once.
        is_over |= host.complaints().is_ok_and(|complaints| !complaints.is_empty());
    }
    drop(player);
    for complaint in host.complaints().unwrap_or_default() {
        if played.found.iter().all(|(key, _)| *key != complaint.key()) {
            played.found.push((complaint.key(), complaint.short()));
        }
    }
    Ok(played)
}

/// Draws sequences.
#[derive(Debug)]
pub struct Draw(StdRng);

impl Draw {
    /// Those of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// The next one.
    pub fn sequence(&mut self) -> Sequence {
        let count = self.0.random_range(STEPS);
        Sequence((0..count).map(|_| self.step()).collect())
    }

    fn one_of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.0.random_range(0..all.len())].clone()
    }

    fn step(&mut self) -> Step {
        let device = self.0.random_ratio(1, 8).then(|| B.to_owned());
        let place = self.0.random_range(0..STREAM);
        let action = match self.0.random_range(0..20) {
            0..12 => Action::Plain(self.act()),
            12..14 => {
                let count = self.0.random_range(TOGETHER);
                Action::Together((0..count).map(|_| self.verb()).collect())
            }
            14..16 => Action::Park(place, self.copy()),
            16 => Action::Begin(self.verb()),
            17 | 18 => Action::Release,
            _ => Action::Fail(Some(self.0.random_range(1..=ALLOCATIONS)), self.act()),
        };
        Step { device, action }
    }

    fn act(&mut self) -> Act {
        match self.0.random_range(0..10) {
            0 => Act::Open,
            1 | 2 => {
                let (value, path) = self.one_of(&WRITES);
                Act::Echo { value: value.to_owned(), path: path.to_owned() }
            }
            _ => self.verb(),
        }
    }

    fn verb(&mut self) -> Act {
        match self.0.random_range(0..10) {
            0..4 => Act::Set(self.one_of(&STATES)),
            4 => self.one_of(&[Act::Get, Act::Size, Act::Reset]),
            5 => self.one_of(&[Act::Close, Act::CloseDevice]),
            _ => self.copy(),
        }
    }

    fn copy(&mut self) -> Act {
        let length = self.0.random_range(1..=STREAM);
        match self.0.random_range(0..4) {
            0 => Act::Read(length),
            1 => Act::Write(Some(0..length)),
            2 => {
                let from = self.0.random_range(0..length);
                Act::Write(Some(from..length))
            }
            _ => Act::Write(None),
        }
    }
}

/// The shortest sequence that still shows a finding: pieces are left out, halves first, then single steps.
fn shrink(factory: &dyn DeviceFactory, sequence: Sequence, key: &Key, until: Instant) -> Sequence {
    let mut best = sequence;
    let mut size = best.0.len() / 2;
    let mut tries = 0;
    while size > 0 && tries < TRIES && Instant::now() < until {
        let mut at = 0;
        let mut is_shorter = false;
        while at < best.0.len() && tries < TRIES && Instant::now() < until {
            let mut less = best.0.clone();
            less.drain(at..(at + size).min(best.0.len()));
            let less = Sequence(less);
            tries += 1;
            let shows = play(factory, &less).is_ok_and(|played| played.found.iter().any(|(found, _)| found == key));
            if shows {
                best = less;
                is_shorter = true;
            } else {
                at += size;
            }
        }
        size = if is_shorter && size == 1 { 1 } else { size / 2 };
    }
    best
}

/// Hunts until then, or until `stop` says so; `tell` hears of what is found for the first time.
///
/// # Errors
/// [`NoHost`]: no host can be had at all.
pub fn hunt(
    factory: &dyn DeviceFactory,
    seed: u64,
    until: Instant,
    tell: &mut dyn FnMut(&Found),
) -> Result<(usize, Vec<Found>), NoHost> {
    let (mut draw, mut played, mut hostless, mut last) = (Draw::new(seed), 0, 0, None);
    let mut all = BTreeMap::<Key, Found>::new();
    while Instant::now() < until {
        let sequence = draw.sequence();
        let outcome = match play(factory, &sequence) {
            Ok(outcome) => outcome,
            // A machine that is kept from running cannot make a host in time now and then.
            Err(error) => {
                hostless += 1;
                last = Some(error);
                if hostless == HOSTLESS {
                    break;
                }
                continue;
            }
        };
        (played, hostless) = (played + 1, 0);
        for (key, said) in outcome.found {
            if let Some(known) = all.get_mut(&key) {
                known.times += 1;
                continue;
            }
            let mut shorter = sequence.clone();
            shorter.0.truncate(outcome.steps);
            // What another sequence was shrunk for is shrunk once.
            let known = finding_of(&key);
            let is_new = known.is_none() || all.keys().all(|other| finding_of(other) != known);
            let sequence = if is_new { shrink(factory, shorter, &key, until) } else { shorter };
            let found = Found { key: key.clone(), sequence, times: 1, said };
            tell(&found);
            all.insert(key, found);
        }
    }
    // What was found is worth more than why it ended.
    match last {
        Some(error) if all.is_empty() && (played == 0 || hostless == HOSTLESS) => Err(error),
        _ => Ok((played, all.into_values().collect())),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use ap_arch::{Apid, Apqn, Matrix};
    use vfio_ap::model::ModelFactory;
    use vfio_mig::{
        AdapterFault, Capabilities, Complaint, GuestCall, GuestReply, HostControl, LogLine, MigrationDevice,
        QueueAnswer,
    };

    use super::*;

    /// The correct driver on a kernel that complains when an adapter is taken from a device.
    struct Complaining;

    impl DeviceFactory for Complaining {
        fn name(&self) -> String {
            "complaining".to_owned()
        }

        fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, NoHost> {
            Ok(Box::new(ComplainingHost { host: ModelFactory::corrected().host(setup)?, complains: Cell::new(false) }))
        }
    }

    struct ComplainingHost {
        host: Box<dyn HostControl>,
        complains: Cell<bool>,
    }

    impl HostControl for ComplainingHost {
        fn sysfs_write(&self, path: &str, value: &str) -> Result<(), DeviceError> {
            let written = self.host.sysfs_write(path, value);
            self.complains.set(self.complains.get() || written.is_ok() && path.ends_with("/unassign_adapter"));
            written
        }

        fn complaints(&self) -> Result<Vec<Complaint>, DeviceError> {
            let what = "BUG: KASAN: slab-use-after-free in vfio_ap_mdev_unassign".to_owned();
            let complaint = || Complaint { report: vec![what.clone()], what };
            Ok(self.complains.get().then(complaint).into_iter().collect())
        }

        fn capabilities(&self) -> Capabilities {
            self.host.capabilities()
        }

        fn device(&self, mdev: &str) -> Box<dyn MigrationDevice + '_> {
            self.host.device(mdev)
        }

        fn sysfs_read(&self, path: &str) -> Result<String, DeviceError> {
            self.host.sysfs_read(path)
        }

        fn log(&self, since: u64) -> Result<Vec<LogLine>, DeviceError> {
            self.host.log(since)
        }

        fn reset_counts(&self) -> Result<BTreeMap<Apqn, u64>, DeviceError> {
            self.host.reset_counts()
        }

        fn adapter(&self, adapter: Apid, fault: AdapterFault) -> Result<(), DeviceError> {
            self.host.adapter(adapter, fault)
        }

        fn set_queue_answer(&self, apqn: Apqn, answer: Option<QueueAnswer>) -> Result<(), DeviceError> {
            self.host.set_queue_answer(apqn, answer)
        }

        fn fail_resets(&self, apqn: Apqn, fail: bool) -> Result<(), DeviceError> {
            self.host.fail_resets(apqn, fail)
        }

        fn pass_time(&self, nanoseconds: u64) -> Result<(), DeviceError> {
            self.host.pass_time(nanoseconds)
        }

        fn set_poison(&self, poison: &Matrix) -> Result<(), DeviceError> {
            self.host.set_poison(poison)
        }

        fn guest_memory(&self, mdev: &str, address: u64, length: u32) -> Result<Vec<u8>, DeviceError> {
            self.host.guest_memory(mdev, address, length)
        }

        fn guest_execute(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, DeviceError> {
            self.host.guest_execute(mdev, call)
        }

        fn set_secure_execution(&self, host: bool, guest: bool) -> Result<(), DeviceError> {
            self.host.set_secure_execution(host, guest)
        }
    }

    #[test]
    fn the_same_seed_draws_the_same_sequences_and_text_keeps_them() {
        let (mut one, mut other) = (Draw::new(7), Draw::new(7));
        for _ in 0..200 {
            let sequence = one.sequence();
            assert_eq!(sequence, other.sequence());
            assert_eq!(sequence.to_string().parse::<Sequence>().as_ref(), Ok(&sequence));
        }
        assert_ne!(Draw::new(8).sequence(), Draw::new(7).sequence());
    }

    #[test]
    fn a_sequence_is_shrunk_to_the_step_that_the_kernel_complains_about() {
        let text = "get\nset resuming\nwrite 0..20\necho 5 > @/unassign_adapter\nsize\non b: get\nclose\n";
        let noisy: Sequence = text.parse().expect("steps");
        let found = play(&Complaining, &noisy).expect("a host").found;
        let [(key, _)] = &found[..] else { panic!("{found:?}") };
        let until = Instant::now() + Duration::from_secs(60);
        assert_eq!(shrink(&Complaining, noisy, key, until).to_string(), "echo 5 > @/unassign_adapter\n");
    }

    #[test]
    fn a_hunt_finds_what_there_is_and_nothing_on_the_correct_driver() {
        let until = || Instant::now() + Duration::from_secs(3);
        let mut told = Vec::new();
        let (played, found) = hunt(&Complaining, 1, until(), &mut |found| told.push(found.key.clone())).expect("hosts");
        assert!(played > 0 && !found.is_empty() && told.len() == found.len(), "{played}: {found:#?}");
        let (_, found) = hunt(&ModelFactory::corrected(), 1, until(), &mut |_| {}).expect("hosts");
        // A call that waits holds what it needs, and others wait for it.
        let complaints: Vec<_> = found.iter().filter(|found| found.key.kind != "no answer").collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
