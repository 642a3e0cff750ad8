// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests to drivers: VFIO, KVM, iommufd, userfaultfd. Structures are read field by field, and one that a kernel
//! would not take is refused.

use std::collections::BTreeSet;

use vfio_ap::control::{Empty, Request, SetStateReply, SizeReply, StateReply};
use vfio_mig::{DeviceState, Errno};

use super::State;
use super::files::Open;

const SET_IOMMU: u64 = 0x3b66;
const GROUP_SET_CONTAINER: u64 = 0x3b68;
const GROUP_GET_DEVICE_FD: u64 = 0x3b6a;
const DEVICE_RESET: u64 = 0x3b6f;
const DEVICE_FEATURE: u64 = 0x3b75;
const DEVICE_BIND_IOMMUFD: u64 = 0x3b76;
const DEVICE_ATTACH_IOMMUFD_PT: u64 = 0x3b77;
const IOAS_ALLOC: u64 = 0x3b81;
const CREATE_VM: u64 = 0xae01;
const CREATE_DEVICE: u64 = 0xc00c_aee0;
const SET_DEVICE_ATTR: u64 = 0x4018_aee1;
const UFFD_API: u64 = 0xc018_aa3f;
const UFFD_REGISTER: u64 = 0xc020_aa00;
const UFFD_COPY: u64 = 0xc028_aa03;

const FEATURE_GET: u32 = 1 << 16;
const FEATURE_SET: u32 = 1 << 17;

