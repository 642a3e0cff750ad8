// SPDX-License-Identifier: MIT OR Apache-2.0
//! What another host has for runs on KVM with its real queues. It is asked over the connection that a run would have,
//! and nothing is changed there. With a mediated device that no guest has, a QEMU is started on it and asked whether it
//! could migrate; it runs no guest.

use std::fmt;

use preflight::host::VfioAp;
use preflight::host::{Fact, Unknown};
use preflight::text::{plain, shell_word};
use preflight::{Attribute, Host};
use serde_json::json;

use crate::hosts::cpu_model;
use crate::hosts::foresight;
use crate::hosts::qemu;
use crate::hosts::ssh::{HostConnection, HostError};

/// Asks what no snapshot has.
const SCRIPT: &str = r#"
say() { printf '%s %s\n' "$1" "$(printf %s "$2" | tr '\n' ' ')"; }
kvm=$root/dev/kvm
if [ ! -e "$kvm" ]; then say kvm absent; elif [ -r "$kvm" ] && [ -w "$kvm" ]; then say kvm yes; else say kvm denied; fi
if [ -w "$root/sys/bus/ap/apmask" ] && [ -w "$root/sys/bus/ap/aqmask" ]; then say masks yes; fi
if [ -n "$qemu" ]; then
    say version "$(timeout 20 "$qemu" --version 2>&1 | head -n 1)"
    timeout 20 "$qemu" -device help 2> /dev/null | grep -q '^name "vfio-ap"' && say device yes
fi
if command -v virsh > /dev/null; then
    say virsh "$(timeout 20 virsh --version 2>&1)"
    if why=$(timeout 20 virsh -c qemu:///system list --all 2>&1); then say daemon yes; else say daemon "$why"; fi
fi
exit 0
"#;

/// Facilities of the machine that guests' AP needs: configuration information, facility test.
const NEEDED: [(&str, &str); 2] = [("12", "QCI"), ("15", "APFT")];

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    /// It is.
    Yes,
    /// That cannot be known.
    Unknown,
    /// It is not.
    No,
}

/// One thing that was looked at on a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What.
    pub what: &'static str,
    /// Whether it is there.
    pub answer: Answer,
    /// What was seen.
    pub text: String,
    /// What fixes it; empty where nothing is to be fixed.
    pub fix: String,
    /// Whether a run with real queues can do without.
    pub is_optional: bool,
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.answer {
            Answer::Yes => "yes",
            Answer::Unknown => "unknown",
            Answer::No => "no",
        };
        writeln!(f, "  {word:<8} {:<12} {}", self.what, plain(&self.text))?;
        if self.fix.is_empty() { Ok(()) } else { writeln!(f, "  {:<8} {:<12} fix it by: {}", "", "", self.fix) }
    }
}

fn item(what: &'static str, answer: Answer, text: impl Into<String>, fix: impl Into<String>) -> Item {
    let fix = if answer == Answer::Yes { String::new() } else { fix.into() };
    Item { what, answer, text: text.into(), fix, is_optional: false }
}

/// What is there or is not, in the words for either.
fn whether(what: &'static str, is_there: bool, (yes, no): (&str, &str), fix: &str) -> Item {
    if is_there { item(what, Answer::Yes, yes, "") } else { item(what, Answer::No, no, fix) }
}

fn optional(item: Item) -> Item {
    Item { is_optional: true, ..item }
}

/// The answer for all: what may be missing does not count.
#[must_use]
pub fn overall(items: &[Item]) -> Answer {
    items.iter().filter(|item| !item.is_optional).map(|item| item.answer).max().unwrap_or(Answer::Yes)
}

