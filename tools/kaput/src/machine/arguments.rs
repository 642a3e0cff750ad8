// SPDX-License-Identifier: MIT OR Apache-2.0
//! QEMU's command line, each argument with its reason.

use std::path::{Path, PathBuf};

use preflight::text::shell_word;

use crate::hosts::qemu::escaped;
use crate::protocol::socket_path;

/// What all machines of a run have in common.
#[derive(Clone, Copy, Debug)]
pub struct Setup<'a> {
    /// The program.
    pub qemu: &'a Path,
    /// The machine type.
    pub machine: &'a str,
    /// The plugin.
    pub plugin: &'a Path,
    /// The guest image.
    pub image: &'a Path,
    /// The image's command line.
    pub append: &'a str,
    /// How many CPUs the guest has.
    pub cpus: u8,
    /// KVM: the CPU model, and the mediated device's folder. Without it the CPU is QEMU's own.
    pub kvm: Option<(&'a str, &'a str)>,
}

/// Whom the plugin has to do with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Link<'a> {
    /// The harness: it listens there.
    Control(&'a Path),
    /// The owner of its machine, who listens there.
    Machine(&'a Path),
}

/// The arguments. `file` gives the path of one of the machine's files; without a link there is no plugin.
pub(super) fn arguments(
    setup: &Setup<'_>,
    file: &impl Fn(&str) -> PathBuf,
    link: Option<Link<'_>>,
    incoming: bool,
) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |arguments: &[&str]| all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    // A versioned machine and a named CPU are the same on both sides; `max`, `host` or an alias may differ.
    let (cpu, accelerator) = setup.kvm.map_or(("qemu", "tcg"), |(cpu, _)| (cpu, "kvm"));
    add(&["-machine", setup.machine, "-cpu", cpu, "-accel", accelerator]);
    // The guest needs little, and every page is looked at in each migration: half the usual memory is half the time.
    add(&["-m", "64M"]);
    if setup.cpus > 1 {
        add(&["-smp", &setup.cpus.to_string()]);
    }
    // Nothing the guest does not use: each device costs start and migration time.
    add(&["-nodefaults", "-display", "none"]);
    // The guest's end and its crash both pause QEMU, so that its memory can still be read; a guest that resets itself
    // ends.
    add(&["-action", "panic=pause,shutdown=pause,reboot=shutdown"]);
    // Children die with their parent, also when it is killed.
    add(&["-run-with", "exit-with-parent=on"]);
    // The harness listens, QEMU connects at its start and never again.
    let chardev = |id: &str, path: &Path| format!("socket,id={id},path={},server=off", escaped(path));
    add(&["-chardev", &chardev("console", &file(socket_path::CONSOLE)), "-device", "sclpconsole,chardev=console"]);
    add(&["-qmp", &format!("unix:{},server=off", escaped(&file(socket_path::MONITOR)))]);
    if let Some((_, device)) = setup.kvm {
        // The name in the stream must be the same on both sides.
        add(&["-device", &format!("vfio-ap,id=ap,sysfsdev={}", escaped(Path::new(device)))]);
    }
    if let Some(link) = link {
        let (plugin, host) = (escaped(setup.plugin), escaped(&file("host.json")));
        let link = match link {
            Link::Control(path) => format!("control={}", escaped(path)),
            Link::Machine(path) => format!("machine={}", escaped(path)),
        };
        add(&["-plugin", &format!("{plugin},config={host},{link}")]);
    }
    // A destination is told by QMP where to listen, and has no use for a kernel but needs the same machine.
    add(&["-kernel", &setup.image.display().to_string(), "-append", setup.append]);
    if incoming {
        // With -S it would stay stopped after the migration.
        add(&["-incoming", "defer"]);
    } else {
        // Its guest waits until everybody listens: what it does before that, its end too, nobody would hear of.
        add(&["-S"]);
    }
    all
}

/// The command line as one can paste it into a shell.
pub(super) fn for_people(program: &Path, arguments: &[String]) -> String {
    let mut line = shell_word(&program.display().to_string());
    for argument in arguments {
        line.push_str(if argument.starts_with('-') { " \\\n    " } else { " " });
        line.push_str(&shell_word(argument));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> Setup<'static> {
        let path = Path::new;
        let (machine, append) = ("s390-ccw-virtio-11.1", "suites=presence");
        Setup {
            qemu: path("qemu"),
            machine,
            plugin: path("/p,q.so"),
            image: path("/image"),
            append,
            cpus: 1,
            kvm: None,
        }
    }

    #[test]
    fn a_comma_in_a_path_does_not_end_the_option() {
        let all = arguments(
            &setup(),
            &|kind| PathBuf::from(format!("/run/00-A.{kind}")),
            Some(Link::Control(Path::new("/c"))),
            false,
        );
        assert!(all.contains(&"/p,,q.so,config=/run/00-A.host.json,control=/c".to_owned()), "{all:?}");
    }

    #[test]
    fn a_machine_without_plugin_and_a_destination_differ_from_the_usual_in_these_arguments_only() {
        let file = |kind: &str| PathBuf::from(format!("/run/00-A.{kind}"));
        let usual = arguments(&setup(), &file, Some(Link::Control(Path::new("/c"))), false);
        let bare = arguments(&setup(), &file, None, false);
        let incoming = arguments(&setup(), &file, Some(Link::Control(Path::new("/c"))), true);
        assert!(usual.contains(&"-plugin".to_owned()) && !bare.contains(&"-plugin".to_owned()));
        let common = usual.strip_suffix(&["-S".to_owned()]).expect("its guest waits");
        assert_eq!(incoming.strip_prefix(common), Some(&["-incoming".to_owned(), "defer".to_owned()][..]));
    }

    #[test]
    fn under_kvm_the_guest_has_the_common_cpu_and_the_mediated_device() {
        let kvm = Some(("z14.2-base,ap=on", "/sys/devices/vfio_ap/matrix/8a2f6cb4"));
        let all = arguments(&Setup { kvm, ..setup() }, &|kind| PathBuf::from(format!("/run/00-A.{kind}")), None, true);
        insta::assert_snapshot!(for_people(Path::new("qemu"), &all));
    }

    #[test]
    fn a_second_cpu_is_asked_for_where_the_guest_has_one() {
        let file = |kind: &str| PathBuf::from(format!("/run/00-A.{kind}"));
        let smp = |cpus| arguments(&Setup { cpus, ..setup() }, &file, None, false).join(" ").contains("-smp 2");
        assert_eq!((smp(1), smp(2)), (false, true));
    }

    #[test]
    fn the_command_line_can_be_pasted() {
        let text = for_people(Path::new("/my qemu"), &["-append".into(), "it's".into(), "-m".into(), "1".into()]);
        assert_eq!(text, "'/my qemu' \\\n    -append \"it's\" \\\n    -m 1\n");
    }
}
