// SPDX-License-Identifier: MIT OR Apache-2.0
//! A guest as libvirt takes it: the domain XML, each element with its reason. What libvirt has no words for, the
//! plugin of the emulated machine, goes to QEMU's command line as it is.

use std::io;
use std::path::Path;

use quick_xml::Writer;
use quick_xml::events::BytesText;

use crate::hosts::qemu::escaped;

/// The namespace of arguments that libvirt hands to QEMU unread.
const QEMU: &str = "http://libvirt.org/schemas/domain/qemu/1.0";

/// A guest on one host.
pub(crate) struct Description<'a> {
    pub(crate) name: &'a str,
    pub(crate) uuid: &'a str,
    /// The machine type.
    pub(crate) machine: &'a str,
    /// QEMU.
    pub(crate) emulator: &'a Path,
    pub(crate) image: &'a Path,
    /// The image's command line.
    pub(crate) append: &'a str,
    pub(crate) cpus: u8,
    /// The socket of its console.
    pub(crate) console: &'a Path,
    pub(crate) ap: Ap<'a>,
}

/// Where its AP comes from.
pub(crate) enum Ap<'a> {
    /// From nowhere.
    None,
    /// From the plugin, with the description of the host.
    Emulated { plugin: &'a Path, host: &'a Path },
    /// From the driver: the CPU model with its features as QEMU's option has them, and the mediated device.
    Device { cpu: &'a str, uuid: &'a str },
}

/// The XML.
///
/// # Errors
/// None that a `Vec` could have.
pub(crate) fn xml(guest: &Description<'_>) -> io::Result<String> {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let kind = if matches!(guest.ap, Ap::Device { .. }) { "kvm" } else { "qemu" };
    let domain = writer.create_element("domain").with_attribute(("type", kind)).with_attribute(("xmlns:qemu", QEMU));
    domain.write_inner_content(|writer| {
        text(writer, "name", guest.name)?;
        text(writer, "uuid", guest.uuid)?;
        // The guest needs little, and every page is looked at in each migration.
        let memory = writer.create_element("memory").with_attribute(("unit", "MiB"));
        memory.write_text_content(BytesText::new("64"))?;
        text(writer, "vcpu", &guest.cpus.to_string())?;
        writer.create_element("os").write_inner_content(|writer| {
            let kind = writer.create_element("type").with_attributes([("arch", "s390x"), ("machine", guest.machine)]);
            kind.write_text_content(BytesText::new("hvm"))?;
            text(writer, "kernel", &guest.image.display().to_string())?;
            text(writer, "cmdline", guest.append)
        })?;
        if let Ap::Device { cpu: model, .. } = guest.ap {
            cpu(writer, model)?;
        }
        // Whatever ends the guest ends its domain: there is nobody to look at what would stay.
        for end in ["on_poweroff", "on_reboot", "on_crash"] {
            text(writer, end, "destroy")?;
        }
        writer.create_element("devices").write_inner_content(|writer| devices(writer, guest))?;
        if let Ap::Emulated { plugin, host } = guest.ap {
            let option = format!("{},config={}", escaped(plugin), escaped(host));
            writer.create_element("qemu:commandline").write_inner_content(|writer| {
                for argument in ["-plugin", &option] {
                    writer.create_element("qemu:arg").with_attribute(("value", argument)).write_empty()?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    let mut xml = String::from_utf8(writer.into_inner()).map_err(io::Error::other)?;
    xml.push('\n');
    Ok(xml)
}

type Out = Writer<Vec<u8>>;

fn text(writer: &mut Out, name: &str, text: &str) -> io::Result<()> {
    writer.create_element(name).write_text_content(BytesText::new(text)).map(|_| ())
}

/// The model as both hosts have it; not one feature more or less.
fn cpu(writer: &mut Out, model: &str) -> io::Result<()> {
    let mut parts = model.split(',');
    let name = parts.next().unwrap_or_default();
    let cpu = writer.create_element("cpu").with_attributes([("mode", "custom"), ("match", "exact")]);
    cpu.write_inner_content(|writer| {
        let model = writer.create_element("model").with_attribute(("fallback", "forbid"));
        model.write_text_content(BytesText::new(name))?;
        for part in parts {
            let (feature, value) = part.split_once('=').unwrap_or((part, "on"));
            let policy = if value == "off" { "disable" } else { "require" };
            let feature = [("policy", policy), ("name", feature)];
            writer.create_element("feature").with_attributes(feature).write_empty()?;
        }
        Ok(())
    })?;
    Ok(())
}

fn devices(writer: &mut Out, guest: &Description<'_>) -> io::Result<()> {
    text(writer, "emulator", &guest.emulator.display().to_string())?;
    // Nothing that the guest does not use: libvirt would add both.
    writer.create_element("controller").with_attributes([("type", "usb"), ("model", "none")]).write_empty()?;
    writer.create_element("console").with_attribute(("type", "unix")).write_inner_content(|writer| {
        let socket = guest.console.display().to_string();
        writer.create_element("source").with_attributes([("mode", "bind"), ("path", &*socket)]).write_empty()?;
        writer.create_element("target").with_attributes([("type", "sclp"), ("port", "0")]).write_empty().map(|_| ())
    })?;
    if let Ap::Device { uuid, .. } = guest.ap {
        let kind = [("mode", "subsystem"), ("type", "mdev"), ("model", "vfio-ap")];
        writer.create_element("hostdev").with_attributes(kind).write_inner_content(|writer| {
            writer.create_element("source").write_inner_content(|writer| {
                writer.create_element("address").with_attribute(("uuid", uuid)).write_empty().map(|_| ())
            })?;
            Ok(())
        })?;
    }
    writer.create_element("memballoon").with_attribute(("model", "none")).write_empty().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(ap: Ap<'static>) -> String {
        let path = Path::new;
        let text = xml(&Description {
            name: "kaput-0a1b2c3d-x",
            uuid: "67c622a4-fa2a-4220-97d8-85480670a70f",
            machine: "s390-ccw-virtio-11.1",
            emulator: path("/my & your/qemu"),
            image: path("/tmp/a<b/image"),
            append: "suites=presence,rsa expect=05/33",
            cpus: 2,
            console: path("/tmp/it's/\"console\""),
            ap,
        });
        text.expect("written")
    }

    fn emulated() -> String {
        guest(Ap::Emulated { plugin: Path::new("/p,q.so"), host: Path::new("/h&i.json") })
    }

    fn with_device() -> String {
        guest(Ap::Device { cpu: "z14.2-base,ap=on,bpb=off", uuid: "8a2f6cb4-41c5-4c0e-9d59-0a6b8f1f2f10" })
    }

    #[test]
    fn an_emulated_guest_has_the_plugin_and_whatever_a_path_has_in_it_stays_text() {
        insta::assert_snapshot!(emulated());
    }

    #[test]
    fn a_guest_with_a_mediated_device_runs_on_kvm_with_the_cpu_of_both_hosts() {
        insta::assert_snapshot!(with_device());
    }
}
