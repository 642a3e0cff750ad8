// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an administrator of the destination can do about a finding, as writes into sysfs with what must be read
//! afterwards. Printed as a script, never run here; `ap-admin` carries the same writes out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use ap_arch::{Apid, Apqn};

use crate::text::{plain, shell_word};

/// The folder of the AP bus.
pub const AP: &str = "/sys/bus/ap";

/// The folder of the mediated devices.
pub const MATRIX: &str = "/sys/devices/vfio_ap/matrix";

/// One of the two masks of the AP bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mask {
    /// Adapters.
    Apmask,
    /// Domains.
    Aqmask,
}

impl Mask {
    /// Its file.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Apmask => "/sys/bus/ap/apmask",
            Self::Aqmask => "/sys/bus/ap/aqmask",
        }
    }

    /// The number of a queue that counts in it.
    #[must_use]
    pub const fn number(self, apqn: Apqn) -> u8 {
        match self {
            Self::Apmask => apqn.apid.0,
            Self::Aqmask => apqn.apqi.0,
        }
    }
}

/// One step, in the order in which a script takes them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fix {
    /// Load the driver.
    LoadDriver,
    /// Create a mediated device of this UUID.
    CreateMdev(String),
    /// Bring a deconfigured card back.
    Configure(Apid),
    /// Take a number from a mask, and with it queues from the host's own drivers.
    Release(Mask, u8),
    /// Give a queue to vfio_ap by its override; `from` is the driver that has it.
    Override {
        /// The queue.
        queue: Apqn,
        /// The driver that it is taken from, if one has it.
        from: Option<String>,
    },
    /// Have a queue bound that the masks leave to vfio_ap; `from` is the driver that has it.
    Bind {
        /// The queue.
        queue: Apqn,
        /// The driver that it is taken from, if one has it.
        from: Option<String>,
    },
    /// What takes queues from the host that it uses: an administrator must decide.
    Ask {
        /// The mask.
        mask: Mask,
        /// The number.
        number: u8,
        /// The queues that go with it.
        goes: Vec<Apqn>,
    },
    /// Take an adapter from another mediated device: one that no guest has, or one whose guest may do without it.
    Unassign {
        /// The device.
        mdev: String,
        /// The adapter.
        adapter: Apid,
        /// Whether the device is known to have no guest.
        is_free: bool,
    },
    /// What no command does.
    Advice(Cow<'static, str>),
}

/// What must be read after a write, because a write can succeed and change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A file says this.
    Says(String, String),
    /// A queue is bound to this driver, or to none.
    Driver(Apqn, Option<String>),
    /// A number is in a mask, or is not.
    Has(Mask, u8, bool),
    /// A folder is there, or is not.
    Is(String, bool),
}

/// A value to write into a file of sysfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// What.
    pub value: String,
    /// Where.
    pub path: String,
    /// What must be read afterwards.
    pub checks: Vec<Check>,
}

impl Write {
    /// A write whose file says afterwards what was written.
    #[must_use]
    pub fn says(path: String, value: String) -> Self {
        Self { checks: vec![Check::Says(path.clone(), value.clone())], value, path }
    }
}

/// The folder of a queue.
#[must_use]
pub fn queue_folder(queue: Apqn) -> String {
    format!("{AP}/devices/{queue}")
}

/// Chooses a queue's driver by its name; with an empty name it is the masks' again.
#[must_use]
pub fn choose(queue: Apqn, driver: &str) -> Write {
    Write::says(format!("{}/driver_override", queue_folder(queue)), driver.to_owned())
}

/// Takes a queue from the driver that has it.
#[must_use]
pub fn unbind(queue: Apqn) -> Write {
    let path = format!("{}/driver/unbind", queue_folder(queue));
    Write { value: queue.to_string(), path, checks: vec![Check::Driver(queue, None)] }
}

/// Has a queue bound to the driver that is to have it.
#[must_use]
pub fn probe(queue: Apqn, driver: &str) -> Write {
    let checks = vec![Check::Driver(queue, Some(driver.to_owned()))];
    Write { value: queue.to_string(), path: format!("{AP}/drivers_probe"), checks }
}

/// Takes numbers from a mask, or gives them back: the others stay as they are, whoever changed them.
#[must_use]
pub fn change_mask(mask: Mask, numbers: impl IntoIterator<Item = u8>, on: bool) -> Write {
    let numbers: Vec<u8> = numbers.into_iter().collect();
    let sign = if on { '+' } else { '-' };
    let value = numbers.iter().map(|n| format!("{sign}0x{n:02x}")).collect::<Vec<_>>().join(",");
    let checks = numbers.iter().map(|n| Check::Has(mask, *n, on)).collect();
    Write { value, path: mask.path().to_owned(), checks }
}

