// SPDX-License-Identifier: MIT OR Apache-2.0
//! A QEMU with AP for a guest of the user's own. This process becomes QEMU, so that signals, terminal, open files and
//! exit status need nobody between; the plugin reads its configuration from a file that has no name and ends with it.
//!
//! Whoever only asks QEMU what it can do (libvirt does) gets QEMU without AP.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use ap_arch::Matrix;
use ap_machine::Topology;
use rustix::fs::{MemfdFlags, memfd_create};
use vfio_ap::{HostConfig, MdevConfig};

use crate::hosts::qemu::{QemuError, STARTED_BY_US, escaped};
use crate::protocol::socket_path::{LONGEST, remove_stale_socket};
use crate::scenario::USUAL_UUID;

/// What the user wants.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The AP hardware.
    pub topology: Topology,
    /// What of it the guest gets; without it everything.
    pub guest: Option<Matrix>,
    /// Whether the guest has the AP-queue interruption facility, whatever the topology says.
    pub interrupts: bool,
    /// Whether the guest is shown an LPAR, whatever the topology says.
    pub lpar: bool,
    /// Where the plugin listens.
    pub control: Option<PathBuf>,
    /// QEMU's own arguments.
    pub arguments: Vec<OsString>,
}

/// Why there is no such QEMU.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EmulatorError {
    /// The guest is to get what there is not.
    #[error("--guest: {what} is not in this machine")]
    #[diagnostic(help("the machine has {machine}: give the guest a part of that"))]
    NotThere {
        /// What.
        what: String,
        /// What there is.
        machine: String,
    },
    /// The guest is to run on the real CPU.
    #[error("AP is emulated under TCG only, but QEMU is told to use KVM")]
    #[diagnostic(help(
        "leave out `-enable-kvm` and `accel=kvm`, or say `-accel tcg`; under KVM, vfio-ap gives a guest real cards"
    ))]
    Kvm,
    /// A socket's path is too long for the system.
    #[error("--control: {} has {length} bytes, but the path of a socket has at most {LONGEST}", path.display())]
    #[diagnostic(help("choose a shorter one"))]
    LongSocket {
        /// The path.
        path: PathBuf,
        /// Its length.
        length: usize,
    },
    /// Something is where the socket is to be.
    #[error("--control: there is something at {} already", path.display())]
    #[diagnostic(help("choose another path; if a QEMU listens there, it has to end first"))]
    Taken {
        /// The path.
        path: PathBuf,
    },
    /// We were started by ourselves.
    #[error("`kaput qemu` was started as the QEMU of `kaput qemu`")]
    #[diagnostic(help(
        "--qemu, KAPUT_QEMU or PATH leads back to a wrapper: name the real qemu-system-s390x by --qemu"
    ))]
    Circle,
    /// The plugin's configuration could not be written.
    #[error("cannot make the plugin's configuration: {0}")]
    Configuration(#[source] io::Error),
    /// QEMU.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Qemu(#[from] QemuError),
}

/// A QEMU that can be started.
#[derive(Clone, Debug)]
pub struct Emulator {
    /// Without it QEMU is only asked something.
    ap: Option<Ap>,
    arguments: Vec<OsString>,
}

#[derive(Clone, Debug)]
struct Ap {
    host: HostConfig,
    control: Option<PathBuf>,
}

impl Options {
    /// Checks everything that can be checked before QEMU is looked for.
    ///
    /// # Errors
    /// [`EmulatorError`].
    pub fn check(self) -> Result<Emulator, EmulatorError> {
        if std::env::var_os(STARTED_BY_US).is_some() {
            return Err(EmulatorError::Circle);
        }
        let machine = self.topology.matrix();
        let guest = self.guest.unwrap_or(machine);
        if let Some(what) = first_missing(&guest, &machine) {
            return Err(EmulatorError::NotThere { what, machine: in_words(&machine) });
        }
        if only_asks(&self.arguments) {
            return Ok(Emulator { ap: None, arguments: self.arguments });
        }
        if wants_kvm(&self.arguments) {
            return Err(EmulatorError::Kvm);
        }
        let control = self.control.map(|path| free_socket(&path)).transpose()?;
        let mut topology = self.topology;
        topology.facilities.apqi |= self.interrupts || self.lpar;
        topology.facilities.sie |= self.lpar;
        let mdev = MdevConfig {
            uuid: USUAL_UUID.to_owned(),
            adapters: guest.adapters,
            domains: guest.domains,
            control_domains: guest.control_domains,
            open: true,
        };
        let host = HostConfig { name: "kaput-qemu".to_owned(), topology, mdev, ..HostConfig::default() };
        Ok(Emulator { ap: Some(Ap { host, control }), arguments: self.arguments })
    }
}

