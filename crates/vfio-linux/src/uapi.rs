// SPDX-License-Identifier: MIT OR Apache-2.0
//! Requests and structures of VFIO, KVM, iommufd and userfaultfd, big-endian. Numbers and layouts are those of
//! `linux/vfio.h`, `linux/kvm.h`, `linux/iommufd.h` and `linux/userfaultfd.h`, of which the tests compare what is to be
//! had as bindings.

use vfio_mig::DeviceState;

use crate::block::{Block, u32_at, u64_at};

/// The number of a request as `_IO`, `_IOR`, `_IOW` and `_IOWR` of `asm-generic/ioctl.h` make it.
const fn request(direction: u64, kind: u64, number: u64, size: u64) -> u64 {
    direction << 30 | size << 16 | kind << 8 | number
}

const NONE: u64 = 0;
const WRITTEN: u64 = 1;
const BOTH: u64 = 3;

const VFIO: u64 = b';' as u64;
const KVM: u64 = 0xae;
const UFFD: u64 = 0xaa;

pub(crate) const VFIO_SET_IOMMU: u64 = request(NONE, VFIO, 102, 0);
pub(crate) const VFIO_GROUP_SET_CONTAINER: u64 = request(NONE, VFIO, 104, 0);
pub(crate) const VFIO_GROUP_GET_DEVICE_FD: u64 = request(NONE, VFIO, 106, 0);
pub(crate) const VFIO_DEVICE_GET_INFO: u64 = request(NONE, VFIO, 107, 0);
pub(crate) const VFIO_DEVICE_RESET: u64 = request(NONE, VFIO, 111, 0);
pub(crate) const VFIO_DEVICE_FEATURE: u64 = request(NONE, VFIO, 117, 0);
pub(crate) const VFIO_DEVICE_BIND_IOMMUFD: u64 = request(NONE, VFIO, 118, 0);
pub(crate) const VFIO_DEVICE_ATTACH_IOMMUFD_PT: u64 = request(NONE, VFIO, 119, 0);
pub(crate) const IOMMU_IOAS_ALLOC: u64 = request(NONE, VFIO, 0x81, 0);
pub(crate) const KVM_CREATE_VM: u64 = request(NONE, KVM, 0x01, 0);
pub(crate) const KVM_CREATE_DEVICE: u64 = request(BOTH, KVM, 0xe0, 12);
pub(crate) const KVM_SET_DEVICE_ATTR: u64 = request(WRITTEN, KVM, 0xe1, 24);
pub(crate) const UFFDIO_API: u64 = request(BOTH, UFFD, 0x3f, 24);
pub(crate) const UFFDIO_REGISTER: u64 = request(BOTH, UFFD, 0x00, 32);
pub(crate) const UFFDIO_COPY: u64 = request(BOTH, UFFD, 0x03, 40);

/// `VFIO_TYPE1v2_IOMMU`.
pub(crate) const TYPE1V2_IOMMU: u64 = 3;
/// `KVM_DEV_TYPE_VFIO`.
const KVM_DEV_TYPE_VFIO: u32 = 4;
/// `KVM_DEV_VFIO_FILE`, of old `KVM_DEV_VFIO_GROUP`.
const KVM_DEV_VFIO_FILE: u32 = 1;

/// `struct kvm_create_device` for the device that knows VFIO's files; its descriptor comes back at [`CREATED`].
pub(crate) fn kvm_create_device() -> Vec<u8> {
    Block::default().u32(KVM_DEV_TYPE_VFIO).u32(0).u32(0).bytes()
}

/// Where `kvm_create_device` has the descriptor.
pub(crate) const CREATED: usize = 4;

/// `struct kvm_device_attr` that adds a file of VFIO or takes it away; the descriptor stands at `address`.
pub(crate) fn kvm_vfio_file(add: bool, address: u64) -> Vec<u8> {
    let attribute = if add { 1 } else { 2 };
    Block::default().u32(0).u32(KVM_DEV_VFIO_FILE).u64(attribute).u64(address).bytes()
}

/// `struct iommu_ioas_alloc`; the address space's number comes back at [`IOAS`].
pub(crate) fn ioas_alloc() -> Vec<u8> {
    Block::default().u32(12).u32(0).u32(0).bytes()
}

/// Where `iommu_ioas_alloc` has the number.
pub(crate) const IOAS: usize = 8;