impl State {
    pub(super) fn ioctl(&mut self, thread: u32, file: u64, request: u64, argument: u64) -> Result<u64, Errno> {
        match (self.files.get(&file).ok_or(Errno::EBADF)?, request) {
            (Open::Kvm, CREATE_VM) if argument == 0 => Ok(self.add(Open::Vm { thread })),
            (Open::Vm { .. }, CREATE_DEVICE) => self.create_device(file, argument),
            (Open::VmFiles { .. }, SET_DEVICE_ATTR) => self.vfio_file(file, argument),
            (Open::Iommu { .. }, IOAS_ALLOC) => self.allocate_address_space(file, argument),
            (Open::Group { .. }, GROUP_SET_CONTAINER) => self.set_container(file, argument),
            (Open::Container { .. }, SET_IOMMU) => self.set_iommu(file, argument),
            (Open::Group { .. }, GROUP_GET_DEVICE_FD) => self.device_of_group(file, argument),
            (Open::Device { uuid, .. }, DEVICE_RESET) if argument == 0 => {
                let mdev = Some(uuid.clone());
                self.model.order(Request::DeviceReset { mdev })
            }
            (Open::Device { uuid, .. }, DEVICE_FEATURE) => {
                let uuid = uuid.clone();
                self.feature(uuid, argument)
            }
            (Open::Device { .. }, DEVICE_BIND_IOMMUFD) => self.bind(file, argument),
            (Open::Device { .. }, DEVICE_ATTACH_IOMMUFD_PT) => self.attach(argument),
            (Open::Faults { .. }, _) => self.userfault(file, request, argument),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn u32(&self, address: u64) -> Result<u32, Errno> {
        Ok(u32::from_be_bytes(self.memory.fetch(address, 4)?.try_into().expect("four bytes")))
    }

    fn u64(&self, address: u64) -> Result<u64, Errno> {
        Ok(u64::from_be_bytes(self.memory.fetch(address, 8)?.try_into().expect("eight bytes")))
    }

    /// A structure that begins with its own size.
    fn sized(&self, address: u64, least: u32) -> Result<(), Errno> {
        if self.u32(address)? < least { Err(Errno::EINVAL) } else { Ok(()) }
    }

    fn create_device(&mut self, vm: u64, argument: u64) -> Result<u64, Errno> {
        if (self.u32(argument)?, self.u32(argument + 8)?) != (4, 0) {
            return Err(Errno::ENODEV);
        }
        let made = self.add(Open::VmFiles { vm, known: BTreeSet::new() });
        self.memory.store(argument + 4, &u32::try_from(made).expect("small").to_be_bytes())?;
        Ok(0)
    }

    /// KVM hears of a file of VFIO, or that it goes.
    fn vfio_file(&mut self, vm_files: u64, argument: u64) -> Result<u64, Errno> {
        if (self.u32(argument)?, self.u32(argument + 4)?) != (0, 1) {
            return Err(Errno::ENXIO);
        }
        let file = u64::from(self.u32(self.u64(argument + 16)?)?);
        if !matches!(self.files.get(&file), Some(Open::Device { .. } | Open::Group { .. })) {
            return Err(Errno::EBADF);
        }
        let attribute = self.u64(argument + 8)?;
        let Some(Open::VmFiles { known, .. }) = self.files.get_mut(&vm_files) else { return Err(Errno::EBADF) };
        match attribute {
            1 if known.insert(file) => Ok(0),
            1 => Err(Errno::EEXIST),
            2 if known.remove(&file) => Ok(0),
            2 => Err(Errno::ENOENT),
            _ => Err(Errno::ENXIO),
        }
    }

    /// The VM that knows a file.
    fn vm_of(&self, file: u64) -> Option<u64> {
        self.files.values().find_map(|open| match open {
            Open::VmFiles { vm, known } if known.contains(&file) => Some(*vm),
            _ => None,
        })
    }

    fn allocate_address_space(&mut self, file: u64, argument: u64) -> Result<u64, Errno> {
        if (self.u32(argument)?, self.u32(argument + 4)?) != (12, 0) {
            return Err(Errno::EOPNOTSUPP);
        }
        let Some(Open::Iommu { address_spaces }) = self.files.get_mut(&file) else { return Err(Errno::EBADF) };
        *address_spaces += 1;
        let number = *address_spaces;
        self.memory.store(argument + 8, &number.to_be_bytes())?;
        Ok(0)
    }

    /// The driver opens the device when its file is bound.
    fn bind(&mut self, file: u64, argument: u64) -> Result<u64, Errno> {
        self.sized(argument, 16)?;
        let iommufd = u64::from(self.u32(argument + 8)?);
        if self.u32(argument + 4)? != 0 || !matches!(self.files.get(&iommufd), Some(Open::Iommu { .. })) {
            return Err(Errno::EINVAL);
        }
        self.open_device(file, file)
    }

    fn attach(&mut self, argument: u64) -> Result<u64, Errno> {
        self.sized(argument, 12)?;
        let number = self.u32(argument + 8)?;
        let is_there =
            |file: &Open| matches!(file, Open::Iommu { address_spaces } if (1..=*address_spaces).contains(&number));
        if self.files.values().any(is_there) { Ok(0) } else { Err(Errno::ENOENT) }
    }

    fn set_container(&mut self, group: u64, argument: u64) -> Result<u64, Errno> {
        let file = u64::from(self.u32(argument)?);
        if !matches!(self.files.get(&file), Some(Open::Container { .. })) {
            return Err(Errno::EBADF);
        }
        match self.files.get_mut(&group) {
            Some(Open::Group { container, .. }) if container.is_none() => *container = Some(file),
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    fn set_iommu(&mut self, container: u64, kind: u64) -> Result<u64, Errno> {
        let has_group =
            self.files.values().any(|file| matches!(file, Open::Group { container: Some(of), .. } if *of == container));
        match self.files.get_mut(&container) {
            Some(Open::Container { is_set }) if kind == 3 && has_group => *is_set = true,
            _ => return Err(Errno::EINVAL),
        }
        Ok(0)
    }

    fn device_of_group(&mut self, group: u64, argument: u64) -> Result<u64, Errno> {
        let name = self.memory.text(argument)?;
        let Some(Open::Group { uuid, container: Some(container) }) = self.files.get(&group) else {
            return Err(Errno::EINVAL);
        };
        if name != *uuid || !matches!(self.files.get(container), Some(Open::Container { is_set: true })) {
            return Err(Errno::ENODEV);
        }
        let device = self.add(Open::Device { uuid: name, vm: None });
        let opened = self.open_device(device, group);
        if opened.is_err() {
            self.files.remove(&device);
        }
        opened.map(|_| device)
    }

    /// Opens a device for the VM that knows `known`.
    fn open_device(&mut self, device: u64, known: u64) -> Result<u64, Errno> {
        let of = self.vm_of(known).ok_or(Errno::EINVAL)?;
        let Some(Open::Device { uuid, vm }) = self.files.get_mut(&device) else { return Err(Errno::EBADF) };
        let mdev = Some(uuid.clone());
        let Empty {} = self.model.ask(Request::DeviceOpen { mdev, guest: None })?;
        *vm = Some(of);
        Ok(0)
    }

    fn feature(&mut self, uuid: String, argument: u64) -> Result<u64, Errno> {
        if !self.migrates {
            return Err(Errno::ENOTTY);
        }
        self.sized(argument, 16)?;
        let mdev = Some(uuid);
        let data = argument + 8;
        match self.u32(argument + 4)? {
            flags if flags == FEATURE_GET | 1 => self.memory.store(data, &1u64.to_be_bytes())?,
            flags if flags == FEATURE_GET | 2 => {
                let reply: StateReply = self.model.ask(Request::MigrationGetState { mdev })?;
                self.memory.store(data, &reply.state.0.to_be_bytes())?;
            }
            flags if flags == FEATURE_SET | 2 => {
                let state = DeviceState(self.u32(data)?);
                let reply: SetStateReply = self.model.ask(Request::MigrationSetState { state, mdev })?;
                let stream =
                    reply.stream.map_or(-1, |stream| i32::try_from(self.add(Open::Stream(stream))).expect("small"));
                self.memory.store(data + 4, &stream.to_be_bytes())?;
            }
            flags if flags == FEATURE_GET | 9 => {
                let reply: SizeReply = self.model.ask(Request::MigrationDataSize { mdev })?;
                self.memory.store(data, &reply.size.to_be_bytes())?;
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(0)
    }

    fn userfault(&mut self, file: u64, request: u64, argument: u64) -> Result<u64, Errno> {
        let Some(Open::Faults { is_ready, .. }) = self.files.get_mut(&file) else { return Err(Errno::EBADF) };
        match (request, *is_ready) {
            (UFFD_API, false) => {
                *is_ready = true;
                if self.u64(argument)? == 0xaa { Ok(0) } else { Err(Errno::EINVAL) }
            }
            (UFFD_REGISTER, true) => {
                if self.u64(argument + 16)? != 1 {
                    return Err(Errno::EINVAL);
                }
                self.memory.await_pages(self.u64(argument)?, self.u64(argument + 8)?).map(|()| 0)
            }
            (UFFD_COPY, true) => {
                let (to, from, length) = (self.u64(argument)?, self.u64(argument + 8)?, self.u64(argument + 16)?);
                if length != 4096 {
                    return Err(Errno::EINVAL);
                }
                self.memory.give_page(to, from)?;
                self.memory.store(argument + 32, &length.to_be_bytes())?;
                self.go_on();
                Ok(0)
            }
            _ => Err(Errno::EINVAL),
        }
    }
}
