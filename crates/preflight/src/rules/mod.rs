// SPDX-License-Identifier: MIT OR Apache-2.0
//! The rules, as data: what must hold, who says so, what happens otherwise, and the check. The table [`RULES`] is all
//! there is; the documentation's is made from it.

mod compatibility;
mod domains;
mod hosts;
mod queues;

use ap_arch::{Apqi, Apqn, HwInfo};
use serde::Serialize;

pub(crate) use self::compatibility::{OTHER_CARD, UNBIND};
pub(crate) use self::domains::NO_CONTROL_DOMAIN;
use crate::fix::Fix;
use crate::pair::Pair;

/// One rule.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Its name.
    pub id: &'static str,
    /// What must hold.
    pub statement: &'static str,
    /// Who says so.
    pub source: &'static str,
    /// What happens where it does not hold.
    pub severity: Severity,
    /// Which kernels check it.
    pub kernels: &'static str,
    /// How it is checked.
    pub check: Check,
}

/// What happens where a rule does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The migration is refused, at this step.
    Refused(Step),
    /// The migration succeeds and the guest's crypto does not work.
    Breaks,
    /// Worth knowing; nothing breaks.
    Note,
}

impl Severity {
    /// One word for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Breaks => "breaks",
            Self::Note => "note",
        }
    }
}

/// Where a migration is refused, in the order in which it gets there; a step that refuses is the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// QEMU refuses to start.
    Qemu,
    /// There is no driver or no device to talk to.
    Device,
    /// The devices' state is asked for: vfio-ap migration spec 2.7.
    State,
    /// The source reads its queues: 4.2.
    Snapshot,
    /// The shape of the list: 5.1.
    Shape,
    /// Availability: 5.2.
    Availability,
    /// Hardware: 5.4.
    Compatibility,
    /// Control domains: 3.3.
    ControlDomains,
    /// Queues of the host's own drivers: 6.
    Reserved,
    /// Another device's queues: 6.
    InUse,
    /// The host's maxima: 6.
    Limits,
}

impl Step {
    /// The error code that the driver returns; `None` where it is not asked.
    #[must_use]
    pub const fn errno(self) -> Option<&'static str> {
        match self {
            Self::Qemu | Self::Device => None,
            Self::State => Some("EPERM"),
            Self::Shape => Some("EINVAL"),
            Self::Snapshot | Self::Availability | Self::ControlDomains | Self::Limits => Some("ENODEV"),
            Self::Compatibility => Some("EFAULT"),
            Self::Reserved => Some("EADDRNOTAVAIL"),
            Self::InUse => Some("EADDRINUSE"),
        }
    }
}

