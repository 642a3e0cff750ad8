// SPDX-License-Identifier: MIT OR Apache-2.0
//! The model as a device under test: the traits of `vfio-mig`, in process.

mod host;

use std::sync::Arc;

use ap_arch::stream::StreamFormat;
use ap_arch::{Apid, Apqi};
use ap_machine::{AdapterSpec, CardKind, EngineTime, ManualClock, Topology};
use vfio_mig::HostControl;
use vfio_mig::conformance::{DeviceFactory, HostSetup, NoHost};

use crate::control::{ControlHost, QueueName};
use crate::defect::Defect;
use crate::profile::Profile;
use crate::{Host, HostConfig, MdevConfig};

use host::ModelHost;

/// Makes hosts with some profile and further defects.
#[derive(Clone, Debug)]
pub struct ModelFactory {
    /// The driver to imitate.
    pub profile: Profile,
    /// Defects that are on besides.
    pub defects: Vec<Defect>,
}

impl ModelFactory {
    /// The model as it should be.
    #[must_use]
    pub const fn corrected() -> Self {
        Self { profile: Profile::Corrected, defects: Vec::new() }
    }
}

impl DeviceFactory for ModelFactory {
    fn name(&self) -> String {
        let defects: Vec<&str> = self.defects.iter().map(|defect| defect.name()).collect();
        let plus = if defects.is_empty() { String::new() } else { format!(" with {}", defects.join(", ")) };
        format!("model, {}{plus}", self.profile.name())
    }

    fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, NoHost> {
        let clock = Arc::new(ManualClock::default());
        let config = self.config(setup).map_err(NoHost::Unfit)?;
        let made = Host::with_clock(config, Arc::clone(&clock) as _);
        let host = made.map_err(|error| NoHost::Unfit(error.to_string()))?;
        Ok(Box::new(ControlHost(ModelHost::new(host, clock))))
    }
}

impl ModelFactory {
    /// What a host is asked for that is to be as a case wants it.
    ///
    /// # Errors
    /// Why this driver cannot be asked that, or why there is no such host.
    pub fn config(&self, setup: &HostSetup) -> Result<HostConfig, String> {
        let (profile, reason) = match (self.profile, setup.format) {
            (Profile::Corrected, Some(StreamFormat::Posted)) => (Profile::Format0, None),
            (Profile::V3, Some(StreamFormat::Vfap)) | (Profile::Later, Some(StreamFormat::Posted)) => {
                (self.profile, Some("this driver emits the other format only"))
            }
            (profile, _) => (profile, None),
        };
        if let Some(reason) = reason {
            return Err(reason.to_owned());
        }
        let mut config = config(setup)?;
        config.profile = Some(profile.name().to_owned());
        config.defects = self.defects.iter().map(|defect| defect.name().to_owned()).collect();
        Ok(config)
    }
}

/// The host's configuration for a set-up of the conformance suite.
fn config(setup: &HostSetup) -> Result<HostConfig, String> {
    let mode = setup.info.mode().ok_or("the hardware information has no card mode")?;
    let kind = CardKind { ap_type: setup.info.ap_type(), mode };
    let card = AdapterSpec { facilities: Some(setup.info.facilities()), ..AdapterSpec::new(kind) };
    let mut topology = Topology {
        adapters: setup.host.adapters.iter().map(|adapter| (Apid(adapter), card.clone())).collect(),
        domains: setup.host.domains,
        control_domains: Some(setup.host.control_domains),
        max_domain: Apqi(setup.max_domain),
        ..Topology::default()
    };
    if setup.interruption {
        topology.facilities.apqi = true;
        topology.timing.engine = EngineTime::Fixed(1000);
    }
    let mut mdevs = setup.mdevs.iter().map(|mdev| MdevConfig {
        uuid: mdev.name.clone(),
        adapters: mdev.matrix.adapters,
        domains: mdev.matrix.domains,
        control_domains: mdev.matrix.control_domains,
        open: true,
    });
    let first = mdevs.next().ok_or("a host without a mediated device")?;
    Ok(HostConfig {
        name: "model".to_owned(),
        topology,
        mdev: first,
        others: mdevs.collect(),
        unbound: setup.unbound.iter().copied().map(QueueName).collect(),
        default_adapters: setup.reserved.0,
        default_domains: setup.reserved.1,
        ..HostConfig::default()
    })
}
