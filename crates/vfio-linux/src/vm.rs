// SPDX-License-Identifier: MIT OR Apache-2.0
//! A KVM VM without a vCPU: the guest to which KVM gives what the driver tells it.

use ap_arch::Matrix;
use vfio_mig::DeviceError;

use crate::block::u32_at;
use crate::linux::descriptor;
use crate::memory::PAGE;
use crate::{Fd, Linux, Thread, crycb, number, uapi};

/// Bytes of a trace that is emptied once it was read: reading it takes time.
const LONG: usize = 4096;

/// A VM and its device for the files of VFIO.
#[derive(Clone, Copy)]
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

    /// Whether what KVM was told can be seen.
    pub(crate) fn is_traced(&self, linux: &Linux) -> bool {
        linux.read_file(&crycb::path(self.thread)).is_ok()
    }

    /// What KVM was told, where these were the masks when this was asked last.
    pub(crate) fn masks(&self, linux: &Linux, before: Matrix) -> Result<Matrix, DeviceError> {
        let trace = linux.read_file(&crycb::path(self.thread))?;
        if trace.len() > LONG {
            linux.write_file(&crycb::flush_path(self.thread), "-")?;
        }
        Ok(crycb::masks_after(before, &String::from_utf8_lossy(&trace)))
    }

    pub(crate) fn close(&self, linux: &Linux) -> Result<(), DeviceError> {
        linux.close(self.files).and(linux.close(self.vm))
    }
}
