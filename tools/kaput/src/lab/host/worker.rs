// SPDX-License-Identifier: MIT OR Apache-2.0
//! The thread of a host: prepares the LPAR and carries requests out, one after the other. The guest's instructions are
//! held from before a request that may change its masks until these are set; and from before the driver takes a queue
//! away that nobody asked it to, until this thread has looked.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use ap_arch::{Apid, Matrix};
use ap_machine::Topology;
use ap_machine::topology::TopologyError;
use serde_json::Value;
use vfio_ap::control::Request;
use vfio_linux::{Hardware as _, LinuxHost, Machine};
use vfio_mig::conformance::{HostSetup, MdevSetup, NoHost};
use vfio_mig::{Capability, DeviceError, HostControl};

use super::{Answer, Job, Shared, broken};
use crate::lab::gate::Gate;
use crate::lab::hardware::LabHardware;
use crate::lab::kept::Kept;
use crate::lab::owner::Owner;
use crate::lab::requests::{Answering, SCANS, Streams};
use crate::machine::run_folder::RunFolder;
use crate::protocol::control::{ControlError, Kernel};
use crate::scenario::{HostSpec, MdevSpec};

const MATRIX: &str = "/sys/devices/vfio_ap/matrix";
const UNBIND: &str = "/sys/bus/ap/drivers/vfio_ap/unbind";
const CREATE: &str = "mdev_supported_types/vfio_ap-passthrough/create";

/// What the host's thread has.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    host: LinuxHost,
    spec: HostSetup,
    topology: Topology,
    /// Whether the hardware is not what it was at first.
    is_changed: Cell<bool>,
    streams: Streams,
}

impl Worker {
    pub(super) fn prepare(
        kept: &Kept,
        name: String,
        spec: &HostSpec,
        jobs: Sender<Job>,
        folder: Arc<RunFolder>,
    ) -> Result<Self, NoHost> {
        let setup = setup(spec);
        let owner = Owner::in_real_time(&spec.topology).map_err(broken)?;
        let lpar = kept.lpar(&owner, folder.path(), &format!("{name}-lpar")).map_err(broken)?;
        let (agent, process) = (lpar.agent(), Arc::clone(lpar.process()));
        let hardware = Arc::new(LabHardware::showing(lpar, spec.topology.facilities));
        let machine = Machine::expendable(agent, Arc::clone(&hardware) as _);
        let host = LinuxHost::new(machine, &setup)?;
        let guest = spec.mdev.uuid.clone();
        let kernel = kernel(&host, &guest, kept).map_err(broken)?;
        for other in spec.others.iter().filter(|other| !other.open) {
            host.device(&other.uuid).close_device().map_err(broken)?;
        }
        let shared = Arc::new(Shared { name, jobs, kernel, process, owner, hardware, guest, folder });
        let (topology, is_changed, streams) = (spec.topology.clone(), Cell::new(false), Streams::default());
        Ok(Self { shared, host, spec: setup, topology, is_changed, streams })
    }

    pub(super) fn work(self, todo: &Receiver<Job>) {
        let gate = &self.shared.owner.gate;
        for job in todo {
            match job {
                Job::Ask(request, reply) => _ = reply.send(self.shared.explained(self.ask(gate, *request))),
                Job::Arrive(reply) => _ = reply.send(self.shared.explained(self.arrive(gate))),
                // The device is closed as soon as the QEMU that has it open ends.
                Job::Depart => _ = self.host.device(&self.shared.guest).close_device(),
                Job::Follow if gate.is_unasked() => _ = self.held(gate, || Ok(())),
                Job::Follow => {}
                Job::End => return,
            }
        }
    }

    /// Does something that may change the guest's masks.
    fn held<T>(&self, gate: &Gate, change: impl FnOnce() -> Answer<T>) -> Answer<T> {
        let stuck = |_| ControlError::Lost("the guest's QEMU does not go on inside an AP instruction".to_owned());
        let closed = gate.close().map_err(stuck)?;
        let changed = change();
        gate.settle(&closed);
        let guest = &self.shared.guest;
        let followed = self.host.guest_masks(guest).and_then(|masks| self.shared.hardware.give(guest, &masks));
        let changed = changed?;
        followed.map_err(|error| ControlError::Lpar(error.to_string()))?;
        Ok(changed)
    }

    fn ask(&self, gate: &Gate, request: Request) -> Answer<Value> {
        let mdevs: Vec<String> = self.spec.mdevs.iter().map(|mdev| mdev.name.clone()).collect();
        let Shared { name, guest, hardware, .. } = &*self.shared;
        let answering = Answering { host: &self.host, hardware, name, guest, mdevs: &mdevs, streams: &self.streams };
        self.is_changed.set(self.is_changed.get() || is_of_hardware(&request));
        if answers_only(&request) { answering.answer(request) } else { self.held(gate, || answering.answer(request)) }
    }