/// Creates a mediated device.
#[must_use]
pub fn create(uuid: &str) -> Write {
    let path = format!("{MATRIX}/mdev_supported_types/vfio_ap-passthrough/create");
    Write { value: uuid.to_owned(), path, checks: vec![Check::Is(format!("{MATRIX}/{uuid}"), true)] }
}

/// The way of a queue from the driver that has it to vfio_ap, after what chooses vfio_ap for it.
fn rebind(queue: Apqn, from: Option<&str>) -> Vec<Write> {
    let taken = from.filter(|driver| *driver != "vfio_ap").map(|_| unbind(queue));
    let bound = if from == Some("vfio_ap") { None } else { Some(probe(queue, "vfio_ap")) };
    taken.into_iter().chain(bound).collect()
}

impl Fix {
    /// Advice.
    #[must_use]
    pub const fn advice(text: &'static str) -> Self {
        Self::Advice(Cow::Borrowed(text))
    }

    /// The writes into sysfs that this step is.
    #[must_use]
    pub fn writes(&self) -> Vec<Write> {
        match self {
            Self::LoadDriver | Self::Advice(_) => Vec::new(),
            Self::CreateMdev(uuid) => vec![create(uuid)],
            Self::Configure(card) => {
                vec![Write::says(format!("{AP}/devices/card{card}/config"), "1".to_owned())]
            }
            Self::Release(mask, number) | Self::Ask { mask, number, .. } => vec![change_mask(*mask, [*number], false)],
            Self::Override { queue, from } => {
                let mut writes = vec![choose(*queue, "vfio_ap")];
                writes.extend(rebind(*queue, from.as_deref()));
                writes
            }
            Self::Bind { queue, from } => rebind(*queue, from.as_deref()),
            Self::Unassign { mdev, adapter, .. } => vec![Write {
                value: format!("0x{adapter}"),
                path: format!("{MATRIX}/{mdev}/unassign_adapter"),
                checks: Vec::new(),
            }],
        }
    }

    /// Whether it takes something away from somebody, so that a script must not do it unasked.
    #[must_use]
    pub const fn is_harmful(&self) -> bool {
        matches!(self, Self::Unassign { is_free: false, .. } | Self::Ask { .. })
    }

    /// Whether a script does it: it is commands, and they take nothing away from anybody.
    #[must_use]
    pub const fn is_done_by_script(&self) -> bool {
        !self.is_harmful() && !matches!(self, Self::Advice(_))
    }

    /// The commands, as a person types them.
    #[must_use]
    pub fn command(&self) -> Option<String> {
        if *self == Self::LoadDriver {
            return Some("modprobe vfio_ap".to_owned());
        }
        let line = |write: &Write| format!("echo {} > {}", shell_word(&write.value), shell_word(&write.path));
        let lines: Vec<String> = self.writes().iter().map(line).collect();
        if lines.is_empty() { None } else { Some(lines.join("; ")) }
    }

    /// What it is for, in a few words.
    fn purpose(&self) -> String {
        let taken = |from: &Option<String>| match from.as_deref() {
            Some(driver) if driver != "vfio_ap" => format!(", which {} has", plain(driver)),
            _ => String::new(),
        };
        match self {
            Self::LoadDriver => "load the driver".to_owned(),
            Self::CreateMdev(_) => "create the mediated device".to_owned(),
            Self::Configure(card) => format!("configure adapter {card}"),
            Self::Release(Mask::Apmask, adapter) => {
                format!("take adapter {} from the host's own drivers", Apid(*adapter))
            }
            Self::Release(Mask::Aqmask, domain) => {
                format!("take domain {domain:04x} from the host's own drivers")
            }
            Self::Override { queue, from } => format!("give queue {queue} to vfio_ap{}", taken(from)),
            Self::Bind { queue, from } => format!("bind queue {queue} to vfio_ap{}", taken(from)),
            Self::Ask { goes, .. } => {
                let queues = crate::ranges::queues(goes.iter().copied());
                format!("this takes queues too that the host uses: {queues}; if it can spare them")
            }
            Self::Unassign { mdev, adapter, is_free } => {
                let guest = if *is_free { "no guest has the device" } else { "its guest loses it" };
                format!("take adapter {adapter} from mediated device {}: {guest}", plain(mdev))
            }
            Self::Advice(advice) => advice.to_string(),
        }
    }
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.command() {
            Some(command) if self.is_harmful() => write!(f, "{} ({})", plain(&command), plain(&self.purpose())),
            Some(command) => f.write_str(&plain(&command)),
            None => f.write_str(&plain(&self.purpose())),
        }
    }
}