/// Looks at a host. `mdev` names a mediated device there that no guest has.
///
/// # Errors
/// [`HostError`] where it cannot be asked at all.
pub async fn look_at(connection: &HostConnection, mdev: Option<&str>) -> Result<Vec<Item>, HostError> {
    let head = format!("root={} qemu={}\n", shell_word(&connection.hello.root), shell_word(&connection.hello.qemu));
    let said = connection.script("report what it has", &(head + SCRIPT)).await?;
    let value = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::trim);
    let mut items = vec![kvm(value("kvm"))];
    items.extend(of_snapshot(connection).await?);
    items.push(qemu_item(connection, value("version")));
    let words = ("it knows the device vfio-ap", "it does not know the device vfio-ap");
    let fix = "a QEMU for s390x hosts, built with vfio-ap";
    items.push(whether("QEMU vfio-ap", value("device") == Some("yes"), words, fix));
    items.push(match cpu_model::baseline(&[connection]).await {
        Ok(model) => item("CPU model", Answer::Yes, model.split(',').next().unwrap_or_default(), ""),
        Err(error) => item(
            "CPU model",
            Answer::No,
            error.to_string(),
            "/dev/kvm must be there and usable; --cpu of a run names a model",
        ),
    });
    items.push(blocked(connection, mdev).await);
    let words = ("this user may change the masks", "this user may not change the masks");
    let fix = "it takes root: ssh:root@NAME; --mdev uses a device that is there";
    items.push(optional(whether("--assign", value("masks") == Some("yes"), words, fix)));
    items.push(optional(match (value("virsh"), value("daemon")) {
        (Some(version), Some("yes")) => item("libvirt", Answer::Yes, format!("{version}, and its daemon answers"), ""),
        (Some(version), why) => {
            let text = format!("{version}, and no daemon answers: {}", why.unwrap_or_default());
            item("libvirt", Answer::No, text, "start virtqemud or libvirtd there; only runs by libvirt need it")
        }
        (None, _) => item("libvirt", Answer::No, "there is no virsh", "install it; only runs by libvirt need it"),
    }));
    let plugin = connection.hello.plugin.as_str();
    let fix = "bring libqemu_ap.so there and name it; only the emulated machine needs it";
    items.push(optional(whether("plugin", !plugin.is_empty(), (plugin, "KAPUT_PLUGIN is not set there"), fix)));
    Ok(items)
}

fn kvm(found: Option<&str>) -> Item {
    match found {
        Some("yes") => item("KVM", Answer::Yes, "/dev/kvm can be used", ""),
        Some("denied") => {
            item("KVM", Answer::No, "this user may not use /dev/kvm", "make the user a member of the group kvm")
        }
        _ => {
            item("KVM", Answer::No, "there is no /dev/kvm", "modprobe kvm, on a machine that lets its guests be hosts")
        }
    }
}

/// A file that is not there is a no, everything else that cannot be read is not known.
fn absent(Unknown(reason): &Unknown) -> Answer {
    if reason.contains("no such file") { Answer::No } else { Answer::Unknown }
}

async fn of_snapshot(connection: &HostConnection) -> Result<Vec<Item>, HostError> {
    let snapshot = foresight::look(connection).await?;
    let host = Host::new(&snapshot).map_err(|error| foresight::odd(connection, &error))?;
    let shown = |fact: &Fact<String>| fact.as_ref().map_or_else(|Unknown(why)| why.to_string(), Clone::clone);
    let mut items = vec![item(
        "kernel",
        if host.kernel.is_ok() { Answer::Yes } else { Answer::Unknown },
        shown(&host.kernel),
        "look at uname -r",
    )];
    let count = |fact: Option<usize>| fact.unwrap_or_default();
    let (cards, queues) =
        (host.cards.as_ref().ok().map(|all| all.len()), host.queues.as_ref().ok().map(|all| all.len()));
    items.push(match (&host.max_adapter, count(queues)) {
        (Err(unknown), 0) => {
            item("AP", absent(unknown), "there is no AP bus", "modprobe ap; the LPAR must have AP instructions")
        }
        (_, 0) => item("AP", Answer::No, "the AP bus has no queue", "give the LPAR adapters and domains (HMC)"),
        (_, queues) => item("AP", Answer::Yes, format!("{} cards, {queues} queues", count(cards)), ""),
    });
    items.push(match snapshot.host.get("facilities") {
        Some(Attribute::Text(list)) => {
            let has = |number: &str| list.split_whitespace().any(|word| word == number);
            let missing: Vec<String> = NEEDED
                .iter()
                .filter(|(number, _)| !has(number))
                .map(|(number, name)| format!("{number} ({name})"))
                .collect();
            let interrupts = if has("65") { ", and 65 (APQI)" } else { "; interruption of guests, 65, is not there" };
            match missing.as_slice() {
                [] => item("facilities", Answer::Yes, format!("12 (QCI), 15 (APFT){interrupts}"), ""),
                _ => item(
                    "facilities",
                    Answer::No,
                    format!("{} missing", missing.join(", ")),
                    "an LPAR of a newer machine",
                ),
            }
        }
        _ => item("facilities", Answer::Unknown, "not in /proc/cpuinfo", "look at /proc/cpuinfo there"),
    });
    items.extend(match &host.vfio_ap {
        Err(unknown) => {
            let text = unknown.0.to_string();
            [
                item("vfio_ap", Answer::Unknown, text, "look at /sys/devices/vfio_ap/matrix/features there"),
                migration(None),
            ]
        }
        Ok(VfioAp::NotLoaded) if host.has_module == Ok(false) => {
            let fix = "boot a kernel with CONFIG_VFIO_AP";
            [item("vfio_ap", Answer::No, "this kernel is built without it", fix), migration(Some(false))]
        }
        Ok(VfioAp::NotLoaded) => [item("vfio_ap", Answer::No, "it is not loaded", "modprobe vfio_ap"), migration(None)],
        Ok(VfioAp::Older) => {
            let text = "loaded, without `features`: older than Linux 6.12";
            [item("vfio_ap", Answer::Yes, text, ""), migration(Some(false))]
        }
        Ok(VfioAp::Features(words)) => {
            let text = if words.is_empty() { "loaded, no features".to_owned() } else { words.join(" ") };
            [item("vfio_ap", Answer::Yes, text, ""), migration(Some(words.iter().any(|word| word == "migratable")))]
        }
    });
    Ok(items)
}

