// SPDX-License-Identifier: MIT OR Apache-2.0
//! Mediated devices have short names in the cases and UUIDs in Linux. They are translated in paths and values on the
//! way there, and in everything that comes back.

/// The UUID of the device with this name: the same on every host, as a migration wants it.
#[must_use]
pub fn uuid_of(name: &str) -> String {
    // FNV-1a: another name is another UUID, and which one does not matter.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("6b617075-7400-4{:03x}-8{:03x}-{:012x}", hash >> 60, hash >> 48 & 0xfff, hash & 0xffff_ffff_ffff)
}

/// The devices of one host.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Vec<(String, String)>);

impl Names {
    pub(crate) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        Self(names.map(|name| (name.to_owned(), uuid_of(name))).collect())
    }

    /// A path with the device's UUID.
    pub(crate) fn path(&self, path: &str) -> String {
        let parts = path.split('/').map(|part| self.uuid(part).unwrap_or(part));
        parts.collect::<Vec<_>>().join("/")
    }

    /// A value that is written: the name of a device, or anything else.
    pub(crate) fn value(&self, value: &str) -> String {
        let (text, end) = value.strip_suffix('\n').map_or((value, ""), |text| (text, "\n"));
        format!("{}{end}", self.uuid(text).unwrap_or(text))
    }

    fn uuid(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, uuid)| uuid.as_str())
    }

    /// Text from there with the names.
    pub(crate) fn text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, uuid)| text.replace(uuid.as_str(), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_uuid_of_its_own_and_of_the_right_form() {
        let uuids: std::collections::BTreeSet<String> = ["a", "b", "c", "", "guest-1"].map(uuid_of).into();
        assert_eq!(uuids.len(), 5);
        for uuid in uuids {
            let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
            assert!(uuid.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()), "{uuid}");
        }
    }

    #[test]
    fn names_are_translated_there_and_back() {
        let names = Names::new(["a", "b"].into_iter());
        let (a, b) = (uuid_of("a"), uuid_of("b"));
        assert_eq!(
            names.path("/sys/devices/vfio_ap/matrix/a/remove"),
            format!("/sys/devices/vfio_ap/matrix/{a}/remove")
        );
        assert_eq!(names.path("/sys/devices/vfio_ap/matrix/features"), "/sys/devices/vfio_ap/matrix/features");
        assert_eq!(names.value("b\n"), format!("{b}\n"));
        assert_eq!(names.value("0x0a"), "0x0a");
        assert_eq!(names.text(&format!("vfio_ap_mdev {a}: not {b}")), "vfio_ap_mdev a: not b");
    }
}