/// What stands at the head of a script: one function writes, the others read what came of it.
const PUT: &str = r#"put() { printf '%s\n' "$1" > "$2" || { echo "$2: it does not take $1" >&2; exit 1; }; }
"#;
const READERS: &str = concat!(
    r#"is() { [ "$2" = "$3" ] || "#,
    r#"{ echo "$1: expected ${3:-nothing}, found ${2:-nothing}" >&2; exit 1; }; }"#,
    r#"
driver() { readlink "$root/sys/bus/ap/devices/$1/driver" | sed 's,.*/,,'; }
in_mask() { digits=$(sed 's/^0x//' "$1"); n=$2
    digit=$(printf '%s' "$digits" | cut -c $((n / 4 + 1))); echo $(((0x$digit >> (3 - n % 4)) & 1)); }
there() { if [ -d "$1" ]; then echo there; else echo gone; fi; }
"#
);

/// A check as a line of a script.
fn check_line(check: &Check) -> String {
    let at = |path: &str| format!("\"$root\"{}", shell_word(path));
    match check {
        Check::Says(path, text) => format!("is {} \"$(cat {})\" {}", shell_word(path), at(path), shell_word(text)),
        Check::Driver(queue, driver) => {
            let driver = shell_word(driver.as_deref().unwrap_or_default());
            format!("is 'driver of {queue}' \"$(driver {queue})\" {driver}")
        }
        Check::Has(mask, number, on) => {
            let path = mask.path();
            format!("is '{path}, number {number:#04x}' \"$(in_mask {} {number})\" {}", at(path), u8::from(*on))
        }
        Check::Is(path, there) => {
            format!("is {} \"$(there {})\" {}", shell_word(path), at(path), if *there { "there" } else { "gone" })
        }
    }
}

/// A shell script that looks at what came of a write, on a host whose files are below `root`; it fails, and says why,
/// where the write changed nothing.
#[must_use]
pub fn check_script(root: &str, checks: &[Check]) -> String {
    let lines: String = checks.iter().map(|check| check_line(check) + "\n").collect();
    format!("root={}\n{READERS}{lines}", shell_word(root))
}

/// A part of a script: what it is for, and its writes.
struct Task<'a> {
    step: &'a Fix,
    purpose: String,
    writes: Vec<Write>,
}

/// The parts of a script in their order, each once.
fn tasks<'a>(fixes: impl IntoIterator<Item = &'a Fix>) -> Vec<Task<'a>> {
    let steps: BTreeSet<&Fix> = fixes.into_iter().collect();
    let mut released = BTreeSet::new();
    let task = |step: &&'a Fix| match step {
        // One write for all numbers of a mask: each write makes the kernel bind every queue anew.
        Fix::Release(mask, _) if !released.insert(*mask) => None,
        Fix::Release(mask, _) => {
            let number = |step: &&Fix| if let Fix::Release(of, n) = step { Some((*of, *n)) } else { None };
            let numbers = steps.iter().filter_map(number).filter(|(of, _)| of == mask).map(|(_, n)| n);
            let purpose = step.purpose_of_all().to_owned();
            Some(Task { step, purpose, writes: vec![change_mask(*mask, numbers, false)] })
        }
        _ => Some(Task { step, purpose: plain(&step.purpose()), writes: step.writes() }),
    };
    steps.iter().filter_map(task).collect()
}

/// How many lines of a script change something: what takes something from somebody is not among them.
#[must_use]
pub fn commands<'a>(fixes: impl IntoIterator<Item = &'a Fix>) -> usize {
    let lines = |task: &Task<'_>| task.writes.len() + usize::from(*task.step == Fix::LoadDriver);
    tasks(fixes).iter().filter(|task| task.step.is_done_by_script()).map(lines).sum()
}

/// A shell script that does everything that can be done by commands, and looks after each write what came of it. What
/// takes something from another guest or from the host, and what no command does, stands in it as a comment.
#[must_use]
pub fn script<'a>(title: &str, fixes: impl IntoIterator<Item = &'a Fix>) -> String {
    let title = plain(title);
    format!("#!/bin/sh\n# {title}\n# Read it before you run it, on the destination, as root.\n{}", body(fixes))
}