/// The first 16 bytes of `struct vfio_device_info`, to be filled.
pub(crate) fn device_info() -> Vec<u8> {
    Block::default().u32(16).u32(0).u32(0).u32(0).bytes()
}

/// `struct vfio_device_bind_iommufd`.
pub(crate) fn bind_iommufd(iommufd: i32) -> Vec<u8> {
    Block::default().u32(16).u32(0).i32(iommufd).u32(0).bytes()
}

/// `struct vfio_device_attach_iommufd_pt`.
pub(crate) fn attach_iommufd(address_space: u32) -> Vec<u8> {
    Block::default().u32(12).u32(0).u32(address_space).bytes()
}

/// What `VFIO_DEVICE_FEATURE` is asked.
pub(crate) mod feature {
    use super::{Block, DeviceState, u32_at, u64_at};

    const GET: u32 = 1 << 16;
    const SET: u32 = 1 << 17;
    const MIGRATION: u32 = 1;
    const MIG_DEVICE_STATE: u32 = 2;
    const MIG_DATA_SIZE: u32 = 9;

    /// `struct vfio_device_feature`, with eight bytes behind it.
    fn feature(flags: u32) -> Block {
        Block::default().u32(16).u32(flags)
    }

    /// `VFIO_DEVICE_FEATURE_MIGRATION`: whether the device migrates at all.
    pub(crate) fn migration() -> Vec<u8> {
        feature(GET | MIGRATION).u64(0).bytes()
    }

    /// `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`, read.
    pub(crate) fn get_state() -> Vec<u8> {
        feature(GET | MIG_DEVICE_STATE).u32(0).i32(-1).bytes()
    }

    /// `VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE`, requested.
    pub(crate) fn set_state(state: DeviceState) -> Vec<u8> {
        feature(SET | MIG_DEVICE_STATE).u32(state.0).i32(-1).bytes()
    }

    /// `VFIO_DEVICE_FEATURE_MIG_DATA_SIZE`.
    pub(crate) fn data_size() -> Vec<u8> {
        feature(GET | MIG_DATA_SIZE).u64(0).bytes()
    }

    /// Bytes of each of these.
    pub(crate) const SIZE: usize = 16;

    /// The state of an answer.
    pub(crate) fn state_of(answer: &[u8]) -> DeviceState {
        DeviceState(u32_at(answer, 8))
    }

    /// The stream's descriptor in an answer; below 0 there is none.
    pub(crate) fn stream_of(answer: &[u8]) -> i32 {
        u32_at(answer, 12).cast_signed()
    }

    /// The size in an answer.
    pub(crate) fn size_of(answer: &[u8]) -> u64 {
        u64_at(answer, 8)
    }
}

/// What userfaultfd is asked.
pub(crate) mod uffd {
    use super::Block;

    const API: u64 = 0xaa;
    const MODE_MISSING: u64 = 1;

    /// `struct uffdio_api`.
    pub(crate) fn api() -> Vec<u8> {
        Block::default().u64(API).u64(0).u64(0).bytes()
    }

    /// `struct uffdio_register`.
    pub(crate) fn register(start: u64, length: u64) -> Vec<u8> {
        Block::default().u64(start).u64(length).u64(MODE_MISSING).u64(0).bytes()
    }

    /// `struct uffdio_copy`.
    pub(crate) fn copy(to: u64, from: u64, length: u64) -> Vec<u8> {
        Block::default().u64(to).u64(from).u64(length).u64(0).u64(0).bytes()
    }

    /// Bytes of `struct uffd_msg`.
    pub(crate) const MESSAGE: usize = 32;
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use vfio_bindings::bindings::vfio as uapi;

    use super::*;