impl Emulator {
    /// Becomes QEMU; returns only when that fails.
    #[must_use]
    pub fn start(&self, qemu: &Path, plugin: &Path) -> EmulatorError {
        let mut command = Command::new(qemu);
        command.env(STARTED_BY_US, "1");
        // Open until QEMU, which inherits it, has read it; closed with QEMU.
        let mut configuration = None;
        if let Some(ap) = &self.ap {
            match ap.configuration() {
                Ok(file) => {
                    command.arg("-plugin").arg(ap.option(plugin, &file));
                    configuration = Some(file);
                }
                Err(error) => return EmulatorError::Configuration(error),
            }
        }
        let error = command.args(&self.arguments).exec();
        drop(configuration);
        QemuError::Start { path: qemu.to_owned(), reason: error.to_string() }.into()
    }
}

impl Ap {
    fn configuration(&self) -> io::Result<File> {
        inherited("kaput-host.json", &serde_json::to_vec(&self.host).map_err(io::Error::other)?)
    }

    fn option(&self, plugin: &Path, configuration: &File) -> String {
        let control = self.control.as_ref().map(|path| format!(",control={}", escaped(path)));
        let control = control.unwrap_or_default();
        format!("{},config=/proc/self/fd/{}{control}", escaped(plugin), configuration.as_raw_fd())
    }
}

/// A file that has no name but one for people, and that the program we become inherits.
///
/// # Errors
/// The system's.
pub fn inherited(name: &str, content: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::empty())?);
    file.write_all(content)?;
    Ok(file)
}

/// The first thing of the guest's that the machine has not.
fn first_missing(guest: &Matrix, machine: &Matrix) -> Option<String> {
    let kinds = [
        ("adapter", 2, guest.adapters, machine.adapters),
        ("domain", 4, guest.domains, machine.domains),
        ("control domain", 4, guest.control_domains, machine.control_domains),
    ];
    kinds.into_iter().find_map(|(kind, digits, guest, machine)| {
        let number = guest.iter().find(|number| !machine.contains(*number))?;
        Some(format!("{kind} {number:0digits$x}"))
    })
}

fn in_words(machine: &Matrix) -> String {
    let list = |mask: ap_arch::Mask256| mask.iter().map(|n| format!("{n:02x}")).collect::<Vec<_>>().join(",");
    let (adapters, domains) = (list(machine.adapters), list(machine.domains));
    format!("the adapters {adapters}, the domains {domains} and the control domains {}", list(machine.control_domains))
}

fn free_socket(path: &Path) -> Result<PathBuf, EmulatorError> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let length = path.as_os_str().len();
    if length > LONGEST {
        return Err(EmulatorError::LongSocket { path, length });
    }
    remove_stale_socket(&path);
    if std::fs::symlink_metadata(&path).is_ok() { Err(EmulatorError::Taken { path }) } else { Ok(path) }
}

/// The options with the value that follows each, the option without its hyphens.
fn options(arguments: &[OsString]) -> impl Iterator<Item = (&str, &str)> {
    let text = |index: usize| arguments.get(index).and_then(|word| word.to_str()).unwrap_or_default();
    let words = (0..arguments.len()).map(move |index| (text(index), text(index + 1)));
    words.filter_map(|(word, next)| Some((word.strip_prefix("--").or_else(|| word.strip_prefix('-'))?, next)))
}

/// Whether QEMU is asked what it can do, and runs no guest: a version, a list, or libvirt's empty machine.
fn only_asks(arguments: &[OsString]) -> bool {
    options(arguments).any(|(option, value)| match option {
        "h" | "help" | "version" => true,
        "M" | "machine" => {
            let kind = value.split(',').next().unwrap_or_default();
            let kind = kind.strip_prefix("type=").unwrap_or(kind);
            matches!(kind, "none" | "help" | "?")
        }
        "append" => false,
        _ => matches!(value, "help" | "?") || value.ends_with(",help"),
    })
}

