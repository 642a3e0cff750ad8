// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is needed of a Linux: a process there that has memory, and threads that make system calls.

use std::time::Duration;

use agent_protocol::Refusal;
use vfio_mig::DeviceError;

/// A thread of that process, by its number. Threads are made when they are first named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thread(pub u32);

/// Why there is no answer. That a system call fails is an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody can be asked any more.
    #[error("the agent: {0}")]
    Lost(String),
    /// It has answered before and does so no more: its machine hangs, or computes without end.
    #[error("the agent does not answer any more")]
    Silent,
    /// The agent does not do it.
    #[error("the agent refuses: {refusal}, error number {errno}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The error number of the kernel, if it was the kernel; else 0.
        errno: u32,
    },
}

impl From<CallError> for DeviceError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Silent => Self::Hung(error.to_string()),
            _ => Self::Transport(error.to_string()),
        }
    }
}

/// A process in a Linux. Addresses are that process's; nothing is interpreted.
pub trait SystemCalls: Send + Sync {
    /// Fresh memory of so many bytes, in whole pages, all zero; its address.
    ///
    /// # Errors
    /// [`CallError`].
    fn map(&self, length: usize) -> Result<u64, CallError>;

    /// Stores bytes.
    ///
    /// # Errors
    /// [`CallError`].
    fn poke(&self, address: u64, bytes: &[u8]) -> Result<(), CallError>;

    /// Fetches bytes.
    ///
    /// # Errors
    /// [`CallError`].
    fn peek(&self, address: u64, length: usize) -> Result<Vec<u8>, CallError>;

    /// Prepares a system call on a thread that has none.
    ///
    /// # Errors
    /// [`CallError`].
    fn call(&self, thread: Thread, number: u64, arguments: [u64; 6]) -> Result<(), CallError>;

    /// Begins the prepared calls of these threads, at the same moment.
    ///
    /// # Errors
    /// [`CallError`].
    fn start(&self, threads: &[Thread]) -> Result<(), CallError>;

    /// What a thread's call returned, an error as its negated number; `None` if it has not returned within that time.
    ///
    /// # Errors
    /// [`CallError`].
    fn wait(&self, thread: Thread, patience: Duration) -> Result<Option<i64>, CallError>;

    /// The three before for one call.
    ///
    /// # Errors
    /// [`CallError`].
    fn run(
        &self,
        thread: Thread,
        number: u64,
        arguments: [u64; 6],
        patience: Duration,
    ) -> Result<Option<i64>, CallError> {
        self.call(thread, number, arguments)?;
        self.start(&[thread])?;
        self.wait(thread, patience)
    }

    /// Several calls on one thread, one after the other, none of which waits for anything; what each returned.
    ///
    /// # Errors
    /// [`CallError`].
    fn run_all(
        &self,
        thread: Thread,
        calls: &[(u64, [u64; 6])],
        patience: Duration,
    ) -> Result<Vec<Option<i64>>, CallError> {
        calls.iter().map(|(number, arguments)| self.run(thread, *number, *arguments, patience)).collect()
    }
}
