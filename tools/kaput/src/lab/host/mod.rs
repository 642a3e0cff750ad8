// SPDX-License-Identifier: MIT OR Apache-2.0
//! One host of a run: an LPAR with the real driver, which lives as long as the run. The guest is in a QEMU of its own,
//! on the same hardware; what the driver gave to KVM becomes the guest's masks.
//!
//! Here is what the run has of the host. Requests are carried out on a thread of the host's own, by its [`worker`].

mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use vfio_ap::control::Request;
use vfio_linux::Agent;
use vfio_mig::conformance::NoHost;

use self::worker::Worker;
use super::hardware::LabHardware;
use super::kept::Kept;
use super::lpar::Process;
use super::owner::{Owner, Serving};
use crate::machine::launch::Seat;
use crate::machine::process::look_after;
use crate::machine::run_folder::RunFolder;
use crate::protocol::control::{Control, ControlError, Driver, Kernel};
use crate::scenario::HostSpec;

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
