// SPDX-License-Identifier: GPL-2.0-or-later
//! Shows the guest an LPAR, as far as Linux's KVM looks before it starts: the CPU entries in SCLP's answers say that
//! there is SIE, and PLO's query is answered. QEMU's TCG has neither, and no guest of the LPAR can run.
//!
//! QEMU stores SCLP's answer while SERVICE CALL executes, and the guest looks at it when it has been interrupted. So
//! the answer is patched at the next interruption of any vCPU, of whatever class.

use s390x_asm::PswMask;
use s390x_asm::sccb::{Command, Response};

use crate::cpu::dat;
use crate::cpu::vcpu::Cpu;
use crate::state::plugin::Plugin;
use crate::state::service_call::Asked;

/// Bytes of a CPU entry, and SIEF2 in the third of them. Linux, `drivers/s390/char/sclp.h`, `struct sclp_core_entry`.
const ENTRY: u64 = 16;
const SIEF2_AT: u64 = 2;
const SIEF2: u8 = 0x08;

/// SERVICE CALL: the registers with the command and with the block's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Servc {
    command: u8,
    block: u8,
}

impl Servc {
    /// `B220` with two registers; `None` for anything else.
    pub(crate) const fn decode(bytes: [u8; 6]) -> Option<Self> {
        match bytes {
            [0xb2, 0x20, _, registers, ..] => Some(Self { command: registers >> 4, block: registers & 0xf }),
            _ => None,
        }
    }
}

/// PERFORM LOCKED OPERATION: `EE`.
pub(crate) const fn is_plo(bytes: [u8; 6]) -> bool {
    bytes[0] == 0xee
}

/// Before a SERVICE CALL executes.
pub(crate) fn before_servc(plugin: &Plugin, cpu: &mut Cpu<'_>, servc: Servc) {
    let Some(call) = &plugin.service_call else { return };
    let (command, block) = (cpu.general(servc.command) as u32, cpu.general(servc.block) & 0x7fff_fff8);
    call.ask(Asked { command, block });
}

/// After any interruption: the answer, if it is there.
pub(crate) fn after_interruption(plugin: &Plugin, cpu: &mut Cpu<'_>) {
    let Some(call) = &plugin.service_call else { return };
    call.look(|Asked { command, block }| {
        let mut head = [0; 24];
        if !cpu.exchange.read_absolute(block, &mut head) {
            return true;
        }
        let half = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        if Response(half(6)) == Response::PENDING {
            return false;
        }
        for at in entries(Command(command), half).map(|entry| block + entry + SIEF2_AT) {
            let mut byte = [0];
            if cpu.exchange.read_absolute(at, &mut byte) {
                cpu.exchange.write_absolute(at, &[byte[0] | SIEF2]);
            }
        }
        true
    });
}

/// Where the CPU entries of an answered block stand in it; `half` reads a halfword of its beginning. A block is at most
/// one page, and an entry that would reach beyond it is none.
fn entries(command: Command, half: impl Fn(usize) -> u16) -> impl Iterator<Item = u64> {
    let (count, first) = match command {
        Command::READ_SCP_INFO | Command::READ_SCP_INFO_FORCED => (half(16), half(18)),
        Command::READ_CPU_INFO => (half(8), half(10)),
        _ => (0, 0),
    };
    let complete = Response(half(6)) == Response::READ_COMPLETE;
    let entries = (0..u64::from(count)).map(move |index| u64::from(first) + index * ENTRY);
    entries.take_while(move |at| complete && at + ENTRY <= dat::PAGE)
}

/// PLO: the address to go on at, if it is the query (bit 55 of GR0), which is answered with condition code 3: no
/// function of this number. Everything else is QEMU's operation exception.
pub(crate) fn plo(cpu: &mut Cpu<'_>, address: u64) -> Option<u64> {
    const QUERY: u64 = 0x100;
    const LENGTH: u64 = 6;
    if cpu.general(0) & QUERY == 0 {
        return None;
    }
    let mask = cpu.psw_mask();
    cpu.set_psw_mask(mask | PswMask::CONDITION_CODE);
    Some(dat::wrap(mask, address.wrapping_add(LENGTH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_entries_are_those_of_a_complete_answer_inside_its_page() {
        let block = |response: u16, count: u16, first: u16| {
            move |at: usize| match at {
                6 => response,
                8 | 16 => count,
                10 | 18 => first,
                _ => 0,
            }
        };
        let of =
            |command, response, count, first| -> Vec<u64> { entries(command, block(response, count, first)).collect() };
        for command in [Command::READ_SCP_INFO, Command::READ_SCP_INFO_FORCED, Command::READ_CPU_INFO] {
            assert_eq!(of(command, 0x10, 2, 128), [128, 144]);
            assert_eq!(of(command, 0x300, 2, 128), [0; 0]);
            assert_eq!(of(command, 0x10, u16::MAX, 4064), [4064, 4080]);
        }
        assert_eq!(of(Command::READ_EVENT_DATA, 0x10, 2, 128), [0; 0]);
    }

    #[test]
    fn the_instructions_decode() {
        assert_eq!(Servc::decode([0xb2, 0x20, 0, 0x12, 0, 0]), Some(Servc { command: 1, block: 2 }));
        assert_eq!(Servc::decode([0xb2, 0x21, 0, 0x12, 0, 0]), None);
        assert!(is_plo([0xee, 0x13, 0, 0, 0, 0]) && !is_plo([0xef, 0, 0, 0, 0, 0]));
    }
}
