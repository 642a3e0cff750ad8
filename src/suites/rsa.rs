// SPDX-License-Identifier: MIT OR Apache-2.0
//! Clear-key RSA on every accelerator queue: known answers. AP reference 6 and 7.2.

use super::{Outcome, Stop, cases, failed, skipped};
use crate::exchange::Failure;
use crate::guest::Guest;
use crate::rsa::{self, Vector};

cases!("rsa" for Guest: mex_1024, mex_1024_public);

fn on_every_accelerator(guest: &Guest, vector: Vector) -> Outcome {
    let ap = guest.ap()?;
    let accelerators = rsa::accelerators(&guest.queues()?);
    if accelerators.is_empty() {
        return Err(skipped!("no accelerator in the matrix"));
    }
    for apqn in accelerators {
        rsa::compute(&ap, apqn, vector).map_err(|failure| match failure {
            Failure::Lost => failed!("{apqn}: the queue is empty, and there was no reply"),
            Failure::Wrong(reason) => Stop::Fail(reason),
        })?;
    }
    Ok(())
}

/// Modular exponentiation of 1024 bits with an exponent of 1024 bits gives the known answer. AP reference 7.2, MEB1.
fn mex_1024(guest: &Guest) -> Outcome {
    on_every_accelerator(guest, Vector::Private)
}

/// The same with the exponent 65537.
fn mex_1024_public(guest: &Guest) -> Outcome {
    on_every_accelerator(guest, Vector::Public)
}
