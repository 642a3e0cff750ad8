// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a test needs of the host besides the migration device: the administrator's surface, the driver's log, counters,
//! the hardware, and guests that do what they are told.

use std::collections::BTreeMap;

use ap_arch::{Apid, Apqn, ConditionCode, HwInfo, Matrix, ResponseCode};
use serde::{Deserialize, Serialize};

use crate::{Capabilities, Capability, Complaint, DeviceError, MigrationDevice};

/// Level of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    /// Needs an administrator.
    Error,
    /// Might need one.
    Warning,
    /// Says what happened.
    Info,
    /// For people who debug the driver.
    Debug,
}

/// One line of the driver's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Running number of the line on its host, from 0.
    pub number: u64,
    /// Level.
    pub level: LogLevel,
    /// Text without the newline.
    pub text: String,
}

/// What an administrator or a failure does to an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterFault {
    /// Configures it again, all faults gone.
    Configure,
    /// Deconfigures it: response code 03, queues reset.
    Deconfigure,
    /// Checkstops it: response code 04.
    Checkstop,
}

/// What a TAPQ of the driver gets instead of the queue's own answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueAnswer {
    /// Response code.
    pub response: ResponseCode,
    /// The asynchronous-error bit of the status word.
    pub asynchronous: bool,
    /// GR2; `None`: what the queue has.
    pub hw_info: Option<HwInfo>,
}

/// One AP instruction of a scripted guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestCall {
    /// PQAP with these registers; QCI stores its block at 0x1000 of the guest's memory.
    Pqap {
        /// General register 0.
        gr0: u64,
        /// General register 1.
        gr1: u64,
        /// General register 2.
        gr2: u64,
    },
    /// NQAP of a whole message.
    Nqap {
        /// The queue.
        apqn: Apqn,
        /// Program-supplied message identifier.
        psmid: u64,
        /// The message.
        message: Vec<u8>,
    },
    /// DQAP into a buffer of this many bytes.
    Dqap {
        /// The queue.
        apqn: Apqn,
        /// Size of the buffer in bytes.
        length: usize,
    },
}

/// What a scripted guest sees after one instruction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GuestReply {
    /// Condition code; `None` after a program exception.
    pub cc: Option<ConditionCode>,
    /// Program exception code, 0 if there was none.
    pub exception: u16,
    /// General register 1: the status word in its low half.
    pub gr1: u64,
    /// General register 2.
    pub gr2: u64,
    /// DQAP: the message identifier.
    pub psmid: u64,
    /// DQAP: the reply. QCI: the block.
    pub data: Vec<u8>,
}

/// The host around the device under test. Paths are those of vfio-ap migration spec 7.
pub trait HostControl {
    /// What can be asked of this host.
    fn capabilities(&self) -> Capabilities;

    /// A mediated device of this host; its calls fail with ENODEV if there is none of this name.
    fn device(&self, mdev: &str) -> Box<dyn MigrationDevice + '_>;

    /// Reads a sysfs attribute.
    ///
    /// # Errors
    /// ENOENT for a path that does not exist; others as the attribute says.
    fn sysfs_read(&self, path: &str) -> Result<String, DeviceError>;

    /// Writes a sysfs attribute.
    ///
    /// # Errors
    /// ENOENT for a path that does not exist, EACCES for one that cannot be written; others as the attribute says.
    fn sysfs_write(&self, path: &str, value: &str) -> Result<(), DeviceError>;

    /// The driver's log from line `since` on.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn log(&self, since: u64) -> Result<Vec<LogLine>, DeviceError>;

    /// What the host's kernel found wrong with itself since this host was made, whoever caused it.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn complaints(&self) -> Result<Vec<Complaint>, DeviceError>;

    /// How many allocations of each function of the kernel are alive. Needs
    /// [`Capability::Allocations`](crate::Capability::Allocations).
    ///
    /// # Errors
    /// EOPNOTSUPP where memory that was freed counts too, because a checker keeps it.
    fn allocations(&self) -> Result<BTreeMap<String, u64>, DeviceError> {
        Err(Capability::Allocations.lacking())
    }

    /// Makes allocation `number`, counted from 1, of the calls that follow fail, and no other; 0: none. Whether the one
    /// of before has failed. Needs [`Capability::FailingAllocations`](crate::Capability::FailingAllocations).
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn fail_allocation(&self, _number: u32) -> Result<bool, DeviceError> {
        Err(Capability::FailingAllocations.lacking())
    }

    /// What KVM was told that the guest of this mediated device has: the truth behind the attribute `guest_matrix`.
    /// Needs [`Capability::GuestMasks`](crate::Capability::GuestMasks).
    ///
    /// # Errors
    /// ENODEV if there is no such device.
    fn guest_masks(&self, _mdev: &str) -> Result<Matrix, DeviceError> {
        Err(Capability::GuestMasks.lacking())
    }

    /// How often the driver reset each queue since the host started; queues never reset are absent.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn reset_counts(&self) -> Result<BTreeMap<Apqn, u64>, DeviceError>;

    /// Changes the state of an adapter.
    ///
    /// # Errors
    /// ENODEV if the host has no such adapter.
    fn adapter(&self, adapter: Apid, fault: AdapterFault) -> Result<(), DeviceError>;

    /// Makes every TAPQ that the driver issues to this queue answer so; `None` takes that back.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn set_queue_answer(&self, apqn: Apqn, answer: Option<QueueAnswer>) -> Result<(), DeviceError>;

    /// Makes every reset that the driver issues to this queue fail, or no longer.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn fail_resets(&self, apqn: Apqn, fail: bool) -> Result<(), DeviceError>;

    /// Lets this many nanoseconds of the hardware's time pass.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn pass_time(&self, nanoseconds: u64) -> Result<(), DeviceError>;

    /// Says what the driver's uninitialised memory holds where a matrix is built in it. A kernel whose compiler fills
    /// it has that compiler's pattern instead.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn set_poison(&self, poison: &Matrix) -> Result<(), DeviceError>;

    /// Reads the memory of the guest of this mediated device, with everything the hardware stored into it until now.
    ///
    /// # Errors
    /// ENODEV if that device has no guest, EFAULT for addresses it has not.
    fn guest_memory(&self, mdev: &str, address: u64, length: u32) -> Result<Vec<u8>, DeviceError>;

    /// Executes one AP instruction as the guest of this mediated device.
    ///
    /// # Errors
    /// ENODEV if that device has no guest; a program exception is no error.
    fn guest_execute(&self, mdev: &str, call: &GuestCall) -> Result<GuestReply, DeviceError>;

    /// Says whether the host's kernel and the device's guest are under Secure Execution.
    ///
    /// # Errors
    /// [`DeviceError::Transport`].
    fn set_secure_execution(&self, host: bool, guest: bool) -> Result<(), DeviceError>;
}