    /// Makes hardware of which something was changed what it was at first.
    fn restore_hardware(&self) -> Result<(), DeviceError> {
        let machine = &self.shared.owner.machine;
        let odd = |error: TopologyError| DeviceError::Transport(error.to_string());
        // Not all of them are there.
        (0..=self.topology.max_adapter.0).for_each(|adapter| _ = machine.unplug(Apid(adapter)));
        let Matrix { domains, control_domains, .. } = self.topology.matrix();
        machine.set_domains(domains, control_domains).map_err(odd)?;
        for (apid, spec) in &self.topology.adapters {
            machine.plug(*apid, spec).map_err(odd)?;
        }
        self.host.sysfs_write(SCANS, "1")?;
        for queue in &self.spec.unbound {
            // One that was there all the time has no driver.
            _ = self.host.sysfs_write(UNBIND, &queue.to_string());
        }
        Ok(())
    }

    /// Makes the device anew, as the scenario has it: whoever comes back finds what it found the first time.
    fn arrive(&self, gate: &Gate) -> Answer<()> {
        let name = &self.shared.guest;
        let Some(wanted) = self.spec.mdevs.first() else { return Ok(()) };
        let fresh = || -> Result<(), DeviceError> {
            let device = self.host.device(name);
            self.shared.owner.door.forget();
            self.streams.forget();
            // It is closed, if not for the first time.
            _ = device.close_device();
            if self.is_changed.take() {
                self.restore_hardware()?;
            }
            self.host.sysfs_write(&format!("{MATRIX}/{name}/remove"), "1")?;
            self.host.sysfs_write(&format!("{MATRIX}/{CREATE}"), name)?;
            let Matrix { adapters, domains, control_domains } = wanted.matrix;
            for (kind, mask) in [("adapter", adapters), ("domain", domains), ("control_domain", control_domains)] {
                for number in mask.iter() {
                    self.host.sysfs_write(&format!("{MATRIX}/{name}/assign_{kind}"), &format!("{number:#x}"))?;
                }
            }
            device.open()
        };
        self.held(gate, || fresh().map_err(|error| ControlError::Lpar(error.to_string())))
    }
}

/// Whether a request changes the hardware.
const fn is_of_hardware(request: &Request) -> bool {
    request.plugs()
        || matches!(
            request,
            Request::AdapterConfigure { .. }
                | Request::AdapterDeconfigure { .. }
                | Request::AdapterCheckstop { .. }
                | Request::QueueCheckstop { .. }
                | Request::MasterKeyChange { .. }
                | Request::QueueBusy { .. }
                | Request::QueueError { .. }
        )
}

/// Whether a request changes nothing that a guest could notice.
const fn answers_only(request: &Request) -> bool {
    matches!(
        request,
        Request::MigrationGetState { .. }
            | Request::MigrationDataSize { .. }
            | Request::MigrationRead { .. }
            | Request::MigrationClose { .. }
            | Request::SysfsRead { .. }
            | Request::QueryHost {}
            | Request::QueryLog { .. }
            | Request::GuestMemory { .. }
            | Request::GuestExecute { .. }
    )
}

/// A scenario's host as the LPAR is prepared.
fn setup(spec: &HostSpec) -> HostSetup {
    let mdev = |mdev: &MdevSpec| MdevSetup { name: mdev.uuid.clone(), matrix: mdev.matrix() };
    HostSetup {
        host: spec.topology.matrix(),
        mdevs: std::iter::once(&spec.mdev).chain(&spec.others).map(mdev).collect(),
        unbound: spec.unbound.iter().map(|queue| queue.0).collect(),
        reserved: (spec.default_adapters, spec.default_domains),
        max_domain: spec.topology.max_domain.0,
        ..HostSetup::source()
    }
}

fn kernel(host: &LinuxHost, guest: &str, kept: &Kept) -> Result<Kernel, DeviceError> {
    let version = host.sysfs_read("/proc/version")?;
    let release = version.split_whitespace().nth(2).unwrap_or("of an unknown version");
    let features = host.sysfs_read(&format!("{MATRIX}/features")).unwrap_or_default();
    let (kernel, device) = (host.capabilities(), host.device(guest).capabilities());
    let built = [
        (Capability::Checkers, ", with checkers of locks and lifetimes"),
        (Capability::FailingAllocations, ", with failing allocations"),
        (Capability::Allocations, ", with traced slabs"),
    ];
    let config: String = built.iter().filter(|(one, _)| kernel.has(*one)).map(|(_, words)| *words).collect();
    let (file, features) = (kept.kernel().display(), features.trim_end());
    let description = format!("vfio_ap of Linux {release}{config} ({file}): {features}");
    Ok(Kernel { description, migrates: device.has(Capability::Migration) })
}
