// SPDX-License-Identifier: MIT OR Apache-2.0
//! One host of a run: an LPAR with the real driver, which lives as long as the run. The guest is in a QEMU of its own,
//! on the same hardware; what the driver gave to KVM becomes the guest's masks.
//!
//! Requests are carried out on a thread of the host's own, one after the other. The guest's instructions are held from
//! before a request that may change its masks until these are set; and from before the driver takes a queue away that
//! nobody asked it to, until this thread has looked.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use ap_arch::{Apid, Matrix};
use ap_machine::Topology;
use ap_machine::topology::TopologyError;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use vfio_ap::control::Request;
use vfio_linux::{Agent, Hardware as _, LinuxHost, Machine};
use vfio_mig::conformance::{HostSetup, MdevSetup, NoHost};
use vfio_mig::{Capability, DeviceError, HostControl};

use super::gate::Gate;
use super::hardware::LabHardware;
use super::kept::Kept;
use super::lpar::Process;
use super::owner::{Owner, Serving};
use super::requests::{Answering, SCANS, Streams};
use crate::machine::launch::Seat;
use crate::machine::process::look_after;
use crate::machine::run_folder::RunFolder;
use crate::protocol::control::{Control, ControlError, Driver, Kernel};
use crate::scenario::HostSpec;

const MATRIX: &str = "/sys/devices/vfio_ap/matrix";
const UNBIND: &str = "/sys/bus/ap/drivers/vfio_ap/unbind";
const CREATE: &str = "mdev_supported_types/vfio_ap-passthrough/create";

type Answer<T> = Result<T, ControlError>;

/// What the host's thread is told.
enum Job {
    Ask(Box<Request>, oneshot::Sender<Answer<Value>>),
    /// A QEMU comes: the device is as a new one's, and open for it.
    Arrive(oneshot::Sender<Answer<()>>),
    /// It is gone.
    Depart,
    /// The driver took a queue away unasked.
    Follow,
    /// The run is over.
    End,
}

/// What everybody who has to do with a host knows of it.
struct Shared {
    name: String,
    jobs: Sender<Job>,
    kernel: Kernel,
    process: Arc<Process>,
    owner: Owner,
    hardware: Arc<LabHardware>,
    guest: String,
    folder: Arc<RunFolder>,
}

/// One host of a run. Its LPAR ends when this is dropped.
pub struct LabHost {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    visits: u32,
}

impl LabHost {
    /// Starts the LPAR and prepares it as the scenario has the host. Blocks.
    ///
    /// # Errors
    /// Why there is no such host.
    pub fn start(kept: &Arc<Kept>, name: &str, spec: &HostSpec, folder: &Arc<RunFolder>) -> Result<Self, NoHost> {
        let (jobs, todo) = channel();
        let (ready, prepared) = channel();
        let (kept, host, spec, folder) = (Arc::clone(kept), name.to_owned(), spec.clone(), Arc::clone(folder));
        // From the beginning on the thread that stays: QEMU ends with the thread that started it.
        let thread = std::thread::Builder::new().name(format!("host {name}")).spawn(move || {
            match Worker::prepare(&kept, host, &spec, jobs, folder) {
                Ok(worker) => {
                    _ = ready.send(Ok(Arc::clone(&worker.shared)));
                    worker.work(&todo);
                }
                Err(error) => _ = ready.send(Err(error)),
            }
        });
        let thread = Some(thread.map_err(broken)?);
        let shared = prepared.recv().unwrap_or_else(|_| Err(broken("its thread ended")))?;
        Ok(Self { shared, thread, visits: 0 })
    }