/// The same without the lines that say what it is.
#[must_use]
pub fn body<'a>(fixes: impl IntoIterator<Item = &'a Fix>) -> String {
    let tasks = tasks(fixes);
    let mut text = if tasks.iter().all(|task| matches!(task.step, Fix::Advice(_))) {
        "# Nothing is to be done.\n".to_owned()
    } else {
        format!("set -eu\nroot=''\n{PUT}{READERS}")
    };
    for Task { step, purpose, writes } in tasks {
        text.push_str(&format!("\n# {purpose}\n"));
        if *step == Fix::LoadDriver {
            text.push_str(&format!("modprobe vfio_ap\n{}\n", check_line(&Check::Is(MATRIX.to_owned(), true))));
        }
        for Write { value, path, checks } in writes {
            let put = format!("put {} {}", shell_word(&value), shell_word(&path));
            for line in std::iter::once(put).chain(checks.iter().map(check_line)) {
                // In a comment a name with a newline in it would end the comment.
                let line = if step.is_harmful() { format!("# {}", plain(&line)) } else { line };
                text.push_str(&format!("{line}\n"));
            }
        }
    }
    text
}

impl Fix {
    /// The purpose of a write for all numbers of a mask.
    fn purpose_of_all(&self) -> &'static str {
        match self {
            Self::Release(Mask::Aqmask, _) => "take these domains from the host's own drivers, on all adapters",
            _ => "take these adapters from the host's own drivers, in all domains",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn puts(script: &str) -> Vec<&str> {
        script.lines().filter(|line| line.starts_with("put ")).collect()
    }

    #[test]
    fn a_script_takes_the_steps_in_order_and_each_once() {
        let fixes = [
            Fix::Bind { queue: Apqn::new(5, 0x33), from: None },
            Fix::Release(Mask::Apmask, 6),
            Fix::Release(Mask::Apmask, 5),
            Fix::CreateMdev("u".to_owned()),
            Fix::Release(Mask::Apmask, 6),
        ];
        assert_eq!(
            puts(&script("t", &fixes)),
            [
                "put u /sys/devices/vfio_ap/matrix/mdev_supported_types/vfio_ap-passthrough/create",
                "put '-0x05,-0x06' /sys/bus/ap/apmask",
                "put 05.0033 /sys/bus/ap/drivers_probe",
            ]
        );
    }

    #[test]
    fn a_queue_that_a_driver_has_is_chosen_taken_and_probed_in_this_order() {
        let fixes = [Fix::Override { queue: Apqn::new(4, 7), from: Some("cex4queue".to_owned()) }];
        assert_eq!(
            puts(&script("t", &fixes)),
            [
                "put vfio_ap /sys/bus/ap/devices/04.0007/driver_override",
                "put 04.0007 /sys/bus/ap/devices/04.0007/driver/unbind",
                "put 04.0007 /sys/bus/ap/drivers_probe",
            ]
        );
        assert_eq!(Fix::Bind { queue: Apqn::new(4, 7), from: Some("vfio_ap".to_owned()) }.writes(), []);
    }

    /// A folder that a script takes for `/sys`, with the kernel's answers.
    fn run(script: &str, root: &std::path::Path) -> (bool, String) {
        let script = script.replace("/sys/", &format!("{}/sys/", root.display()));
        let output = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn a_script_stops_where_a_write_changed_nothing() {
        let root = tempfile::tempdir().unwrap();
        let put = |file: &str, text: &str| {
            let path = root.path().join("sys/bus/ap").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        put("drivers_probe", "");
        put("devices/04.0007/driver_override", "");
        let fixes = [Fix::Override { queue: Apqn::new(4, 7), from: None }];
        let (done, said) = run(&script("t", &fixes), root.path());
        assert!(!done && said.contains("driver of 04.0007: expected vfio_ap, found nothing"), "{said}");
        std::os::unix::fs::symlink("../../drivers/vfio_ap", root.path().join("sys/bus/ap/devices/04.0007/driver"))
            .unwrap();
        assert_eq!(run(&script("t", &fixes), root.path()), (true, String::new()));
        // A file does not do what the kernel does: the mask says what was written, not what is left.
        let release = script("t", &[Fix::Release(Mask::Apmask, 5)]).replace("put -0x05", "put 0xfbff");
        put("apmask", "");
        assert_eq!(run(&release, root.path()), (true, String::new()));
        let (done, said) = run(&release.replace("0xfbff", "0xffff"), root.path());
        assert!(!done && said.contains("number 0x05: expected 0, found 1"), "{said}");
        let (done, said) = run(&script("t", &[Fix::CreateMdev("u".to_owned())]), root.path());
        assert!(!done && said.contains("/create: it does not take u"), "{said}");
    }

    /// One step of each kind, and each that has a driver with every driver.
    fn steps() -> Vec<Fix> {
        let queue = Apqn::new(5, 0x33);
        let drivers = [None, Some("cex4queue".to_owned()), Some("vfio_ap".to_owned())];
        let unassign = |is_free| Fix::Unassign { mdev: "u".to_owned(), adapter: Apid(5), is_free };
        let mut steps = vec![
            Fix::LoadDriver,
            Fix::CreateMdev("u".to_owned()),
            Fix::Configure(Apid(5)),
            Fix::Release(Mask::Apmask, 5),
            Fix::Release(Mask::Aqmask, 0x33),
            Fix::Release(Mask::Aqmask, 0x3a),
            Fix::Ask { mask: Mask::Aqmask, number: 0x33, goes: vec![Apqn::new(4, 0x33)] },
            unassign(true),
            unassign(false),
            Fix::advice("ask somebody"),
        ];
        steps.extend(drivers.iter().map(|from| Fix::Override { queue, from: from.clone() }));
        steps.extend(drivers.iter().map(|from| Fix::Bind { queue, from: from.clone() }));
        steps
    }

    #[test]
    fn each_step_says_what_it_is_and_whether_a_script_does_it() {
        let line = |step: &Fix| {
            let who = match (step.is_harmful(), step.is_done_by_script()) {
                (true, _) => "a person decides",
                (false, true) => "a script",
                (false, false) => "a person",
            };
            format!("{who}, {} commands: {step}\n    {}\n", commands([step]), step.purpose())
        };
        insta::assert_snapshot!(steps().iter().map(line).collect::<String>());
        assert_eq!(commands(&steps()), 15, "those of a mask are one");
        assert_eq!([Mask::Apmask, Mask::Aqmask].map(|mask| mask.number(Apqn::new(5, 0x33))), [5, 0x33]);
    }

    #[test]
    fn a_script_of_every_step_says_what_each_is_for_and_looks_what_came_of_it() {
        insta::assert_snapshot!(script("two hosts", &steps()));
        assert_eq!(body([&Fix::advice("ask somebody")]), "# Nothing is to be done.\n\n# ask somebody\n");
    }

    #[test]
    fn what_came_of_a_write_is_read_below_the_root_that_is_named() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("sys/bus/ap/devices")).unwrap();
        std::fs::write(root.path().join("sys/bus/ap/apmask"), "0x04\n").unwrap();
        let looked = |checks: &[Check]| {
            let script = check_script(root.path().to_str().unwrap(), checks);
            std::process::Command::new("sh").arg("-ec").arg(script).output().unwrap().status.success()
        };
        let has = |number| Check::Has(Mask::Apmask, number, true);
        let there = |is| Check::Is("/sys/bus/ap/devices".to_owned(), is);
        let says = |text: &str| Check::Says("/sys/bus/ap/apmask".to_owned(), text.to_owned());
        assert!(looked(&[has(5), there(true), says("0x04"), Check::Driver(Apqn::new(5, 0x33), None)]));
        assert_eq!([has(6), there(false), says("0x05")].map(|check| looked(&[check])), [false; 3]);
        assert!(!looked(&[has(6), has(5)]), "the first counts too");
    }

    #[test]
    fn what_takes_something_from_the_host_is_a_comment_that_names_it() {
        let fix = Fix::Ask { mask: Mask::Apmask, number: 4, goes: vec![Apqn::new(4, 9)] };
        let script = script("t", [&fix]);
        assert!(puts(&script).is_empty() && script.contains("that the host uses: 04.0009"), "{script}");
        assert!(script.contains("\n# put -0x04 /sys/bus/ap/apmask\n"), "{script}");
    }

    #[test]
    fn a_name_with_shell_in_it_stays_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("note");
        let evil = format!("x'; touch {0}; $(touch {0}) `touch {0}` \n touch {0}\n#\x1b[2J", note.display());
        let script = script(
            &evil,
            &[Fix::CreateMdev(evil.clone()), Fix::Unassign { mdev: evil.clone(), adapter: Apid(5), is_free: false }],
        );
        let harmless = script.replace("> \"$2\"", "> /dev/null").replace("\nis ", "\n: ");
        let status = std::process::Command::new("sh").arg("-c").arg(&harmless).status().unwrap();
        assert!(status.success(), "{script}");
        assert!(!note.exists(), "{script}");
        assert!(script.contains("# put '0x05'") || script.contains("# put 0x05 "), "{script}");
    }
}
