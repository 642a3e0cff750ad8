// SPDX-License-Identifier: MIT OR Apache-2.0
//! One QEMU that answers: asked by whoever its monitor is, its console and the plugin's control socket, and ended
//! whatever happens. A dropped machine is a killed machine; if the harness itself is killed, QEMU notices that its
//! parent is gone.

pub mod arguments;
pub mod backoff;
pub(crate) mod console;
pub mod emulator;
pub mod error;
pub mod launch;
pub(crate) mod monitor;
pub mod observed;
pub(crate) mod process;
pub mod records;
pub mod run_folder;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use qapi_spec::Command;

use crate::guest::image::Region;
use crate::hosts::ssh::HostConnection;
use crate::outcome::events::What;
use crate::protocol::control::{Control, ControlError, Kernel};
use crate::protocol::qmp::command::{HumanMonitor, PhysicalMemorySave};
use crate::protocol::qmp::{self, QmpError};
use console::Console;
use error::MachineError;
use monitor::Monitor;
use observed::Observed;
pub use process::all_ended;
use process::{Names, Process};

/// How long after its connections' end a process may be seen to end.
pub(crate) const MOMENT: Duration = Duration::from_secs(2);

/// One QEMU that answers.
pub struct Machine {
    /// Its place in [`observed::State::machines`].
    pub index: usize,
    /// The host it stands for.
    pub host: String,
    /// Who answers for the guest's cards, where somebody does.
    pub(crate) control: Option<Control>,
    pub(crate) monitor: Box<dyn Monitor>,
    pub(crate) process: Process,
    pub(crate) console: Console,
    pub(crate) observed: Observed,
    /// How long an answer may take.
    pub(crate) answer: Duration,
    pub(crate) names: Names,
}

impl Machine {
    /// Sends a QMP command.
    ///
    /// # Errors
    /// [`MachineError`]; a QEMU that died meanwhile is [`MachineError::Died`], whatever the connection says.
    pub async fn ask<C: Command>(&self, command: C) -> Result<C::Ok, MachineError> {
        let deadline = tokio::time::Instant::now() + self.answer;
        let answer = async {
            let value = self.monitor.ask(C::NAME, qmp::arguments(&command)?).await?;
            Ok(qmp::answer::<C>(value)?)
        };
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Err(error @ (MachineError::Qmp(QmpError::Closed(_)) | MachineError::Host(_)))) => {
                Err(self.died_or(error).await)
            }
            Ok(answer) => answer,
            Err(_) => Err(MachineError::Late(C::NAME)),
        }
    }

    /// The kernel whose own driver has the guest's device; `None` where the model has it.
    #[must_use]
    pub fn kernel(&self) -> Option<&Kernel> {
        self.control.as_ref().and_then(Control::kernel)
    }

    /// Calls whoever answers for the guest's cards: the plugin, or the lab.
    ///
    /// # Errors
    /// [`MachineError`]; a QEMU that died meanwhile is [`MachineError::Died`], whatever the connection says.
    pub async fn call<'a, T, F: Future<Output = Result<T, ControlError>>>(
        &'a self,
        call: impl FnOnce(&'a Control) -> F,
    ) -> Result<T, MachineError> {
        let control = self.control.as_ref().ok_or_else(|| ControlError::Lost("this QEMU has no plugin".to_owned()))?;
        let deadline = tokio::time::Instant::now() + self.answer;
        match tokio::time::timeout_at(deadline, call(control)).await {
            Ok(Err(error @ ControlError::Lost(_))) => Err(self.died_or(error.into()).await),
            Ok(answer) => Ok(answer?),
            Err(_) => Err(control.silence().into()),
        }
    }

    /// A connection ended: because QEMU did? Its end is seen a moment later than the connection's.
    async fn died_or(&self, otherwise: MachineError) -> MachineError {
        let soon = Instant::now() + self.answer.min(MOMENT);
        let index = self.index;
        let died = self.observed.until(soon, |state| state.machines[index].exit.is_some().then_some(())).await;
        died.map_or(otherwise, |()| MachineError::Died)
    }

    /// Presses the key the guest waits for.
    ///
    /// # Errors
    /// [`MachineError::Io`].
    pub async fn press_key(&self) -> Result<(), MachineError> {
        self.console.press(ap_arch::report::handshake::KEY).await?;
        self.observed.event(Some(self.index), What::Key);
        Ok(())
    }

    /// Takes what the guest printed and nobody has read yet. The guest must be stopped: then this is all.
    pub fn drain_console(&self) {
        self.console.drain(&self.observed, self.index);
    }

    /// Waits until the console has said everything, which it has when QEMU is gone.
    pub(crate) async fn hear_out(&mut self) {
        self.console.ended(self.answer).await;
    }

    /// The host it runs on, where that is another one.
    #[must_use]
    pub fn connection(&self) -> Option<&Arc<HostConnection>> {
        self.names.connection.as_ref()
    }

    /// Reads guest memory.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn read_memory(&self, place: Region) -> Result<Vec<u8>, MachineError> {
        if !self.monitor.saves_files() {
            return Err(MachineError::Io("guest memory", io::Error::other("libvirt does not show it")));
        }
        let filename = self.names.path("memory").display().to_string();
        self.ask(PhysicalMemorySave { val: place.address, size: place.size, filename }).await?;
        self.names.take("memory").await
    }

    /// Reads a doubleword of guest memory.
    ///
    /// # Errors
    /// [`MachineError`].
    pub async fn read_doubleword(&self, address: u64) -> Result<u64, MachineError> {
        let text = self.ask(HumanMonitor { command_line: format!("xp /1gx {address:#x}") }).await?;
        let value = text.trim().rsplit_once(' ').and_then(|(_, value)| value.strip_prefix("0x"));
        let value = value.and_then(|value| u64::from_str_radix(value, 16).ok());
        value.ok_or_else(|| QmpError::Unexpected { command: "human-monitor-command", reason: text }.into())
    }

    /// Ends it, as a crash would.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Cuts the QMP connection.
    pub fn cut_qmp(&self) {
        self.monitor.cut();
    }

    /// Cuts the connection to whoever answers for the cards.
    pub fn cut_control(&self) {
        if let Some(control) = &self.control {
            control.cut();
        }
    }

    /// Ends it because it is not needed any more.
    pub fn dismiss(self) {
        self.observed.write(|state| state.machines[self.index].dismissed = true);
        self.kill();
    }
}