    /// The kernel of its LPAR.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.shared.kernel
    }

    /// The process of its LPAR.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.shared.process.pid()
    }

    /// What can be seen of its LPAR, if that has ended by itself.
    #[must_use]
    pub fn fate_if_gone(&self) -> Option<String> {
        self.shared.process.is_gone().then(|| self.shared.process.fate())
    }

    /// Who makes system calls in its LPAR.
    #[must_use]
    pub fn agent(&self) -> Arc<Agent> {
        self.shared.hardware.agent()
    }

    /// The hardware that LPAR and guest have in common.
    #[must_use]
    pub fn machine(&self) -> &Arc<ap_machine::Machine> {
        &self.shared.owner.machine
    }

    /// How often the guest's instructions were let go before the masks were set, because that took too long.
    #[must_use]
    pub fn forced(&self) -> u32 {
        self.shared.owner.gate.forced()
    }

    /// A place for the next QEMU with the guest under test; the one before must have gone.
    ///
    /// # Errors
    /// The socket's.
    pub fn seat(&mut self) -> std::io::Result<Seat> {
        self.visits += 1;
        let shared = Arc::clone(&self.shared);
        let socket = shared.folder.file(&format!("{}-{}.machine", shared.name, self.visits));
        let guest = shared.hardware.new_guest(&shared.guest);
        let serving = shared.owner.listen_for_guest(&socket, Arc::clone(&guest))?;
        let follow = shared.jobs.clone();
        shared.owner.door.watch(guest, Box::new(move || _ = follow.send(Job::Follow)));
        let (ready, opened) = oneshot::channel();
        // A thread that is gone says so to whoever waits.
        _ = shared.jobs.send(Job::Arrive(ready));
        let driver = LabDriver { shared, _serving: serving, is_cut: AtomicBool::new(false) };
        let driver = async move {
            opened.await.unwrap_or_else(|_| Err(driver.shared.lost("its host's thread ended")))?;
            Ok(Control::of(Box::new(driver)))
        };
        Ok(Seat { socket, facilities: self.shared.hardware.facilities(), driver: driver.boxed() })
    }

    /// Ends the LPAR and waits until nothing is left of it.
    pub async fn end(mut self) {
        self.shared.process.kill();
        if let Some(thread) = self.thread.take() {
            drop(self);
            _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

impl Drop for LabHost {
    fn drop(&mut self) {
        // Whatever its thread waits for, an LPAR that is gone ends the wait.
        self.shared.process.kill();
        _ = self.shared.jobs.send(Job::End);
        // A run that is given up waits for nothing; the program does, before it ends.
        if let Some(thread) = self.thread.take()
            && Handle::try_current().is_ok()
        {
            look_after(async { _ = tokio::task::spawn_blocking(move || thread.join()).await });
        }
    }
}

fn broken(error: impl std::fmt::Display) -> NoHost {
    NoHost::Broken(error.to_string())
}

/// A scenario's host as the LPAR is prepared.
fn setup(spec: &HostSpec) -> HostSetup {
    let mdev = |mdev: &crate::scenario::MdevSpec| MdevSetup { name: mdev.uuid.clone(), matrix: mdev.matrix() };
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

impl Shared {
    fn lost(&self, reason: &str) -> ControlError {
        ControlError::Lpar(format!("{reason}; {}", self.process.fate()))
    }

    /// What is to be seen of an LPAR that was lost stands with the error.
    fn explained<T>(&self, answer: Answer<T>) -> Answer<T> {
        answer.map_err(|error| match error {
            ControlError::Lpar(reason) => self.lost(&reason),
            error => error,
        })
    }
}

/// What the host's thread has.
struct Worker {
    shared: Arc<Shared>,
    host: LinuxHost,
    spec: HostSetup,
    topology: Topology,
    /// Whether the hardware is not what it was at first.
    is_changed: Cell<bool>,
    streams: Streams,
}

impl Worker {
    fn prepare(
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

    fn work(self, todo: &Receiver<Job>) {
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

/// The driver of a host, for one QEMU.
struct LabDriver {
    shared: Arc<Shared>,
    /// Its thread ends with the guest's QEMU.
    _serving: Serving,
    is_cut: AtomicBool,
}

impl Driver for LabDriver {
    fn ask(&self, request: Request) -> BoxFuture<'_, Answer<Value>> {
        async move {
            if self.is_cut.load(Ordering::Relaxed) {
                return Err(ControlError::Lost("it was cut".to_owned()));
            }
            let (reply, answer) = oneshot::channel();
            _ = self.shared.jobs.send(Job::Ask(Box::new(request), reply));
            answer.await.unwrap_or_else(|_| Err(self.shared.lost("its host's thread ended")))
        }
        .boxed()
    }

    fn silence(&self) -> ControlError {
        self.shared.lost("the LPAR did not answer in time")
    }

    fn kernel(&self) -> Option<&Kernel> {
        Some(&self.shared.kernel)
    }

    fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }
}

impl Drop for LabDriver {
    fn drop(&mut self) {
        _ = self.shared.jobs.send(Job::Depart);
    }
}
