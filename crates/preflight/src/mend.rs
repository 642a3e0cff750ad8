// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an administrator of the destination can do about a finding. Printed, never run.

use std::fmt;

use ap_arch::{Apid, Apqn, Mask256};

use crate::text::{plain, shell_word};

/// One step, in the order in which a script takes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mend {
    /// Load the driver.
    LoadDriver,
    /// Create a mediated device of this UUID.
    CreateMdev(String),
    /// Bring a deconfigured card back.
    Configure(Apid),
    /// Take an adapter from the host's own drivers.
    Release(Apid),
    /// Give one queue to vfio_ap where overrides are in use, because the masks cannot be changed then.
    Override(Apqn),
    /// Bind a queue that has no driver, or another one.
    Bind(Apqn),
    /// Take an adapter from another mediated device, if its guest can do without.
    Unassign(String, Apid),
    /// What no command does.
    Advice(&'static str),
}

/// A value to write into a file of sysfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What.
    pub value: String,
    /// Where.
    pub path: String,
}

impl Mend {
    /// The write into sysfs that this step is, if it is one.
    #[must_use]
    pub fn write(&self) -> Option<Write> {
        let (value, path) = match self {
            Self::LoadDriver | Self::Advice(_) => return None,
            Self::CreateMdev(uuid) => {
                (uuid.clone(), "/sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create".to_owned())
            }
            Self::Configure(card) => ("1".to_owned(), format!("/sys/bus/ap/devices/card{card}/config")),
            Self::Release(adapter) => (format!("-0x{adapter}"), "/sys/bus/ap/apmask".to_owned()),
            Self::Override(queue) => ("vfio_ap".to_owned(), format!("/sys/bus/ap/devices/{queue}/driver_override")),
            Self::Bind(queue) => (queue.to_string(), "/sys/bus/ap/drivers/vfio_ap/bind".to_owned()),
            Self::Unassign(mdev, adapter) => {
                (format!("0x{adapter}"), format!("/sys/devices/vfio_ap/matrix/{mdev}/unassign_adapter"))
            }
        };
        Some(Write { value, path })
    }

    /// Whether it takes something away from somebody, so that a script must not do it unasked.
    #[must_use]
    pub const fn is_harmful(&self) -> bool {
        matches!(self, Self::Unassign(..))
    }

    /// The command, as a person types it.
    #[must_use]
    pub fn command(&self) -> Option<String> {
        match self {
            Self::LoadDriver => Some("modprobe vfio_ap".to_owned()),
            _ => {
                self.write().map(|Write { value, path }| format!("echo {} > {}", shell_word(&value), shell_word(&path)))
            }
        }
    }

    /// What it is for, in a few words.
    fn purpose(&self) -> String {
        match self {
            Self::LoadDriver => "load the driver".to_owned(),
            Self::CreateMdev(_) => "create the mediated device".to_owned(),
            Self::Configure(card) => format!("configure adapter {card}"),
            Self::Release(adapter) => format!("take adapter {adapter} from the host's own drivers"),
            Self::Override(queue) => format!("give queue {queue} to vfio_ap"),
            Self::Bind(queue) => format!("bind queue {queue} to vfio_ap"),
            Self::Unassign(mdev, adapter) => {
                format!("take adapter {adapter} from mediated device {}: its guest loses it", plain(mdev))
            }
            Self::Advice(advice) => (*advice).to_owned(),
        }
    }
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command() {
            Some(command) => f.write_str(&plain(&command)),
            None => f.write_str(&self.purpose()),
        }
    }
}

/// A shell script that does everything that can be done by commands. What takes something from another guest, and what
/// no command does, stands in it as a comment.
#[must_use]
pub fn script<'a>(title: &str, mends: impl IntoIterator<Item = &'a Mend>) -> String {
    let steps: std::collections::BTreeSet<&Mend> = mends.into_iter().collect();
    let mut text =
        format!("#!/bin/sh\n# {}\n# Read it before you run it, on the destination, as root.\nset -eu\n", plain(title));
    text.push_str("put() { printf '%s\\n' \"$1\" > \"$2\"; }\n");
    let adapters: Mask256 =
        steps.iter().filter_map(|step| if let Mend::Release(apid) = step { Some(apid.0) } else { None }).collect();
    let mut released = false;
    for step in steps {
        if let Mend::Release(_) = step {
            // One write for all adapters: each write makes the kernel bind every queue anew.
            if !std::mem::replace(&mut released, true) {
                let value: Vec<String> = adapters.iter().map(|n| format!("-0x{}", Apid(n))).collect();
                let what = "take these adapters from the host's own drivers, in all domains";
                text.push_str(&format!("\n# {what}\nput {} /sys/bus/ap/apmask\n", value.join(",")));
            }
            continue;
        }
        text.push_str(&format!("\n# {}\n", step.purpose()));
        match (step, step.write()) {
            (Mend::LoadDriver, _) => text.push_str("modprobe vfio_ap\n"),
            (_, Some(Write { value, path })) => {
                // In a comment a name with a newline in it would end the comment.
                let line = format!("put {} {}", shell_word(&value), shell_word(&path));
                let line = if step.is_harmful() { format!("# {}", plain(&line)) } else { line };
                text.push_str(&format!("{line}\n"));
            }
            (_, None) => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_takes_the_steps_in_order_and_each_once() {
        let mends = [
            Mend::Bind(Apqn::new(5, 0x33)),
            Mend::Release(Apid(6)),
            Mend::Release(Apid(5)),
            Mend::CreateMdev("u".to_owned()),
            Mend::Release(Apid(6)),
        ];
        let script = script("t", &mends);
        let steps: Vec<&str> = script.lines().filter(|line| line.starts_with("put ")).collect();
        assert_eq!(
            steps,
            [
                "put u /sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create",
                "put -0x05,-0x06 /sys/bus/ap/apmask",
                "put 05.0033 /sys/bus/ap/drivers/vfio_ap/bind",
            ]
        );
    }

    #[test]
    fn a_name_with_shell_in_it_stays_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("note");
        let evil = format!("x'; touch {0}; $(touch {0}) `touch {0}` \n touch {0}\n#\x1b[2J", note.display());
        let script = script(&evil, &[Mend::CreateMdev(evil.clone()), Mend::Unassign(evil.clone(), Apid(5))]);
        let script = script.replace("> \"$2\"", "> /dev/null");
        let status = std::process::Command::new("sh").arg("-c").arg(&script).status().unwrap();
        assert!(status.success(), "{script}");
        assert!(!note.exists(), "{script}");
        assert!(script.contains("# put '0x05'") || script.contains("# put 0x05 "), "{script}");
    }
}
