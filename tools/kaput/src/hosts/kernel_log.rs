// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's log on a real host. After a refusal the source's QEMU knows an error number at most; why, the
//! destination's kernel has written to its log. Only what it says of the driver since a run began is fetched.

use std::sync::Arc;

use preflight::kernel_log::{Explained, explain};
use preflight::rules::Step;
use preflight::text::{plain, shell_word};
use preflight::{Judgement, Verdict};

use crate::hosts::foresight;
use crate::hosts::ssh::{HostConnection, HostError};
use crate::outcome::verdict::KernelLine;

/// Lines that are fetched at most, the newest.
const MOST_LINES: usize = 400;

/// What an administrator types.
pub const BY_HAND: &str = "dmesg | grep vfio_ap";

/// The least important level that a refusal has: warning.
const WARNING: u8 = 4;

/// Prints the log as `/dev/kmsg` has it: level, number, time, flags; text. The journal, which its group may read, has
/// no numbers: there the lines are counted.
const RECORDS: &str = r#"
if why=$({ exec 9< "$root/dev/kmsg"; } 2>&1); then
    # It says that there is no more for now where its end is.
    records() { dd if="$root/dev/kmsg" iflag=nonblock bs=8192 2> /dev/null; }
elif [ -z "$root" ] && [ -n "$(journalctl -k -b -q -n 1 -o cat --no-pager 2> /dev/null)" ]; then
    records() { journalctl -k -b -q -o cat --no-pager | sed = | sed 'N;s/\n/,0,-;/;s/^/4,/'; }
else
    printf '%s\n' "$why" >&2
    exit 1
fi
records | sed -n '/^[0-9]/p' | cut -c 1-1000"#;

/// One host, the device on it, and its kernel's log.
#[derive(Clone, Debug)]
pub struct Witness {
    connection: Arc<HostConnection>,
    mdev: String,
}

/// Both hosts of a run.
#[derive(Clone, Debug)]
pub struct KernelLogs {
    /// Where the guest starts.
    pub source: Witness,
    /// Where it goes.
    pub destination: Witness,
}

/// What a kernel said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// All that it said about the driver.
    pub lines: Vec<KernelLine>,
    /// Warnings and errors about the device.
    pub messages: Vec<String>,
    /// The error that goes with the first of them that says why a migration is refused.
    pub errno: Option<&'static str>,
}

/// A record of the log.
#[derive(Debug, PartialEq, Eq)]
struct Record<'a> {
    level: u8,
    number: u64,
    text: &'a str,
}

impl<'a> Record<'a> {
    /// `None` for what is none, such as the lines with which the kernel says more about one.
    fn parse(line: &'a str) -> Option<Self> {
        let (prefix, text) = line.split_once(';')?;
        let mut fields = prefix.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let number = fields.next()?.parse().ok()?;
        Some(Self { level: u8::try_from(priority & 7).ok()?, number, text })
    }

    /// Whether it is about this device, or about the driver and no other device.
    fn concerns(&self, mdev: &str) -> bool {
        let mut words = self.text.split([' ', ':']).filter(|word| !word.is_empty());
        let other = words.find(|word| word.len() == 36 && word.matches('-').count() == 4);
        other.is_none_or(|other| other == mdev)
    }
}

/// What of a log's text is about a device and newer than `mark`.
fn said(text: &str, mark: u64, mdev: &str, hosts: Option<&Judgement>) -> Said {
    let records = text.lines().filter_map(Record::parse);
    let mut said = Said::default();
    for record in records.filter(|record| record.number > mark && record.concerns(mdev)) {
        let (line, errno) = explained(record.text, hosts);
        if record.level <= WARNING && record.text.contains("vfio_ap_mdev") {
            said.messages.push(line.text.clone());
            said.errno = said.errno.or(errno);
        }
        said.lines.push(line);
    }
    said
}