    #[test]
    fn the_requests_have_the_numbers_of_the_headers() {
        let numbers = [VFIO_SET_IOMMU, VFIO_GROUP_SET_CONTAINER, VFIO_GROUP_GET_DEVICE_FD, VFIO_DEVICE_RESET];
        assert_eq!(numbers, [102, 104, 106, 111].map(|number| u64::from(uapi::VFIO_TYPE) << 8 | number));
        assert_eq!(VFIO_DEVICE_GET_INFO, u64::from(uapi::VFIO_TYPE) << 8 | u64::from(uapi::VFIO_BASE + 7));
        assert_eq!(device_info().len(), offset_of!(uapi::vfio_device_info, cap_offset));
        assert_eq!(VFIO_DEVICE_FEATURE, u64::from(uapi::VFIO_TYPE) << 8 | u64::from(uapi::VFIO_BASE + 17));
        assert_eq!(TYPE1V2_IOMMU, u64::from(uapi::VFIO_TYPE1v2_IOMMU));
        // As strace prints them.
        assert_eq!((KVM_CREATE_VM, KVM_CREATE_DEVICE, KVM_SET_DEVICE_ATTR), (0xae01, 0xc00c_aee0, 0x4018_aee1));
        let userfault = [UFFDIO_API, UFFDIO_REGISTER, UFFDIO_COPY];
        assert_eq!(userfault, [0xc018_aa3f, 0xc020_aa00, 0xc028_aa03]);
        assert_eq!(
            (VFIO_DEVICE_BIND_IOMMUFD, VFIO_DEVICE_ATTACH_IOMMUFD_PT, IOMMU_IOAS_ALLOC),
            (0x3b76, 0x3b77, 0x3b81)
        );
    }

    #[test]
    fn the_features_have_numbers_and_layout_of_the_headers() {
        let flags = |block: &[u8]| u32_at(block, offset_of!(uapi::vfio_device_feature, flags));
        let get = uapi::VFIO_DEVICE_FEATURE_GET;
        assert_eq!(flags(&feature::migration()), get | uapi::VFIO_DEVICE_FEATURE_MIGRATION);
        assert_eq!(flags(&feature::get_state()), get | uapi::VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE);
        assert_eq!(flags(&feature::data_size()), get | uapi::VFIO_DEVICE_FEATURE_MIG_DATA_SIZE);
        let set = feature::set_state(DeviceState::STOP_COPY);
        assert_eq!(flags(&set), uapi::VFIO_DEVICE_FEATURE_SET | uapi::VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE);
        let head = size_of::<uapi::vfio_device_feature>();
        let state = head + offset_of!(uapi::vfio_device_feature_mig_state, device_state);
        let stream = head + offset_of!(uapi::vfio_device_feature_mig_state, data_fd);
        assert_eq!((u32_at(&set, state), u32_at(&set, stream)), (DeviceState::STOP_COPY.0, u32::MAX));
        assert_eq!((feature::state_of(&set), feature::stream_of(&set)), (DeviceState::STOP_COPY, -1));
        for block in [feature::migration(), feature::get_state(), feature::data_size(), set] {
            assert_eq!((block.len(), u32_at(&block, 0) as usize), (feature::SIZE, feature::SIZE));
        }
        assert_eq!(head + size_of::<uapi::vfio_device_feature_mig_data_size>(), feature::SIZE);
        assert_eq!(head + size_of::<uapi::vfio_device_feature_migration>(), feature::SIZE);
    }

    #[test]
    fn a_structure_is_as_long_as_its_request_or_itself_says() {
        let size = |request: u64| (request >> 16 & 0x3fff) as usize;
        assert_eq!(kvm_create_device().len(), size(KVM_CREATE_DEVICE));
        assert_eq!(kvm_vfio_file(true, 0).len(), size(KVM_SET_DEVICE_ATTR));
        assert_eq!(uffd::api().len(), size(UFFDIO_API));
        assert_eq!(uffd::register(0, 0).len(), size(UFFDIO_REGISTER));
        assert_eq!(uffd::copy(0, 0, 0).len(), size(UFFDIO_COPY));
        for block in [ioas_alloc(), bind_iommufd(3), attach_iommufd(1)] {
            assert!(u32_at(&block, 0) as usize <= block.len());
        }
    }

    #[test]
    fn iommufd_is_named_where_the_headers_have_it() {
        let (bind, attach) = (bind_iommufd(7), attach_iommufd(9));
        assert_eq!(u32_at(&bind, offset_of!(uapi::vfio_device_bind_iommufd, iommufd)), 7);
        assert_eq!(bind.len(), offset_of!(uapi::vfio_device_bind_iommufd, token_uuid_ptr));
        assert_eq!(u32_at(&attach, offset_of!(uapi::vfio_device_attach_iommufd_pt, pt_id)), 9);
        assert_eq!(attach.len(), offset_of!(uapi::vfio_device_attach_iommufd_pt, pasid));
    }

    #[test]
    fn numbers_are_big_endian_whatever_this_machine_is() {
        assert_eq!(bind_iommufd(0x0102_0304)[8..12], [1, 2, 3, 4]);
        assert_eq!(kvm_vfio_file(false, 0x0102_0304_0506_0708)[8..], [0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