fn migration(migratable: Option<bool>) -> Item {
    let fix = "boot a kernel whose vfio_ap can migrate";
    match migratable {
        Some(true) => item("migration", Answer::Yes, "vfio_ap can migrate a device", ""),
        Some(false) => item("migration", Answer::No, "vfio_ap cannot migrate a device", fix),
        None => item("migration", Answer::Unknown, "only vfio_ap knows", "load vfio_ap and look again"),
    }
}

fn qemu_item(connection: &HostConnection, version: Option<&str>) -> Item {
    let fix = "install QEMU 11.1 or newer there, in PATH or named by KAPUT_QEMU in its shells' environment";
    if connection.hello.qemu.is_empty() {
        return item("QEMU", Answer::No, "there is no qemu-system-s390x", fix);
    }
    match qemu::choose(&qemu::versions(&connection.hello.machines)) {
        Ok(machine) => {
            let version = version.and_then(|text| text.split(" (").next()).unwrap_or_default();
            item("QEMU", Answer::Yes, format!("{version}, {machine}, {}", connection.hello.qemu), "")
        }
        Err(reason) => item("QEMU", Answer::No, format!("{}: {reason}", connection.hello.qemu), fix),
    }
}

/// Whether QEMU could migrate a guest that has this device.
async fn blocked(connection: &HostConnection, mdev: Option<&str>) -> Item {
    const WHAT: &str = "may migrate";
    let Some(mdev) = mdev else {
        let fix = "--mdev UUID names a mediated device that no guest has, for QEMU to be asked";
        return optional(item(WHAT, Answer::Unknown, "no device is named to ask QEMU about", fix));
    };
    let snapshot = match foresight::look(connection).await {
        Ok(snapshot) => snapshot,
        Err(error) => return item(WHAT, Answer::Unknown, error.to_string(), "`kaput collect` shows what it says"),
    };
    if let Err(refusal) = ap_admin::existing(&snapshot, mdev) {
        return item(WHAT, Answer::Unknown, refusal.to_string(), refusal.fix());
    }
    let machine = qemu::choose(&qemu::versions(&connection.hello.machines)).unwrap_or_default();
    let options = format!(
        "-machine {machine} -accel kvm -cpu host -m 64M -nodefaults -display none -S -qmp stdio -device {}",
        shell_word(&format!("vfio-ap,id=ap,sysfsdev={}/{mdev}", ap_admin::MATRIX)),
    );
    let nothing = json!({});
    match cpu_model::qmp(connection, "start with this device", &options, "query-migrate", &nothing).await {
        Err(error) => item(WHAT, Answer::No, error.to_string(), "try the same by hand there"),
        Ok(answer) => {
            let reasons = answer.pointer("/return/blocked-reasons").and_then(|reasons| reasons.as_array());
            let reasons: Vec<&str> = reasons.into_iter().flatten().filter_map(|reason| reason.as_str()).collect();
            match reasons.as_slice() {
                [] => item(WHAT, Answer::Yes, "QEMU names nothing that blocks a migration", ""),
                _ => item(WHAT, Answer::No, reasons.join("; "), "a QEMU and a kernel whose vfio-ap can be migrated"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_missing_does_not_decide() {
        let no = item("a", Answer::No, "", "m");
        assert_eq!(overall(&[item("b", Answer::Yes, "", ""), optional(no.clone())]), Answer::Yes);
        assert_eq!(overall(&[item("b", Answer::Unknown, "", "m"), optional(no.clone())]), Answer::Unknown);
        assert_eq!(overall(&[item("b", Answer::Unknown, "", "m"), no]), Answer::No);
    }

    #[test]
    fn a_host_cannot_drive_the_terminal() {
        let text = item("QEMU", Answer::No, "\x1b[2J", "m").to_string();
        assert!(text.contains("\\u{1b}[2J") && text.contains("fix it by: m"), "{text}");
    }
}
