// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether an LPAR that does not answer still gets on: on a loaded machine a healthy boot may take a minute, and one
//! that hangs must not be waited for.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long neither CPU time nor the console may grow.
const STANDSTILL: Duration = Duration::from_secs(30);
/// CPU time, in the kernel's ticks of 10 ms, that counts as getting on: an idle QEMU has some now and then.
const STEP: u64 = 20;
/// CPU time after which an LPAR that never answered is given up: a boot under KASAN takes a twentieth.
const MOST: u64 = 300 * 100;

/// What an LPAR has used and said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sign {
    /// CPU time of its QEMU, in ticks.
    pub(super) ticks: u64,
    /// Bytes of its console.
    pub(super) said: u64,
}

/// Watches one LPAR while it is waited for.
pub(super) struct Progress {
    stat: PathBuf,
    console: PathBuf,
    first: Sign,
    last: Sign,
    since: Instant,
}

impl Progress {
    pub(super) fn of(pid: u32, console: &Path) -> Self {
        let mut new = Self {
            stat: format!("/proc/{pid}/stat").into(),
            console: console.to_owned(),
            first: Sign::default(),
            last: Sign::default(),
            since: Instant::now(),
        };
        (new.first, new.last) = (new.sign(), new.sign());
        new
    }

    /// Why it is not waited for any longer, for people.
    pub(super) fn given_up(&mut self) -> Option<String> {
        self.judge(self.sign(), Instant::now())
    }

    fn judge(&mut self, now: Sign, time: Instant) -> Option<String> {
        if now.ticks - self.first.ticks.min(now.ticks) > MOST {
            return Some(format!("after {} s of CPU time", MOST / 100));
        }
        if now.ticks >= self.last.ticks + STEP || now.said > self.last.said {
            (self.last, self.since) = (now, time);
        }
        (time - self.since > STANDSTILL).then(|| format!("and did nothing for {} s", STANDSTILL.as_secs()))
    }

    fn sign(&self) -> Sign {
        let said = fs::metadata(&self.console).map_or(0, |file| file.len());
        let stat = fs::read_to_string(&self.stat).unwrap_or_default();
        Sign { ticks: ticks(&stat).unwrap_or(self.last.ticks), said }
    }
}

/// User and system time in a line of /proc/PID/stat; the program's name before them may hold anything.
pub(super) fn ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    Some(next()? + next()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_is_found_behind_any_name() {
        assert_eq!(ticks("7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 5 9 9"), Some(42));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn who_computes_or_speaks_is_waited_for_and_who_does_neither_is_not() {
        let mut watched = Progress::of(0, Path::new("/nonexistent"));
        let start = watched.since;
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watched.judge(Sign { ticks: 20, said: 0 }, at(29)), None);
        assert_eq!(watched.judge(Sign { ticks: 20, said: 1 }, at(58)), None);
        assert_eq!(watched.judge(Sign { ticks: 39, said: 1 }, at(88)), None);
        assert!(watched.judge(Sign { ticks: 39, said: 1 }, at(89)).is_some_and(|why| why.contains("nothing for 30 s")));
        let runaway = Sign { ticks: MOST + 1, said: 2 };
        assert!(watched.judge(runaway, at(90)).is_some_and(|why| why.contains("300 s of CPU")));
    }
}
