// SPDX-License-Identifier: MIT OR Apache-2.0
//! Checks of one control domain. vfio-ap migration spec 3.3.

use ap_arch::Apqi;

use super::hosts::not_known;
use super::{Evidence, Outcome};
use crate::fix::Fix;
use crate::message;
use crate::pair::Pair;

pub(crate) const NO_CONTROL_DOMAIN: Fix =
    Fix::advice("give the destination's LPAR this control domain (HMC), or take it from the guest");

pub(super) fn available(pair: &Pair<'_>, domain: Apqi) -> Outcome {
    let sure = pair.control_domains().1;
    let source =
        || if sure { "the guest's".to_owned() } else { "assigned; not known whether the host has it".to_owned() };
    match &pair.destination.control_domains {
        Ok(mask) if mask.contains(domain.0) => Outcome::Holds,
        Ok(_) => {
            let evidence = Evidence::new(source(), "not in ap_control_domain_mask")
                .log([message::control_domain(pair.destination_mdev, domain)])
                .fix([NO_CONTROL_DOMAIN]);
            if sure { evidence.violated() } else { evidence.unknown() }
        }
        Err(unknown) => Evidence::new(source(), not_known(unknown)).unknown(),
    }
}

pub(super) fn limit(pair: &Pair<'_>, domain: Apqi) -> Outcome {
    match &pair.destination.control_domains {
        // A control domain that the host has is not above its maximum.
        Ok(mask) if mask.contains(domain.0) => Outcome::Holds,
        _ if !pair.control_domains().1 => Outcome::NotAsked,
        _ => super::queues::highest_domain(domain.0, pair.destination),
    }
}