/// A line of a kernel's log with what it means, and the error that goes with it where it says why a migration is
/// refused.
#[must_use]
pub fn explained(text: &str, hosts: Option<&Judgement>) -> (KernelLine, Option<&'static str>) {
    let explained = explain(text, hosts);
    let refuses = |explained: &&Explained| explained.rule.is_some() || explained.step == Step::Compatibility;
    let errno = explained.as_ref().filter(refuses).and_then(|explained| explained.step.errno());
    let (rule, means, fix) = match explained {
        Some(Explained { rule, means, fix, .. }) => (rule.map(|rule| rule.id.to_owned()), Some(means), fix),
        None => (None, None, None),
    };
    (KernelLine { text: plain(text), rule, means, fix }, errno)
}

impl Witness {
    /// A device on a host.
    #[must_use]
    pub const fn new(connection: Arc<HostConnection>, mdev: String) -> Self {
        Self { connection, mdev }
    }

    /// The host, as the user named it.
    #[must_use]
    pub fn host(&self) -> &str {
        self.connection.name()
    }

    /// The number of the newest line.
    ///
    /// # Errors
    /// [`HostError`] where the log may not be read.
    pub async fn mark(&self) -> Result<u64, HostError> {
        let text = self.records(" | tail -n 1").await?;
        Ok(text.lines().find_map(Record::parse).map_or(0, |record| record.number))
    }

    async fn records(&self, rest: &str) -> Result<String, HostError> {
        let script = format!("root={}\n{RECORDS}{rest}\n", shell_word(&self.connection.hello.root));
        self.connection.script("show its kernel's log", &script).await
    }
}

impl KernelLogs {
    /// What the log of one of the two says that is newer than `mark`, explained by what both hosts are now.
    ///
    /// # Errors
    /// [`HostError`].
    pub async fn since(&self, mark: u64, witness: &Witness) -> Result<Said, HostError> {
        let wanted = ["vfio_ap", ";ap[:_ ]", &witness.mdev].map(|word| format!("-e {}", shell_word(word)));
        let text = witness.records(&format!(" | grep {} | tail -n {MOST_LINES}", wanted.join(" "))).await?;
        let other =
            if Arc::ptr_eq(&witness.connection, &self.source.connection) { &self.destination } else { &self.source };
        // The guest's host first; a host that does not answer makes the words of the log all there is.
        let hosts =
            foresight::judged((&other.connection, &other.mdev), (&witness.connection, &witness.mdev)).await.ok();
        let hosts = hosts.filter(|judgement| judgement.verdict() == Verdict::No);
        Ok(said(&text, mark, &witness.mdev, hosts.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "8a2f6cb4-41c5-4c0e-9d59-0a6b8f1f2f10";

    fn log() -> String {
        let mut text = String::from("6,10,0,-;vfio_ap matrix: MDEV: Registered\n SUBSYSTEM=mdev\nrubbish\n");
        text +=
            &format!("3,11,0,-;vfio_ap_mdev {UUID}: Queue 05.0033 not available to vfio_ap driver on target host\n");
        text += "3,12,0,-;vfio_ap_mdev 11111111-2222-4333-8444-555555555555: Queue 05.0033 not available to vfio_ap \
            driver on target host\n";
        text += &format!("6,13,0,c;vfio_ap_mdev {UUID}: Adding to iommu group \x1b[2J\n");
        text += &format!("3,14,0,-;vfio_ap_mdev {UUID}: Control domain 0044 not available on target host\n");
        text
    }

    #[test]
    fn only_lines_of_this_device_since_the_run_began_are_reported_with_rule_and_error() {
        let said = said(&log(), 10, UUID, None);
        let rules: Vec<Option<&str>> = said.lines.iter().map(|line| line.rule.as_deref()).collect();
        assert_eq!(rules, [Some("queue-bound"), None, Some("control-domain-available")]);
        assert_eq!((said.messages.len(), said.errno), (2, Some("ENODEV")));
        assert!(said.lines[1].text.ends_with("group \\u{1b}[2J"), "{:?}", said.lines[1]);
    }

    #[test]
    fn what_was_there_before_is_not_this_runs() {
        assert_eq!(said(&log(), 14, UUID, None), Said::default());
        assert_eq!(said("", 0, UUID, None), Said::default());
    }
}
