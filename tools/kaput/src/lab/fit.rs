// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which scenarios make sense on a real driver in the lab, and why the others do not.

use ap_machine::topology::Facilities;
use vfio_ap::control::Request;

use super::machines::MOST_QUEUES;
use super::requests::is_the_models;
use crate::scenario::{ActionKind, ExpectedOutcome, HostSpec, Scenario};

type Reason = (fn(&Scenario) -> bool, &'static str);

/// What no real driver in the lab can do.
const UNFIT: &[Reason] = &[
    (|scenario| !scenario.plugin, "its guest has no AP"),
    (
        |scenario| any_host(scenario, |host| host.topology.facilities.apqi) || calls(scenario, &["arm", "disarm"]),
        "a guest's AQIC does not reach the driver, because no vCPU runs in the LPAR",
    ),
    (plants_defects, "a defect of the model cannot be planted in a kernel"),
    (
        |scenario| any_host(scenario, |host| host.host_is_secure || host.guest_is_secure || host.accept_format_0),
        "a kernel cannot be told to be under Secure Execution, nor to take another format",
    ),
    (|scenario| asks(scenario, is_the_models), "it asks a host what the model alone answers"),
    (|scenario| any_host(scenario, |host| host.control.is_some()), "it has the plugin listen where its driver would"),
    (
        |scenario| any_host(scenario, |host| host.topology.matrix().queue_count() > MOST_QUEUES),
        "Linux asks for each of a host's queues, which takes too long for so many",
    ),
    (
        |scenario| {
            any_host(scenario, |host| {
                !host.topology.apxa || Facilities { apqi: false, ..host.topology.facilities } != Facilities::default()
            })
        },
        "the LPAR has the usual facilities and extended addressing",
    ),
];

/// What a driver without migration cannot do.
const UNFIT_WITHOUT_MIGRATION: &[Reason] = &[
    (|scenario| scenario.expect.outcome() == ExpectedOutcome::Refused, "it refuses nothing"),
    (
        |scenario| {
            scenario.migrations.iter().any(|step| {
                let with = &step.with;
                with.write_chunk.is_some()
                    || with.read_chunk.is_some()
                    || with.cut.is_some()
                    || with.flip.is_some()
                    || with.twice
                    || with.stream_of.is_some()
            })
        },
        "it has no stream",
    ),
    (
        |scenario| {
            asks(scenario, |request| {
                matches!(
                    request,
                    Request::MigrationSetState { .. }
                        | Request::MigrationGetState { .. }
                        | Request::MigrationDataSize { .. }
                        | Request::MigrationRead { .. }
                        | Request::MigrationWrite { .. }
                        | Request::MigrationClose { .. }
                )
            })
        },
        "it has no migration states",
    ),
];

/// Why a scenario makes no sense on a real driver in the lab; `None` if it does.
#[must_use]
pub fn unfit(scenario: &Scenario) -> Option<&'static str> {
    first(UNFIT, scenario)
}

/// The same for a driver that cannot migrate, of which an administrator hands the guest over.
#[must_use]
pub fn unfit_without_migration(scenario: &Scenario) -> Option<&'static str> {
    first(UNFIT_WITHOUT_MIGRATION, scenario)
}

fn first(reasons: &[Reason], scenario: &Scenario) -> Option<&'static str> {
    reasons.iter().find(|(applies, _)| applies(scenario)).map(|(_, reason)| *reason)
}

fn any_host(scenario: &Scenario, is: impl Fn(&HostSpec) -> bool) -> bool {
    scenario.hosts.values().any(is)
}

fn plants_defects(scenario: &Scenario) -> bool {
    let switches = |kind: ActionKind| matches!(kind, ActionKind::DefectOn | ActionKind::DefectOff);
    any_host(scenario, |host| !host.defects.is_empty() || host.profile.is_some())
        || scenario.actions.iter().any(|action| switches(*action.kind.get_ref()))
}

fn asks(scenario: &Scenario, is: impl Fn(&Request) -> bool) -> bool {
    scenario.asks.iter().filter_map(|ask| ask.to_request().ok()).any(|request| is(&request))
}

fn calls(scenario: &Scenario, words: &[&str]) -> bool {
    let of_call = |call: &crate::scenario::ask::Call| call.to_string();
    let mut calls = scenario.asks.iter().filter_map(|ask| ask.call.as_ref()).map(of_call);
    calls.any(|call| words.iter().any(|word| call.split(' ').next() == Some(word)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load::Loaded;
    use crate::scenario::random::{Behind, Generator, HOPS_IN_THE_LAB};

    #[test]
    fn what_is_made_at_random_for_a_driver_in_the_lab_makes_sense_there() {
        for driver in [Behind::Lab, Behind::LabByHand] {
            let mut generator = Generator::new(1).behind(driver);
            for _ in 0..100 {
                let Loaded { scenario, .. } = generator.next(HOPS_IN_THE_LAB).expect("a scenario");
                let is_refused = scenario.expect.outcome() == ExpectedOutcome::Refused;
                assert_eq!(scenario.hops().len(), if is_refused { 1 } else { HOPS_IN_THE_LAB });
                assert_eq!(unfit(&scenario), None);
                assert!(driver == Behind::Lab || unfit_without_migration(&scenario).is_none());
            }
        }
    }
}
