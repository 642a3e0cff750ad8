// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which scenarios libvirt can carry out: those that want nothing between the guest's last instruction on one host and
//! its first on the other, because libvirt leaves no moment for it, and ask nothing of a model that nobody reaches
//! there.

use ap_arch::Matrix;
use vfio_ap::{HostConfig, MdevConfig};

use crate::hosts::pair::Sites;
use crate::scenario::load::Loaded;
use crate::scenario::{ExpectedOutcome, HostSpec, How, Scenario};

/// Bytes that libvirt counts bandwidth in.
pub(crate) const MIB: u64 = 1 << 20;

/// Scenarios that libvirt cannot carry out.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("libvirt cannot carry out {}", .0.join("; "))]
#[diagnostic(help("without --engine libvirt they run as they are; survive, ping-pong and mid-run run with it too"))]
pub struct Unfit(Vec<String>);

/// Looks for what libvirt cannot do, before anything is connected.
///
/// # Errors
/// [`Unfit`], with the reason for each scenario.
pub fn check(sites: &Sites, all: &[Loaded], emulated: bool) -> Result<(), Unfit> {
    let unfit = all.iter().filter_map(|Loaded { scenario, .. }| {
        let reason = if sites.source == sites.destination && !scenario.hops().is_empty() {
            Some("libvirt migrates no guest to the host it is on: two hosts are needed, --source and --destination")
        } else {
            reason(scenario, emulated)
        };
        reason.map(|reason| format!("{}: {reason}", scenario.name))
    });
    let unfit: Vec<String> = unfit.collect();
    if unfit.is_empty() { Ok(()) } else { Err(Unfit(unfit)) }
}

fn reason(scenario: &Scenario, emulated: bool) -> Option<&'static str> {
    let hops = scenario.hops();
    let by_hand = |how: &How| {
        let pieces = how.write_chunk.is_some() || how.read_chunk.is_some() || how.cut.is_some() || how.flip.is_some();
        pieces || how.twice || how.stream_of.is_some()
    };
    let start = scenario.host(scenario.start());
    if !scenario.actions.is_empty() {
        Some("it acts at moments that libvirt leaves to nobody")
    } else if !scenario.asks.is_empty() {
        Some("it asks the model of the driver, which nobody reaches there")
    } else if scenario.expect.outcome() != ExpectedOutcome::Pass {
        Some("it expects a refusal or damage, and all hosts are given the same there")
    } else if hops.iter().any(|hop| by_hand(hop.with)) {
        Some("it says how the AP configuration is handed over, and libvirt leaves no moment for that")
    } else if hops.iter().any(|hop| hop.with.bandwidth.is_some_and(|bytes| bytes < MIB)) {
        Some("it limits the bandwidth to less than 1 MiB a second, libvirt's unit")
    } else if emulated && scenario.hosts.values().any(|host| start.is_none_or(|start| !alike(start, host))) {
        Some("its hosts differ, and both have to be given the same")
    } else {
        None
    }
}

/// Whether a guest of the first host finds the same on the other; what it brings along there is given to it.
fn alike(start: &HostSpec, other: &HostSpec) -> bool {
    let without_guest = |host: &HostSpec| HostConfig { mdev: MdevConfig::default(), ..host.config("") };
    let empty = other.mdev.matrix() == Matrix::default();
    let same_guest = empty || (&other.mdev.uuid, other.mdev.matrix()) == (&start.mdev.uuid, start.mdev.matrix());
    same_guest && other.control.is_none() && without_guest(start) == without_guest(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason_of(more: &str, host_b: &str) -> Option<&'static str> {
        let text = format!(
            "summary = \"x\"\n{more}\n[guest]\nsuites = [\"presence\"]\n[hosts.A]\ntopology = \"05=cex8a/33\"\n\
             mdev = {{ adapters = [\"05\"], domains = [\"33\"] }}\n[hosts.B]\n{host_b}\n[expect]\nresult = \"pass\"\n"
        );
        let scenario: Scenario = toml::from_str(&text).expect("a scenario");
        reason(&scenario, true)
    }

    #[test]
    fn a_guest_that_finds_the_same_everywhere_can_be_migrated_by_libvirt() {
        let same = "topology = \"05=cex8a/33\"";
        assert_eq!(reason_of("migrations = [{ to = \"B\", with = { mid-run = true } }]", same), None);
        let given = format!("{same}\nmdev = {{ adapters = [\"05\"], domains = [\"33\"] }}");
        assert_eq!(reason_of("migrations = [{ to = \"B\" }]", &given), None);
    }

    #[test]
    fn what_libvirt_leaves_no_moment_for_is_told() {
        let same = "topology = \"05=cex8a/33\"";
        let reasons = [
            ("migrations = [{ to = \"B\", with = { cut = 3 } }]", same, "handed over"),
            ("migrations = [{ to = \"B\", with = { bandwidth = 3 } }]", same, "1 MiB"),
            ("actions = [{ at = \"over\", do = \"stop-guest\" }]", same, "moments"),
            ("", "topology = \"05=cex7a/33\"", "differ"),
            ("", "topology = \"05=cex8a/33\"\nmdev = { adapters = [\"05\"] }", "differ"),
            ("", "topology = \"05=cex8a/33\"\ndefects = [\"x\"]", "differ"),
        ];
        for (more, host_b, words) in reasons {
            let reason = reason_of(more, host_b).unwrap_or_default();
            assert!(reason.contains(words), "{more} {host_b}: {reason}");
        }
    }
}