/// Whether QEMU may use KVM and nothing else.
fn wants_kvm(arguments: &[OsString]) -> bool {
    let mut named = Vec::new();
    for (option, value) in options(arguments) {
        match option {
            "enable-kvm" => named.push("kvm"),
            "accel" => named.extend(value.split(',').next().map(|name| name.strip_prefix("accel=").unwrap_or(name))),
            "M" | "machine" => {
                let list = value.split(',').find_map(|part| part.strip_prefix("accel="));
                named.extend(list.into_iter().flat_map(|list| list.split(':')));
            }
            _ => {}
        }
    }
    named.contains(&"kvm") && !named.contains(&"tcg")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ap_machine::topology::short_matrix;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn wishes(guest: Option<&str>, line: &str) -> Options {
        Options {
            topology: "05=cex8a,06=cex8c/33,3a/33,44".parse().expect("a topology"),
            guest: guest.map(|text| short_matrix(text).expect("a matrix")),
            arguments: words(line),
            ..Options::default()
        }
    }

    #[test]
    fn a_guest_gets_everything_or_a_part_of_what_there_is() {
        let all = wishes(None, "-m 1G").check().expect("fits").ap.expect("with AP").host;
        assert_eq!(all.mdev.matrix(), all.topology.matrix());
        let part = wishes(Some("05/33/44"), "-m 1G").check().expect("fits").ap.expect("with AP").host;
        assert_eq!((part.mdev.matrix().queue_count(), part.mdev.control_domains.len()), (1, 1));
        for (part, says) in
            [("07/33/33", "adapter 07"), ("05/34/33", "domain 0034"), ("05/33/3a", "control domain 003a")]
        {
            let error = wishes(Some(part), "-m 1G").check().expect_err("not there").to_string();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn what_only_asks_qemu_runs_without_ap() {
        for line in [
            "--version",
            "-help",
            "-cpu help",
            "-device virtio-net-ccw,help",
            "-S -nodefaults -machine none,accel=kvm:tcg -qmp unix:/x,server=on -daemonize",
            "-M type=none",
        ] {
            assert!(wishes(None, line).check().expect("fits").ap.is_none(), "{line}");
        }
        for line in ["-kernel help.img", "-append help", "-machine s390-ccw-virtio", ""] {
            assert!(wishes(None, line).check().expect("fits").ap.is_some(), "{line}");
        }
    }

    #[test]
    fn kvm_is_refused_unless_tcg_is_allowed_too() {
        for line in ["-enable-kvm", "-accel kvm", "-machine s390-ccw-virtio,accel=kvm", "-M accel=kvm -m 1G"] {
            assert!(matches!(wishes(None, line).check(), Err(EmulatorError::Kvm)), "{line}");
        }
        for line in ["-accel tcg,thread=multi", "-machine s390-ccw-virtio,accel=kvm:tcg", "-accel kvm -accel tcg"] {
            assert!(wishes(None, line).check().is_ok(), "{line}");
        }
    }

    #[test]
    fn a_socket_in_use_and_a_file_are_in_the_way_a_stale_socket_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control");
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("bound");
        assert!(matches!(free_socket(&path), Err(EmulatorError::Taken { .. })));
        drop(listener);
        assert!(free_socket(&path).is_ok_and(|free| free == path && !path.exists()));
        std::fs::write(&path, "mine").expect("written");
        assert!(matches!(free_socket(&path), Err(EmulatorError::Taken { .. })));
        let long = folder.path().join("x".repeat(LONGEST));
        assert!(matches!(free_socket(&long), Err(EmulatorError::LongSocket { .. })));
    }

    #[test]
    fn the_plugin_is_told_where_its_configuration_is_and_commas_are_doubled() {
        let emulator = wishes(None, "-m 1G").check().expect("fits");
        let ap = Ap { control: Some("/a,b".into()), ..emulator.ap.expect("with AP") };
        let file = ap.configuration().expect("written");
        let option = ap.option(Path::new("/p,q.so"), &file);
        assert_eq!(option, format!("/p,,q.so,config=/proc/self/fd/{},control=/a,,b", file.as_raw_fd()));
        let text = std::fs::read_to_string(format!("/proc/self/fd/{}", file.as_raw_fd())).expect("readable by name");
        assert_eq!(HostConfig::from_json(&text).expect("a host"), ap.host);
    }
}
