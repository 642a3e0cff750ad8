// SPDX-License-Identifier: MIT OR Apache-2.0
//! Opening a mediated device for a VM: by its own device file and iommufd where the kernel has that, else by group and
//! container.

use vfio_mig::{DeviceError, Errno};

use crate::block::u32_at;
use crate::linux::descriptor;
use crate::memory::PAGE;
use crate::vm::Vm;
use crate::{Fd, Linux, number, uapi};

/// An open device, and the files that keep it so.
#[derive(Clone)]
pub(crate) struct Attached {
    pub(crate) device: Fd,
    /// What KVM was told of: the device, or its group.
    known: Fd,
    /// Whose VM it is.
    vm: Vm,
    /// What is closed after the device, in this order.
    others: Vec<Fd>,
}

/// The file of a device by itself; ENOENT on a kernel that has none.
pub(crate) fn device_file(linux: &Linux, folder: &str) -> Result<String, DeviceError> {
    let names = linux.list(&format!("{folder}/vfio-dev"))?;
    let name = names.into_iter().find(|name| name.starts_with("vfio")).ok_or(Errno::ENOENT)?;
    Ok(format!("/dev/vfio/devices/{name}"))
}

/// Opens the device in this folder with this VM attached.
pub(crate) fn open(linux: &Linux, folder: &str, vm: &Vm) -> Result<Attached, DeviceError> {
    match device_file(linux, folder) {
        Ok(file) => by_device_file(linux, &file, vm),
        Err(error) if error.errno() == Some(Errno::ENOENT) => by_group(linux, folder, vm),
        Err(error) => Err(error),
    }
}

fn by_device_file(linux: &Linux, file: &str, vm: &Vm) -> Result<Attached, DeviceError> {
    let mut opened = Opened { linux, files: Vec::new() };
    let iommufd = opened.open("/dev/iommu")?;
    let allocated = linux.control_with(iommufd, uapi::IOMMU_IOAS_ALLOC, &uapi::ioas_alloc())?;
    let device = opened.open(file)?;
    vm.attach(linux, device, true)?;
    let bound =
        linux.control_with(device, uapi::VFIO_DEVICE_BIND_IOMMUFD, &uapi::bind_iommufd(iommufd.0.cast_signed()));
    let attach = |_| {
        let address_space = u32_at(&allocated, uapi::IOAS);
        linux.control_with(device, uapi::VFIO_DEVICE_ATTACH_IOMMUFD_PT, &uapi::attach_iommufd(address_space))
    };
    if let Err(error) = bound.and_then(attach) {
        vm.attach(linux, device, false)?;
        return Err(error);
    }
    opened.keep();
    Ok(Attached { device, known: device, vm: *vm, others: vec![iommufd] })
}

fn by_group(linux: &Linux, folder: &str, vm: &Vm) -> Result<Attached, DeviceError> {
    let link = linux.read_link(&format!("{folder}/iommu_group"))?;
    let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let (number, uuid) = (last(&link), last(folder));
    let mut opened = Opened { linux, files: Vec::new() };
    let container = opened.open("/dev/vfio/vfio")?;
    let group = opened.open(&format!("/dev/vfio/{number}"))?;
    linux.control_with(group, uapi::VFIO_GROUP_SET_CONTAINER, &container.0.to_be_bytes())?;
    linux.control(container, uapi::VFIO_SET_IOMMU, uapi::TYPE1V2_IOMMU)?;
    vm.attach(linux, group, true)?;
    match device_of(linux, group, &uuid) {
        Ok(device) => {
            opened.keep();
            Ok(Attached { device, known: group, vm: *vm, others: vec![group, container] })
        }
        Err(error) => {
            vm.attach(linux, group, false)?;
            Err(error)
        }
    }
}

fn device_of(linux: &Linux, group: Fd, uuid: &str) -> Result<Fd, DeviceError> {
    let mut scratch = linux.scratch();
    let place = scratch.room(&*linux.calls, PAGE)?;
    linux.poke_text(place.aside, uuid)?;
    linux.control(group, uapi::VFIO_GROUP_GET_DEVICE_FD, place.aside).and_then(descriptor)
}

impl Attached {
    /// Closes the device; its streams stay open.
    pub(crate) fn close(self, linux: &Linux) -> Result<(), DeviceError> {
        // All are closed, whatever the first error is.
        let closed = self.leave(linux).and(linux.close(self.device));
        closed.and(self.close_others(linux))
    }

    /// What comes before the closing of the device's file: KVM is told that it goes.
    pub(crate) fn leave(&self, linux: &Linux) -> Result<(), DeviceError> {
        self.vm.attach(linux, self.known, false)
    }

    /// What comes after it.
    pub(crate) fn close_others(self, linux: &Linux) -> Result<(), DeviceError> {
        self.others.into_iter().map(|file| linux.close(file)).fold(Ok(()), Result::and)
    }
}

/// Files that are closed again if not all goes well.
struct Opened<'l> {
    linux: &'l Linux,
    files: Vec<Fd>,
}

impl Opened<'_> {
    fn open(&mut self, path: &str) -> Result<Fd, DeviceError> {
        let file = self.linux.open(path, number::O_RDWR)?;
        self.files.push(file);
        Ok(file)
    }

    fn keep(mut self) {
        self.files.clear();
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        for file in self.files.drain(..).rev() {
            // Why it is closed is the error that counts.
            let _ = self.linux.close(file);
        }
    }
}
