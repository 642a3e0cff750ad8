// SPDX-License-Identifier: MIT OR Apache-2.0
//! The model as a device under test: the traits of `vfio-mig`, in process.

mod device;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ap_arch::stream::StreamFormat;
use ap_arch::{Apid, Apqi, Apqn, Matrix};
use ap_machine::{AdapterSpec, AdapterState, CardKind, EngineTime, ManualClock, Topology};
use vfio_mig::conformance::{DeviceFactory, HostSetup, NoHost};
use vfio_mig::{
    AdapterFault, Capabilities, Complaint, DeviceError, GuestCall, GuestReply, HostControl, LogLine, MigrationDevice,
    QueueAnswer,
};

use crate::control::{GuestInstruction, QueueName};
use crate::defect::Defect;
use crate::profile::Profile;
use crate::{Host, HostConfig, MdevConfig};

use device::ModelDevice;

/// How the lines begin that say what a real kernel would have suffered.
const IMITATED: &str = "BUG: ";

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
        Ok(Box::new(ModelHost { host, clock, parked: Arc::default() }))
    }
}

impl ModelFactory {
    /// What a host is told that is to be as a case wants it.
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
        uuid: mdev.name.to_owned(),
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

/// What of a log a real kernel would have suffered.
pub fn imitated(log: Vec<LogLine>) -> Vec<Complaint> {
    let imitated = log.into_iter().filter(|line| line.text.starts_with(IMITATED));
    imitated.map(|line| Complaint { report: vec![line.text.clone()], what: line.text }).collect()
}

/// One host of the model.
struct ModelHost {
    host: Arc<Host>,
    clock: Arc<ManualClock>,
    /// How many calls stand still in the driver.
    parked: Arc<AtomicUsize>,
}

impl HostControl for ModelHost {
    fn capabilities(&self) -> Capabilities {
        Capabilities::all()
    }

    fn device(&self, mdev: &str) -> Box<dyn MigrationDevice + '_> {
        Box::new(ModelDevice::new(&self.host, mdev, &self.parked))
    }

    fn sysfs_read(&self, path: &str) -> Result<String, DeviceError> {
        self.host.sysfs_read(path)
    }

    fn sysfs_write(&self, path: &str, value: &str) -> Result<(), DeviceError> {
        self.host.sysfs_write(path, value)
    }

    fn log(&self, since: u64) -> Result<Vec<LogLine>, DeviceError> {
        Ok(self.host.context.log.since(since, usize::MAX).lines)
    }

    /// What would have wrecked a kernel, and is only imitated.
    fn complaints(&self) -> Result<Vec<Complaint>, DeviceError> {
        self.log(0).map(imitated)
    }

    fn guest_masks(&self, mdev: &str) -> Result<Matrix, DeviceError> {
        self.host.find(Some(mdev)).map(|device| device.door().apcb())
    }

    fn reset_counts(&self) -> Result<BTreeMap<Apqn, u64>, DeviceError> {
        Ok(self.host.context.hardware.reset_counts())
    }

    fn adapter(&self, adapter: Apid, fault: AdapterFault) -> Result<(), DeviceError> {
        let state = match fault {
            AdapterFault::Configure => AdapterState::Configured,
            AdapterFault::Deconfigure => AdapterState::Deconfigured,
            AdapterFault::Checkstop => AdapterState::Checkstopped,
        };
        self.host.adapter_state(&adapter.to_string(), state)
    }

    fn set_queue_answer(&self, apqn: Apqn, answer: Option<QueueAnswer>) -> Result<(), DeviceError> {
        self.host.context.hardware.set_answer(apqn, answer);
        Ok(())
    }

    fn fail_resets(&self, apqn: Apqn, fail: bool) -> Result<(), DeviceError> {
        self.host.context.hardware.fail_resets(apqn, fail);
        Ok(())
    }

    fn pass_time(&self, nanoseconds: u64) -> Result<(), DeviceError> {
        self.clock.advance(nanoseconds);
        self.host.machine().run_due();
        Ok(())
    }

    fn set_poison(&self, poison: &Matrix) -> Result<(), DeviceError> {
        *self.host.context.poison.lock() = *poison;
        Ok(())
    }

    fn guest_memory(&self, mdev: &str, address: u64, length: u32) -> Result<Vec<u8>, DeviceError> {
        self.host.guest_memory(mdev, address, length)
    }

    fn guest_execute(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, DeviceError> {
        Ok(self.host.guest_execute(mdev, &GuestInstruction::of(call))?.reply_to(call))
    }

    fn set_secure_execution(&self, host: bool, guest: bool) -> Result<(), DeviceError> {
        self.host.context.security.host_is_secure.store(host, Ordering::Relaxed);
        self.host.context.security.guest_is_secure.store(guest, Ordering::Relaxed);
        Ok(())
    }
}