/// How a rule is checked: once, or for each queue or control domain that the guest has.
#[derive(Clone, Copy, Debug)]
pub enum Check {
    /// Once.
    Once(fn(&Pair<'_>) -> Outcome),
    /// For each queue.
    Queue(fn(&Pair<'_>, Apqn) -> Outcome),
    /// For each control domain.
    ControlDomain(fn(&Pair<'_>, Apqi) -> Outcome),
}

/// What a check says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The rule holds.
    Holds,
    /// The question does not arise.
    NotAsked,
    /// It does not hold.
    Violated(Box<Evidence>),
    /// An input is not known.
    Unknown(Box<Evidence>),
}

/// What was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// On the source.
    pub source: String,
    /// On the destination.
    pub destination: String,
    /// What the kernel would log.
    pub log: Vec<String>,
    /// What would help.
    #[serde(serialize_with = "as_text")]
    pub fix: Vec<Fix>,
}

fn as_text<S: serde::Serializer>(fixes: &[Fix], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(fixes.iter().map(ToString::to_string))
}

impl Evidence {
    fn new(source: impl ToString, destination: impl ToString) -> Self {
        Self { source: source.to_string(), destination: destination.to_string(), ..Self::default() }
    }

    fn log(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.log.extend(lines);
        self
    }

    fn fix(mut self, fixes: impl IntoIterator<Item = Fix>) -> Self {
        self.fix.extend(fixes);
        self
    }

    fn violated(self) -> Outcome {
        Outcome::Violated(Box::new(self))
    }

    fn unknown(self) -> Outcome {
        Outcome::Unknown(Box::new(self))
    }
}

const SPEC_LATER: &str = "those with migration; the posted series does not check it";
const SERIES: &str = "those with migration";
const NONE: &str = "none: an administrator's duty";
const ANY: &str = "all";
const OVERRIDES: &str = "those with `driver_override` for queues: Linux 6.19 and newer";

macro_rules! rules {
    ($($id:literal, $severity:expr, $source:literal, $kernels:expr, $statement:literal, $check:expr;)*) => {
        &[$(Rule {
            id: $id, statement: $statement, source: $source, severity: $severity, kernels: $kernels, check: $check,
        },)*]
    };
}

use Check::{ControlDomain, Once, Queue};
use Severity::{Breaks, Note, Refused};

/// Every rule. Those of one step stand together, in the order in which the driver logs.
pub static RULES: &[Rule] = rules! {
    "qemu-not-blocked", Refused(Step::Qemu), "QMP, query-migrate", ANY,
        "QEMU names no reason that blocks migration (asked where a monitor socket is given)",
        Once(hosts::qemu_not_blocked);
    "qemu-can-migrate", Refused(Step::Qemu), "QEMU, hw/vfio/ap.c: `unmigratable` up to 11.1", ANY,
        "QEMU's vfio-ap device can migrate: it has the option `enable-migration`, or a state (asked of a host itself)",
        Once(hosts::qemu_can_migrate);
    "source-migratable", Refused(Step::Device), "vfio-ap migration spec 7", ANY,
        "vfio_ap on the source can migrate: `features` says `migratable`", Once(hosts::source_migratable);
    "destination-driver", Refused(Step::Device), "vfio-ap migration spec 7", ANY,
        "vfio_ap is loaded on the destination", Once(hosts::destination_driver);
    "destination-migratable", Refused(Step::Device), "vfio-ap migration spec 7", ANY,
        "vfio_ap on the destination can migrate: `features` says `migratable`", Once(hosts::destination_migratable);
    "destination-mdev", Refused(Step::Device), "vfio-ap migration spec 8, 9", ANY,
        "the destination has the mediated device that the guest is to go to", Once(hosts::destination_mdev);
    "source-not-secure", Refused(Step::State), "vfio-ap migration spec 2.7", SERIES,
        "the source is no Secure Execution guest", Once(hosts::source_not_secure);
    "destination-not-secure", Refused(Step::State), "vfio-ap migration spec 2.7", SERIES,
        "the destination is no Secure Execution guest", Once(hosts::destination_not_secure);
    "queue-on-source", Refused(Step::Snapshot), "vfio-ap migration spec 5.3", SERIES,
        "the queue exists on the source, so that its hardware information can be read", Queue(queues::on_source);
    "queue-list-is-product", Refused(Step::Shape), "vfio-ap migration spec 5.1", SPEC_LATER,
        "what the guest has is known, and is a full product of adapters and domains",
        Once(hosts::queue_list_is_product);
    "queue-on-destination", Refused(Step::Availability), "vfio-ap migration spec 5.2", SERIES,
        "the queue exists on the destination", Queue(queues::on_destination);
    "queue-released", Refused(Step::Availability), "vfio-ap migration spec 5.2, 6, 9", SERIES,
        "the queue is not reserved for the destination's own drivers: not both in `apmask` and in `aqmask`",
        Queue(queues::released);
    "queue-bound", Refused(Step::Availability), "vfio-ap migration spec 5.2", SERIES,
        "the queue is bound to vfio_ap on the destination", Queue(queues::bound);
    "facility-apsc", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, bit 0", SERIES,
        "special-command facility (APSC): both or neither", Queue(compatibility::facility::<{ HwInfo::APSC }>);
    "facility-mex4k", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, bit 1", SERIES,
        "4096-bit modular exponentiation (APQKM): both or neither", Queue(compatibility::facility::<{ HwInfo::MEX4K }>);
    "facility-crt4k", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, bit 2", SERIES,
        "4096-bit CRT (AP4KC): both or neither", Queue(compatibility::facility::<{ HwInfo::CRT4K }>);
    "mode-cca", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, bit 3", SERIES,
        "CCA coprocessor mode: both or neither", Queue(compatibility::facility::<{ HwInfo::CCA }>);
    "mode-accelerator", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, bit 4", SERIES,
        "accelerator mode: both or neither", Queue(compatibility::facility::<{ HwInfo::ACCELERATOR }>);
    "mode-ep11", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, bit 5", SERIES,
        "EP11 (XCP) coprocessor mode: both or neither", Queue(compatibility::facility::<{ HwInfo::EP11 }>);
    "facility-apxa", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, bit 6", SERIES,
        "extended addressing (APXA): both or neither", Queue(compatibility::facility::<{ HwInfo::APXA }>);
    "facility-slcf", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, bit 7", SERIES,
        "stateless-command filtering (SLCF): both or neither; older kernels hide it in a card's word",
        Queue(compatibility::facility::<{ HwInfo::SLCF }>);
    "ap-type", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, rule 2", SERIES,
        "the AP type on the destination is the source's or a newer one", Queue(compatibility::ap_type);
    "source-bind-state", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, rule 4", SERIES,
        "the bind and associate state on the source is 0; a card does not show it",
        Queue(compatibility::source_bind_state);
    "destination-bind-state", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, rule 4", SERIES,
        "the bind and associate state on the destination is 0; a card does not show it",
        Queue(compatibility::destination_bind_state);
    "class", Refused(Step::Compatibility), "vfio-ap migration spec 5.4, rule 3", SERIES,
        "full native card function on the source is full native card function on the destination",
        Queue(compatibility::class);
    "control-domain-available", Refused(Step::ControlDomains), "vfio-ap migration spec 3.3", SPEC_LATER,
        "the control domain is in the destination's `ap_control_domain_mask`", ControlDomain(domains::available);
    "queue-given", Refused(Step::Reserved), "vfio-ap migration spec 6", OVERRIDES,
        "a queue that vfio_ap has is given to it by its override, or by the masks", Queue(queues::given);
    "queue-not-shared", Refused(Step::InUse), "vfio-ap migration spec 6", ANY,
        "the queue is assigned to no other mediated device on the destination", Queue(queues::not_shared);
    "adapter-limit", Refused(Step::Limits), "vfio-ap migration spec 6", ANY,
        "the adapter's number is not above the destination's `ap_max_adapter_id`", Queue(queues::adapter_limit);
    "domain-limit", Refused(Step::Limits), "vfio-ap migration spec 6", ANY,
        "the domain's number is not above the destination's `ap_max_domain_id`", Queue(queues::domain_limit);
    "control-domain-limit", Refused(Step::Limits), "vfio-ap migration spec 6", ANY,
        "the control domain's number is not above the destination's `ap_max_domain_id`", ControlDomain(domains::limit);
    "queue-configured", Breaks, "vfio-ap migration spec 5.3, 12", NONE,
        "the queue is configured on the destination", Queue(queues::configured);
    "queue-not-checkstopped", Breaks, "vfio-ap migration spec 5.3, 12", NONE,
        "the queue is not checkstopped on the destination", Queue(queues::not_checkstopped);
    "master-keys", Breaks, "vfio-ap migration spec 11", NONE,
        "a coprocessor's current master keys are the same on both hosts; `- -` and a file that is not there mean \
         unknown",
        Queue(queues::master_keys);
    "master-keys-new-old", Note, "vfio-ap migration spec 11", NONE,
        "the registers of new and old master keys are the same too", Queue(queues::other_registers);
    "same-uuid", Note, "vfio-ap migration spec 9", ANY,
        "the mediated devices have the same UUID on both hosts", Once(hosts::same_uuid);
    "destination-mdev-empty", Note, "vfio-ap migration spec 9", ANY,
        "the destination's device holds nothing but what the guest brings; the rest will be taken from it",
        Once(hosts::destination_mdev_empty);
    "guest-has-queues", Note, "vfio-ap migration spec 1", ANY,
        "the guest has queues at all; of a guest without any the answer is never yes", Once(hosts::guest_has_queues);
    "guest-not-filtered", Note, "vfio-ap migration spec 1", ANY,
        "the guest has all that is assigned to it; what is filtered on the source does not migrate",
        Once(hosts::guest_not_filtered);
    "facilities-reported", Note, "vfio-ap migration spec 5.3", ANY,
        "both machines report facility bits (STFLE bit 15); otherwise the kernel compares zeros",
        Once(hosts::facilities_reported);
    "masks-decide", Note, "vfio-ap migration spec 7", OVERRIDES,
        "no driver override has a say in the queue on the destination; the masks cannot be changed beside overrides",
        Queue(queues::masks_decide);
    "ap-check", Note, "s390-tools, ap-check", "all; the check is mdevctl's, not the kernel's",
        "no mask has to be changed for mdevctl: `ap-check` refuses to start a device with a queue while both masks are \
         all ones",
        Once(hosts::ap_check);
    "kubevirt-sweep", Note, "KubeVirt, pkg/virt-handler/device-manager, removeUndesiredMDEVs", "all; KubeVirt does it",
        "no KubeVirt removes the devices, as it does with mediated devices of types that its configuration lacks",
        Once(hosts::kubevirt);
    "way-back", Note, "vfio-ap migration spec 5.4", ANY,
        "the guest could come back: the destination's card is neither newer nor more than the source's",
        Queue(compatibility::way_back);
};
