// SPDX-License-Identifier: MIT OR Apache-2.0
//! A fuzzer for the driver's migration: calls, sizes and moments are drawn without knowledge of any finding, and
//! whatever the kernel complains about is shrunk to the shortest sequence that shows it. Each has a fresh host.

mod draw;
mod play;
mod shrink;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use vfio_mig::complaint::Key;
use vfio_mig::conformance::{DeviceFactory, NoHost};
use vfio_mig::sequence::Sequence;

use draw::Draw;
use play::name;
pub use play::{Played, play};
use shrink::shrink;

/// So many hosts in a row that cannot be made, and no more are tried.
const HOSTLESS: usize = 5;
/// A sequence of more steps is shrunk again where the same is found again.
const SHORT: usize = 8;

/// Something that was found, by what it is known again.
#[derive(Clone, Debug)]
pub struct Found {
    /// Kind, function and object.
    pub key: Key,
    /// The number of the sequence, from 0, that showed it first.
    pub number: u64,
    /// The shortest sequence that showed it.
    pub sequence: Sequence,
    /// How many sequences showed it.
    pub times: usize,
    /// What the kernel said, shortened.
    pub said: Vec<String>,
}

impl Found {
    /// What counts as the same: the finding, or what is known of an unknown one.
    #[must_use]
    pub fn name(&self) -> String {
        name(&self.key)
    }
}

/// What is told of a hunt while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// A sequence was played, or a try to shrink one.
    Played,
    /// Something is found for the first time, or by a shorter sequence than before.
    Found(&'a Found),
}

/// How a hunt goes.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What is drawn.
    pub seed: u64,
    /// When it ends.
    pub until: Instant,
    /// How many hosts there are at a time.
    pub jobs: NonZero<usize>,
}

/// What all hosts of a hunt have found.
#[derive(Default)]
struct Bag {
    next: u64,
    played: usize,
    hostless: usize,
    last: Option<NoHost>,
    found: BTreeMap<String, Found>,
}

/// Hunts until the plan's end; `tell` hears of what is found. How many sequences were played, and what was found.
///
/// # Errors
/// [`NoHost`]: no host can be had at all.
pub fn hunt(
    factory: &(dyn DeviceFactory + Sync),
    plan: Plan,
    tell: &(dyn Fn(News<'_>) + Sync),
) -> Result<(usize, Vec<Found>), NoHost> {
    let bag = Mutex::new(Bag::default());
    let work = || {
        while one(factory, plan, tell, &bag) {}
    };
    thread::scope(|scope| (0..plan.jobs.get()).for_each(|_| _ = scope.spawn(work)));
    let bag = bag.into_inner().unwrap_or_else(PoisonError::into_inner);
    // What was found is worth more than why it ended.
    match bag.last {
        Some(error) if bag.found.is_empty() && (bag.played == 0 || bag.hostless >= HOSTLESS) => Err(error),
        _ => Ok((bag.played, bag.found.into_values().collect())),
    }
}

fn open(bag: &Mutex<Bag>) -> MutexGuard<'_, Bag> {
    bag.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Draws and plays one sequence; whether there shall be another one.
fn one(factory: &dyn DeviceFactory, plan: Plan, tell: &(dyn Fn(News<'_>) + Sync), bag: &Mutex<Bag>) -> bool {
    if Instant::now() >= plan.until {
        return false;
    }
    let number = {
        let mut bag = open(bag);
        bag.next += 1;
        bag.next - 1
    };
    let sequence = Draw::new(plan.seed, number).sequence();
    let outcome = match play(factory, &sequence) {
        Ok(outcome) => outcome,
        // A machine that is kept from running cannot make a host in time now and then.
        Err(error) => {
            let mut bag = open(bag);
            bag.hostless += 1;
            bag.last = Some(error);
            return bag.hostless < HOSTLESS;
        }
    };
    tell(News::Played);
    let mut shorter = sequence;
    shorter.0.truncate(outcome.steps);
    for (key, said) in outcome.found.clone() {
        let name = name(&key);
        {
            let mut bag = open(bag);
            let best = bag.found.get(&name).map_or(usize::MAX, |known| known.sequence.0.len());
            let entry = bag.found.entry(name.clone()).or_insert_with(|| Found {
                key: key.clone(),
                number,
                sequence: shorter.clone(),
                times: 0,
                said: said.clone(),
            });
            entry.times += 1;
            if best == usize::MAX {
                tell(News::Found(entry));
            }
            // What another sequence was shrunk for, or is just now, is shrunk once.
            if best <= SHORT || best <= shorter.0.len() {
                continue;
            }
        }
        let sequence = shrink(factory, shorter.clone(), &outcome, &name, plan.until, &|| tell(News::Played));
        let mut bag = open(bag);
        if let Some(known) = bag.found.get_mut(&name) {
            if known.sequence.0.len() >= sequence.0.len() {
                (known.key, known.number, known.sequence, known.said) = (key, number, sequence, said);
            }
            tell(News::Found(known));
        }
    }
    let mut bag = open(bag);
    (bag.played, bag.hostless) = (bag.played + 1, 0);
    true
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeSet;
    use std::time::Duration;

    use ap_arch::{Apid, Apqn, Matrix};
    use vfio_ap::model::ModelFactory;
    use vfio_mig::conformance::HostSetup;
    use vfio_mig::{
        AdapterFault, Capabilities, Complaint, DeviceError, GuestCall, GuestReply, HostControl, LogLine,
        MigrationDevice, QueueAnswer,
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
    fn a_sequence_is_shrunk_to_the_step_that_the_kernel_complains_about() {
        let text = "get\nset resuming\nwrite 0..20\necho 5 > @/unassign_adapter\nsize\non b: get\nclose\n";
        let noisy: Sequence = text.parse().expect("steps");
        let played = play(&Complaining, &noisy).expect("a host");
        let [(key, _)] = &played.found[..] else { panic!("{played:?}") };
        let until = Instant::now() + Duration::from_secs(60);
        let shrunk = shrink(&Complaining, noisy, &played, &name(key), until, &|| {});
        assert_eq!(shrunk.to_string(), "echo 5 > @/unassign_adapter\n");
    }

    #[test]
    fn a_hunt_finds_what_there_is_and_nothing_on_the_correct_driver() {
        let jobs = NonZero::new(2).expect("not 0");
        let plan = || Plan { seed: 1, until: Instant::now() + Duration::from_secs(3), jobs };
        let told = Mutex::new(BTreeSet::new());
        let tell = |news: News<'_>| {
            if let News::Found(found) = news {
                told.lock().expect("whole").insert(found.name());
            }
        };
        let (played, found) = hunt(&Complaining, plan(), &tell).expect("hosts");
        let told = told.into_inner().expect("whole");
        assert!(played > 0 && !found.is_empty() && told.len() == found.len(), "{played}: {found:#?}");
        let (_, found) = hunt(&ModelFactory::corrected(), plan(), &|_| {}).expect("hosts");
        // A call that waits holds what it needs, and others wait for it.
        let complaints: Vec<_> = found.iter().filter(|found| found.key.kind != "no answer").collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}
