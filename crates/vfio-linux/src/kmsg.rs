// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's log by `/dev/kmsg`: one read is one record (`Documentation/ABI/testing/dev-kmsg`). Of it the driver's
//! own lines are the driver's log, and what the kernel found wrong with itself are complaints.

use vfio_mig::{Complaint, DeviceError, Errno, LogLevel, LogLine};

use crate::names::Names;
use crate::{Fd, Linux, number};

const PATH: &str = "/dev/kmsg";

/// Bytes of the longest record.
const RECORD: usize = 8192;

/// Records that are read at once, at most: a driver that floods the log does not keep us for ever. Each takes some
/// milliseconds, and the buffer of a kernel as `kaput lab config` has it holds half of them.
const MOST_RECORDS: usize = 4_000;

/// And after a call was given up, which may be what floods it.
const MOST_AFTER_HANGING: usize = 200;

/// A line whose end is missing is shown when the next one comes: this one.
const NEXT: &[u8] = b"kaput looks at the log\n";

/// What a kernel says at its boot if its compiler fills the stack with a pattern.
const FILLED_STACK: &str = "mem auto-init: stack:all(pattern)";

/// By these words begins what a kernel finds wrong with itself. That a CPU was kept from running is not among it.
const BEGINNINGS: [&str; 6] = ["BUG: ", "WARNING: ", "INFO: task ", "Oops", "Unable to handle kernel", "Kernel panic"];

/// And by this a report of a checker.
const CHECKER: &str = "BUG: ";

/// A program check in the kernel itself: `specification exception: 0006 ilc:2 [#1]`.
const PROGRAM_CHECK: &str = " ilc:";

/// Lines of a complaint that are kept.
const REPORT: usize = 120;

/// The log from some moment on.
#[derive(Clone)]
pub(crate) struct Kmsg {
    fd: Fd,
    /// With this begin the driver's own lines: `dev_err` of a device and `pr_err` name it first.
    driver: &'static str,
    /// The driver's lines so far.
    lines: Vec<LogLine>,
    complaints: Vec<Complaint>,
    /// Whether the next lines belong to the last complaint: until the driver says something itself.
    in_report: bool,
}

/// One record.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    level: LogLevel,
    text: String,
}

impl Record {
    /// Priority, number, time and flags, then the text; in the lines after the first are properties.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        let (prefix, rest) = text.split_once(';')?;
        let priority: u32 = prefix.split(',').next()?.parse().ok()?;
        let level = match priority & 7 {
            0..=3 => LogLevel::Error,
            4 => LogLevel::Warning,
            5 | 6 => LogLevel::Info,
            _ => LogLevel::Debug,
        };
        Some(Self { level, text: rest.lines().next().unwrap_or_default().to_owned() })
    }
}

impl Kmsg {
    /// The log from now on.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn open(linux: &Linux, driver: &'static str) -> Result<Self, DeviceError> {
        let fd = linux.open(PATH, number::O_RDWR | number::O_NONBLOCK)?;
        linux.call(number::LSEEK, [fd.0.into(), 0, number::SEEK_END, 0, 0, 0])?;
        Ok(Self { fd, driver, lines: Vec::new(), complaints: Vec::new(), in_report: false })
    }

    /// Closes it.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn close(&self, linux: &Linux) -> Result<(), DeviceError> {
        linux.close(self.fd)
    }

    /// The driver's lines since the log was opened.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn lines(&mut self, linux: &Linux, names: &Names) -> Result<&[LogLine], DeviceError> {
        self.read(linux, names)?;
        Ok(&self.lines)
    }

    /// What the kernel found wrong with itself since the log was opened.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn complaints(&mut self, linux: &Linux, names: &Names) -> Result<&[Complaint], DeviceError> {
        match self.read(linux, names) {
            // What is there so far counts; of a flooded log that is one of them.
            Err(DeviceError::Hung(_)) if !self.complaints.is_empty() => {}
            read => read?,
        }
        Ok(&self.complaints)
    }

    /// The same of a kernel that has ended, with what its console shows at last.
    pub(crate) fn last(&mut self, words: &[String], names: &Names) -> &[Complaint] {
        self.in_report = false;
        for text in words {
            let text = names.text(text);
            // The oops and the panic belong to what led to them.
            if !self.in_report || text.starts_with(CHECKER) {
                self.in_report = true;
                self.complaints.push(Complaint { what: text.clone(), report: Vec::new() });
            }
            self.add(text);
        }
        &self.complaints
    }

    /// A line of the present report.
    fn add(&mut self, text: String) {
        if self.in_report
            && let Some(complaint) = self.complaints.last_mut()
            && complaint.report.len() < REPORT
        {
            complaint.report.push(text);
        }
    }

    fn read(&mut self, linux: &Linux, names: &Names) -> Result<(), DeviceError> {
        linux.write(self.fd, NEXT)?;
        for _ in 0..if linux.has_hung() { MOST_AFTER_HANGING } else { MOST_RECORDS } {
            match linux.read(self.fd, RECORD) {
                Ok(bytes) if bytes.is_empty() => return Ok(()),
                Ok(bytes) => self.take(&bytes, names),
                Err(error) if error.errno() == Some(Errno::EAGAIN) => return Ok(()),
                // Lines were overwritten before we came; the next read goes on behind them.
                Err(error) if error.errno() == Some(Errno::EPIPE) => {}
                Err(error) => return Err(error),
            }
        }
        Err(self.flooded())
    }

    /// A kernel that floods its log is at fault itself, whether the case looks at the log or not.
    fn flooded(&mut self) -> DeviceError {
        let what = format!("{PATH} does not end, because the kernel floods it");
        if self.complaints.last().is_none_or(|last| last.what != what) {
            self.complaints.push(Complaint { what: what.clone(), report: vec![what.clone()] });
        }
        DeviceError::Hung(what)
    }

    fn take(&mut self, bytes: &[u8], names: &Names) {
        let Some(record) = Record::parse(bytes).filter(|record| record.text.as_bytes() != NEXT.trim_ascii_end()) else {
            return;
        };
        let text = names.text(&record.text);
        if BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) || text.contains(PROGRAM_CHECK) {
            self.in_report = true;
            self.complaints.push(Complaint { what: text.clone(), report: Vec::new() });
        } else if text.starts_with(self.driver) {
            self.in_report = false;
            self.lines.push(LogLine { number: self.lines.len() as u64, level: record.level, text: text.clone() });
        }
        self.add(text);
    }
}

