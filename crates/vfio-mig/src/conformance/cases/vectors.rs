// SPDX-License-Identifier: MIT OR Apache-2.0
//! The compatibility vectors. vfio-ap migration spec 5.4.

use ap_arch::{Apqn, BindState, HwInfo, Mask256, ResponseCode};

use super::super::fixture::{HostSetup, stream};
use super::{CCA8, Case, Script, Stop, offer};
use crate::{Capability, QueueAnswer};

struct Vector {
    number: u32,
    source: u64,
    target: u64,
    accept: bool,
    covers: &'static [&'static str],
}

const BIND: &[&str] = &["bind-state-check-bypassed"];
const CLASS: &[&str] = &["facility-word-equality-defeats-class-rule"];

const VECTORS: [Vector; 11] = [
    vector(1, 0xf380_0000_0e00_0000, 0xf380_0000_0e00_0000, true, &[]),
    vector(2, 0xf380_0000_0d00_0000, 0xf380_0000_0e00_0000, true, &[]),
    vector(3, 0xf380_0000_0e00_0000, 0xf380_0000_0d00_0000, false, &[]),
    vector(4, 0xf340_0000_0e00_0000, 0xf380_0000_0e00_0000, true, CLASS),
    vector(5, 0xf380_0000_0e00_0000, 0xf340_0000_0e00_0000, false, &[]),
    vector(6, 0xf380_4000_0e00_0000, 0xf380_4000_0e00_0000, false, BIND),
    vector(7, 0xf380_4000_0e00_0000, 0xf380_0000_0e00_0000, false, &[]),
    vector(8, 0xf380_0000_0e00_0000, 0xf280_0000_0e00_0000, false, &[]),
    vector(9, 0xf380_0000_0e10_0003, 0xf380_0000_0e55_0607, true, &[]),
    vector(10, 0xf380_0001_0d00_0000, 0xf380_0000_0e00_0000, true, CLASS),
    vector(11, 0xeb80_0000_0e00_0000, 0xf380_0000_0e00_0000, false, &[]),
];

const fn vector(number: u32, source: u64, target: u64, accept: bool, covers: &'static [&'static str]) -> Vector {
    Vector { number, source, target, accept, covers }
}

pub(super) fn cases() -> Vec<Case> {
    let source = "vfio-ap migration spec 5.4";
    let mut cases: Vec<Case> = VECTORS
        .iter()
        .map(|vector| {
            let body = move |script: &Script<'_>| judge(script, vector.source, vector.target, vector.accept);
            Case::new(format!("vector/{}", vector.number), source, body)
                .covers(vector.covers)
                .needs(&[Capability::Hardware])
        })
        .collect();
    cases.push(
        Case::new("vector/6-every-bind-state", source, every_bind_state).covers(BIND).needs(&[Capability::Hardware]),
    );
    cases
}

/// Offers one queue with `source` to a host whose queue has `target`.
fn judge(script: &Script<'_>, source: u64, target: u64, accept: bool) -> Result<(), Stop> {
    let side = script.host("destination", &HostSetup::destination())?;
    let format = side.format()?;
    let apqn = Apqn::new(4, 0x33);
    let answer = QueueAnswer { response: ResponseCode::NORMAL, asynchronous: false, hw_info: Some(HwInfo(target)) };
    let call = format!("TAPQ of {apqn} := GR2 {target:016x}");
    side.host_call(&call, side.host.set_queue_answer(apqn, Some(answer)))?;
    let bytes = stream(format, &[(apqn, HwInfo(source))], Mask256::EMPTY);
    let (_, answer) = offer(&side, &bytes)?;
    let what = format!("source {source:016x} on destination {target:016x}");
    let done = bytes.len().to_string();
    if accept { script.expect(&what, answer, &done, &[]) } else { script.expect(&what, answer, "EFAULT", &["EINVAL"]) }
}

fn every_bind_state(script: &Script<'_>) -> Result<(), Stop> {
    for state in [BindState::BOUND, BindState::UNBOUND, BindState::UNUSABLE] {
        let info = CCA8.with_bind_state(state).0;
        judge(script, info, info, false)?;
        judge(script, CCA8.0, info, false)?;
    }
    Ok(())
}
