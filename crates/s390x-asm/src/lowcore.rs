// SPDX-License-Identifier: MIT OR Apache-2.0
//! The assigned storage locations at real address 0: interruption parameters, old and new PSWs. Principles of
//! Operation, "Assigned Storage Locations". Only the layout stands here: storage at address 0 is no Rust object, so
//! whoever accesses it does so field by field, at `offset_of!` addresses.

use crate::Psw;
use core::ops::Range;

/// Layout of the first 4 KiB of real storage, as far as it is used.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Lowcore {
    reserved_0: [u8; 0x80],
    /// Parameter of an external interruption.
    pub external_parameter: u32,
    /// The CPU an external interruption came from.
    pub external_cpu: u16,
    /// External-interruption code.
    pub external_code: u16,
    /// Length in bytes of the SUPERVISOR CALL.
    pub svc_ilc: u16,
    /// Supervisor-call number.
    pub svc_code: u16,
    /// Length in bytes of the instruction that caused the program interruption.
    pub program_ilc: u16,
    /// Program-interruption code.
    pub program_code: u16,
    reserved_90: [u8; 0x10],
    /// Exception-access identification: which access register an access exception was by.
    pub exception_access: u8,
    reserved_a1: [u8; 7],
    /// Translation-exception identification.
    pub translation_exception: u64,
    reserved_b0: [u8; 8],
    /// Subsystem-identification word of an I/O interruption.
    pub io_subsystem: u32,
    /// Parameter of an I/O interruption.
    pub io_parameter: u32,
    /// Interruption-identification word of an I/O interruption.
    pub io_identification: u32,
    reserved_c4: [u8; 4],
    /// The facility list as STORE FACILITY LIST stores it.
    pub facility_list: u32,
    reserved_cc: [u8; 0x1c],
    /// Machine-check-interruption code.
    pub machine_check_code: u64,
    reserved_f0: [u8; 0x20],
    /// Where the CPU branched last before a program interruption.
    pub breaking_event_address: u64,
    reserved_118: [u8; 8],
    /// Old PSW of a restart.
    pub restart_old: Psw,
    /// Old PSW of an external interruption.
    pub external_old: Psw,
    /// Old PSW of a supervisor call.
    pub svc_old: Psw,
    /// Old PSW of a program interruption.
    pub program_old: Psw,
    /// Old PSW of a machine check.
    pub machine_check_old: Psw,
    /// Old PSW of an I/O interruption.
    pub io_old: Psw,
    reserved_180: [u8; 0x20],
    /// New PSW of a restart.
    pub restart_new: Psw,
    /// New PSW of an external interruption.
    pub external_new: Psw,
    /// New PSW of a supervisor call.
    pub svc_new: Psw,
    /// New PSW of a program interruption.
    pub program_new: Psw,
    /// New PSW of a machine check.
    pub machine_check_new: Psw,
    /// New PSW of an I/O interruption.
    pub io_new: Psw,
    /// Not assigned by the architecture; the interruption entries save general registers 0-15 here, because it can be
    /// addressed without a base register.
    pub save_area: [u64; 16],
    /// Not assigned by the architecture; where the stack of this CPU's interruption handlers begins.
    pub trap_stack: u64,
    /// Not assigned by the architecture; where the stack of a CPU begins that is restarted.
    pub restart_stack: u64,
}

impl Lowcore {
    /// Bytes of the prefix area, to which the prefix of a CPU is also aligned.
    pub const PREFIX_AREA: usize = 8192;
    /// Where the new PSWs stand.
    pub const NEW_PSWS: Range<usize> = 0x1a0..0x200;
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn the_fields_stand_where_the_machine_looks() {
        for (offset, architected) in [
            (offset_of!(Lowcore, external_parameter), 0x80),
            (offset_of!(Lowcore, external_code), 0x86),
            (offset_of!(Lowcore, svc_code), 0x8a),
            (offset_of!(Lowcore, program_ilc), 0x8c),
            (offset_of!(Lowcore, program_code), 0x8e),
            (offset_of!(Lowcore, exception_access), 0xa0),
            (offset_of!(Lowcore, translation_exception), 0xa8),
            (offset_of!(Lowcore, io_subsystem), 0xb8),
            (offset_of!(Lowcore, io_identification), 0xc0),
            (offset_of!(Lowcore, facility_list), 0xc8),
            (offset_of!(Lowcore, machine_check_code), 0xe8),
            (offset_of!(Lowcore, breaking_event_address), 0x110),
            (offset_of!(Lowcore, restart_old), 0x120),
            (offset_of!(Lowcore, program_old), 0x150),
            (offset_of!(Lowcore, io_old), 0x170),
            (offset_of!(Lowcore, restart_new), 0x1a0),
            (offset_of!(Lowcore, program_new), 0x1d0),
            (offset_of!(Lowcore, io_new), 0x1f0),
            (offset_of!(Lowcore, save_area), 0x200),
            (offset_of!(Lowcore, trap_stack), 0x280),
        ] {
            assert_eq!(offset, architected);
        }
    }
}