/// Whether what a kernel reads before it is written holds a pattern, by the log of its boot.
///
/// # Errors
/// The kernel's.
pub fn stack_is_filled(linux: &Linux) -> Result<bool, DeviceError> {
    let fd = linux.open(PATH, number::O_RDONLY | number::O_NONBLOCK)?;
    let mut is_filled = false;
    for _ in 0..MOST_RECORDS {
        match linux.read(fd, RECORD) {
            Ok(bytes) if bytes.is_empty() => break,
            Ok(bytes) => is_filled |= Record::parse(&bytes).is_some_and(|record| record.text.starts_with(FILLED_STACK)),
            Err(error) if error.errno() == Some(Errno::EAGAIN) => break,
            Err(error) if error.errno() == Some(Errno::EPIPE) => {}
            Err(error) => return Err(error),
        }
        if is_filled {
            break;
        }
    }
    linux.close(fd)?;
    Ok(is_filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Option<Record> {
        Record::parse(text.as_bytes())
    }

    #[test]
    fn a_record_has_a_level_and_its_first_line() {
        let level = |priority: u32| record(&format!("{priority},1,2,-;x")).map(|record| record.level);
        assert_eq!(level(3), Some(LogLevel::Error));
        assert_eq!(
            (level(4), level(6), level(7)),
            (Some(LogLevel::Warning), Some(LogLevel::Info), Some(LogLevel::Debug))
        );
        // The facility stands above the level: 8 is that of user programs.
        assert_eq!(level(11), Some(LogLevel::Error));
        let text =
            record("6,10,20,-,more=1;vfio_ap matrix: MDEV: Registered\n SUBSYSTEM=mdev\n").map(|record| record.text);
        assert_eq!(text.as_deref(), Some("vfio_ap matrix: MDEV: Registered"));
        for damaged in ["", "6", "x,1,2,-;text", "6,1,2,-"] {
            assert_eq!(record(damaged), None);
        }
    }

    #[test]
    fn complaints_keep_what_follows_and_the_drivers_lines_are_numbered() {
        let mut log =
            Kmsg { fd: Fd(0), driver: "vfio_ap", lines: Vec::new(), complaints: Vec::new(), in_report: false };
        for text in
            ["vfio_ap_mdev u: one", "BUG: KASAN: slab-use-after-free in f", "Read of size 8", "vfio_ap_mdev u: two"]
        {
            log.take(format!("3,1,2,-;{text}").as_bytes(), &Names::default());
        }
        let lines: Vec<(u64, &str)> = log.lines.iter().map(|line| (line.number, line.text.as_str())).collect();
        assert_eq!(lines, [(0, "vfio_ap_mdev u: one"), (1, "vfio_ap_mdev u: two")]);
        assert_eq!(log.complaints.len(), 1);
        assert_eq!(log.complaints[0].report.len(), 2);
    }

    #[test]
    fn the_last_words_of_a_kernel_are_one_complaint_with_the_panic_at_its_end() {
        let log = || Kmsg { fd: Fd(0), driver: "vfio_ap", lines: Vec::new(), complaints: Vec::new(), in_report: false };
        let words = [
            "Unable to handle kernel pointer dereference in virtual kernel address space",
            "Oops: 0004 ilc:2 [#1]",
            "Call Trace:",
            " [<0000>] vfio_ap_mdev_probe+0x1/0x2",
            "Kernel panic - not syncing: Fatal exception: panic_on_oops",
        ]
        .map(str::to_owned);
        let mut oops = log();
        let complaints = oops.last(&words, &Names::default());
        assert_eq!(complaints, [Complaint { what: words[0].clone(), report: words.to_vec() }]);
        assert_eq!(complaints[0].key().function, "vfio_ap_mdev_probe");
        let mut panic = log();
        assert_eq!(panic.last(&words[4..], &Names::default()).len(), 1);
        assert!(log().last(&[], &Names::default()).is_empty());
    }

    #[test]
    fn a_flooded_log_is_one_complaint_beside_the_others() {
        let mut log =
            Kmsg { fd: Fd(0), driver: "vfio_ap", lines: Vec::new(), complaints: Vec::new(), in_report: false };
        log.take(b"4,1,2,-;WARNING: CPU: 0 PID: 1 at f", &Names::default());
        let hung = [log.flooded(), log.flooded()];
        assert!(hung.iter().all(|error| matches!(error, DeviceError::Hung(_))), "{hung:?}");
        let whats: Vec<&str> = log.complaints.iter().map(|complaint| complaint.what.as_str()).collect();
        assert_eq!(whats, ["WARNING: CPU: 0 PID: 1 at f", "/dev/kmsg does not end, because the kernel floods it"]);
    }
}
