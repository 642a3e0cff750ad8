// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a scripted guest does, as the traits have it, in the registers of an instruction; and its answer back again.

use ap_arch::{ConditionCode, FunctionCode, Gr0, QciBlock};
use vfio_mig::{GuestCall, GuestReply};

use super::{GuestInstruction, GuestState, Hex64, HexBytes, MemoryImage};

/// Where a scripted guest keeps what it sends and gets.
const BUFFER: u64 = 0x4000;

impl GuestInstruction {
    /// The instruction for a call; messages and buffers stand at a fixed place, PSMID in registers 4 and 5.
    #[must_use]
    pub fn of(call: &GuestCall) -> Self {
        match call {
            GuestCall::Pqap { gr0, gr1, gr2 } => {
                let is_qci = Gr0(*gr0).function() == FunctionCode::QCI;
                Self {
                    code: HexBytes(vec![0xb2, 0xaf, 0, 0]),
                    gr0: Hex64(*gr0),
                    gr1: Hex64(*gr1),
                    gr2: Hex64(*gr2),
                    fetch: is_qci.then_some((Hex64(*gr2), QciBlock::SIZE as u32)),
                    ..Self::default()
                }
            }
            GuestCall::Nqap { apqn, psmid, message } => Self {
                code: HexBytes(vec![0xb2, 0xad, 0, 0x46]),
                gr0: Hex64(Gr0::nqap(*apqn).0),
                r1: [Hex64(psmid >> 32), Hex64(psmid & 0xffff_ffff)],
                r2: [Hex64(BUFFER), Hex64(message.len() as u64)],
                store: vec![MemoryImage { address: Hex64(BUFFER), data: HexBytes(message.clone()) }],
                ..Self::default()
            },
            GuestCall::Dqap { apqn, length } => Self {
                code: HexBytes(vec![0xb2, 0xae, 0, 0x46]),
                gr0: Hex64(Gr0::dqap(*apqn).0),
                r2: [Hex64(BUFFER), Hex64(*length as u64)],
                fetch: Some((Hex64(BUFFER), u32::try_from(*length).unwrap_or(u32::MAX))),
                ..Self::default()
            },
        }
    }
}

impl GuestState {
    /// What the guest sees after this call.
    #[must_use]
    pub fn reply_to(&self, call: &GuestCall) -> GuestReply {
        let register = |number: u8, before: u64| self.registers.get(&number).map_or(before, |value| value.0);
        let before = match call {
            GuestCall::Pqap { gr1, gr2, .. } => (*gr1, *gr2),
            _ => (0, 0),
        };
        let mut data = self.fetched.clone().map_or_else(Vec::new, |bytes| bytes.0);
        if let GuestCall::Dqap { length, .. } = call {
            let length = *length as u64;
            data.truncate(usize::try_from(length - register(7, length).min(length)).unwrap_or_default());
        }
        GuestReply {
            cc: self.cc.map(ConditionCode::from_bits),
            exception: self.exception.unwrap_or_default(),
            gr1: register(1, before.0),
            gr2: register(2, before.1),
            psmid: register(4, 0) << 32 | register(5, 0),
            data,
        }
    }
}
