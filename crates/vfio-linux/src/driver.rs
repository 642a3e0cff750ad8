// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver whose mediated devices are judged, as sysfs shows it. There are two: vfio_ap, and one that is no driver
//! of AP but migrates and needs no hardware, by which this crate is judged itself.

/// A driver of mediated devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Its name; the lines of its log begin with it.
    pub name: &'static str,
    /// The folder of the device whose parts the mediated devices are.
    parent: &'static str,
    /// The type of device that is made, a folder of `mdev_supported_types`.
    kind: &'static str,
}

impl Driver {
    /// The driver of AP queues.
    pub const VFIO_AP: Self =
        Self { name: "vfio_ap", parent: "/sys/devices/vfio_ap/matrix", kind: "vfio_ap-passthrough" };

    /// The kernel's sample: a serial port, `samples/vfio-mdev/mtty.c`.
    pub const MTTY: Self = Self { name: "mtty", parent: "/sys/devices/virtual/mtty/mtty", kind: "mtty-1" };

    /// Whether its devices are of AP queues: on another driver's nothing is assigned, and no queue is bound.
    #[must_use]
    pub fn is_of_ap(self) -> bool {
        self == Self::VFIO_AP
    }

    /// Where a device is made by its UUID.
    pub(crate) fn create(self) -> String {
        format!("{}/mdev_supported_types/{}/create", self.parent, self.kind)
    }

    /// The folder of a device.
    pub(crate) fn folder(self, uuid: &str) -> String {
        format!("{}/{uuid}", self.parent)
    }
}
