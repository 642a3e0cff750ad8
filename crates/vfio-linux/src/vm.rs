// SPDX-License-Identifier: MIT OR Apache-2.0
//! A KVM VM without a vCPU: the guest to which KVM gives what the driver tells it.

use vfio_mig::DeviceError;

use crate::block::u32_at;
use crate::linux::descriptor;
use crate::memory::PAGE;
use crate::{Fd, Linux, Thread, crycb, number, uapi};

/// A VM and its device for the files of VFIO.
pub(crate) struct Vm {
    vm: Fd,
    files: Fd,
    /// The trace of the VM is called after the thread that made it.
    thread: u64,
}

impl Vm {
    /// Makes a VM, from a thread of its own: the traces of two VMs of one thread would have one name.
    pub(crate) fn new(linux: &Linux, thread: Thread) -> Result<Self, DeviceError> {
        let kvm = linux.open("/dev/kvm", number::O_RDWR)?;
        let made =
            linux.call_on(thread, number::IOCTL, [kvm.0.into(), uapi::KVM_CREATE_VM, 0, 0, 0, 0]).and_then(descriptor);
        linux.close(kvm)?;
        let vm = made?;
        Self::of(linux, vm, thread).inspect_err(|_| {
            // Why there is no VM is what counts.
            let _ = linux.close(vm);
        })
    }

    fn of(linux: &Linux, vm: Fd, thread: Thread) -> Result<Self, DeviceError> {
        let thread = linux.call_on(thread, number::GETTID, [0; 6])?;
        let created = linux.control_with(vm, uapi::KVM_CREATE_DEVICE, &uapi::kvm_create_device())?;
        Ok(Self { vm, files: Fd(u32_at(&created, uapi::CREATED)), thread })
    }

    /// Tells KVM of a file of VFIO, a device or a group, or that it goes.
    pub(crate) fn attach(&self, linux: &Linux, file: Fd, add: bool) -> Result<(), DeviceError> {
        let mut scratch = linux.scratch();
        let place = scratch.room(&*linux.calls, PAGE)?;
        linux.calls.poke(place.aside, &file.0.to_be_bytes())?;
        linux.calls.poke(place.buffer, &uapi::kvm_vfio_file(add, place.aside))?;
        linux.control(self.files, uapi::KVM_SET_DEVICE_ATTR, place.buffer).map(drop)
    }

    /// Where the trace has what KVM was told.
    pub(crate) fn trace(&self) -> String {
        crycb::path(self.thread)
    }

    pub(crate) fn close(&self, linux: &Linux) -> Result<(), DeviceError> {
        linux.close(self.files).and(linux.close(self.vm))
    }
}
