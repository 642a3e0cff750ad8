// SPDX-License-Identifier: MIT OR Apache-2.0
//! One host, as the plugin and a test hold it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ap_arch::Matrix;
use ap_machine::{Clock, Configuration, Instruction, Machine, MonotonicClock, Operands, Outcome};
use vfio_mig::{DeviceError, DeviceState, Errno, StreamId};

use crate::behaviour::Behaviour;
use crate::bus::Bus;
use crate::config::{self, Filtering};
use crate::context::{Assignment, Context, Counters, Security, Tables};
use crate::control::{Greeting, GuestInstruction, GuestState};
use crate::defect::{Defect, Defects};
use crate::hardware::Hardware;
use crate::lock::Lock;
use crate::log::Log;
use crate::migration::{Device, OpenedStream};
use crate::profile::Profile;
use crate::scripted::ScriptedGuest;
use crate::trace::Trace;
use crate::{HostConfig, HostError};

/// Streams open at once, on all devices of a host; far above what any test needs.
const MAX_STREAMS: usize = 1024;

/// One host: its hardware, its bindings, its mediated devices.
pub struct Host {
    name: String,
    pub(crate) context: Arc<Context>,
    pub(crate) machine: Arc<Machine>,
    devices: Lock<BTreeMap<String, Arc<Device>>>,
    primary: Arc<Device>,
    streams: Lock<Streams>,
    pub(crate) guests: Lock<BTreeMap<String, Arc<Lock<ScriptedGuest>>>>,
    sink: Lock<Option<EventSink>>,
    pub(crate) trace: Trace,
}

type EventSink = Arc<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct Streams {
    last: u64,
    open: BTreeMap<StreamId, OpenedStream>,
}

impl Host {
    /// Sets a host up; the device of QEMU's guest is open and RUNNING.
    ///
    /// # Errors
    /// What is wrong in the configuration, and where.
    pub fn new(config: HostConfig) -> Result<Arc<Self>, HostError> {
        Self::with_clock(config, Arc::new(MonotonicClock::default()))
    }

    /// As [`Self::new`], with another source of the machine's time.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_clock(config: HostConfig, clock: Arc<dyn Clock>) -> Result<Arc<Self>, HostError> {
        let machine = Machine::with_clock(&config.topology, clock)?;
        let defects = Defects::default();
        let profile = config.profile.as_deref().map_or(Ok(Profile::Corrected), Profile::from_name)?;
        profile.defects().for_each(|defect| defects.set(defect, true));
        for name in &config.defects {
            defects.set(Defect::from_name(name)?, true);
        }
        let behaviour = Behaviour {
            accept_format_0: config.accept_format_0 || profile.behaviour().accept_format_0,
            without_migration: config.without_migration,
            ..profile.behaviour()
        };
        let security = Security {
            host_is_secure: AtomicBool::new(config.host_is_secure),
            guest_is_secure: AtomicBool::new(config.guest_is_secure),
        };
        let hardware = Hardware::new(Configuration::host(&machine));
        let mut bus = Bus::new(config.default_adapters, config.default_domains);
        (bus.masks_bind_unbound, bus.without_vfio_ap) = (config.masks_bind_unbound, config.without_vfio_ap);
        bus.scan(&hardware.configuration().matrix);
        config.unbound.iter().for_each(|queue| bus.unbind(queue.0));
        // There is no device yet that could be told.
        drop(bus.take_changes());
        let context = Arc::new(Context {
            hardware,
            tables: Lock::new(Tables { bus, mdevs: BTreeMap::new() }),
            log: Log::default(),
            defects,
            behaviour,
            security,
            memory_is_short: AtomicBool::new(false),
            poison: Lock::default(),
            counters: Counters::default(),
            events: Lock::default(),
        });
        let primary = Self::device(&context, &machine, &config.mdev.uuid);
        let host = Arc::new(Self {
            name: config.name,
            context,
            machine,
            devices: Lock::default(),
            primary: Arc::clone(&primary),
            streams: Lock::default(),
            guests: Lock::default(),
            sink: Lock::default(),
            trace: Trace::new(config.trace),
        });
        for mdev in std::iter::once(&config.mdev).chain(&config.others) {
            let is_primary = mdev.uuid == primary.name();
            let wrong = |reason| HostError::Mdev { uuid: mdev.uuid.clone(), reason };
            let device =
                if is_primary { Arc::clone(&primary) } else { Self::device(&host.context, &host.machine, &mdev.uuid) };
            host.add(&device).map_err(wrong)?;
            host.assign(&mdev.uuid, mdev.matrix()).map_err(wrong)?;
            if is_primary || mdev.open {
                device.open(None).map_err(wrong)?;
            }
        }
        host.context.events.lock().clear();
        Ok(host)
    }

    fn device(context: &Arc<Context>, machine: &Arc<Machine>, name: &str) -> Arc<Device> {
        Arc::new(Device::new(name.to_owned(), Arc::clone(context), Configuration::guest(machine)))
    }

    fn add(&self, device: &Arc<Device>) -> Result<(), DeviceError> {
        let name = device.name();
        if name.is_empty() || name.len() > 64 || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            let reason = "the name of a mediated device is a UUID, or up to 64 letters, digits and hyphens";
            return Err(DeviceError::refused(Errno::EINVAL, reason));
        }
        let mut devices = self.devices.lock();
        if devices.contains_key(name) {
            return Err(DeviceError::refused(Errno::EEXIST, "there is a mediated device of this name"));
        }
        let mut tables = self.context.tables.lock();
        let number = tables.mdevs.values().map(|present| present.number + 1).max().unwrap_or_default();
        tables.mdevs.insert(name.to_owned(), Assignment::new(Arc::clone(&device.door), number));
        devices.insert(name.to_owned(), Arc::clone(device));
        Ok(())
    }

    fn assign(&self, name: &str, matrix: Matrix) -> Result<(), DeviceError> {
        let mut tables = self.context.tables.lock();
        self.context.set_new_guest_config(&mut tables, name, matrix, Filtering::Allowed)
    }

    /// Creates a mediated device with nothing assigned.
    pub(crate) fn create(&self, name: &str) -> Result<(), DeviceError> {
        self.add(&Self::device(&self.context, &self.machine, name))
    }

    /// Removes a mediated device that is not open; streams of it may be.
    pub(crate) fn remove(&self, name: &str) -> Result<(), DeviceError> {
        let device = self.find(Some(name))?;
        if device.is_open() {
            let reason = format!("mediated device {name} is open; close it first");
            return Err(DeviceError::refused(Errno::EBUSY, reason));
        }
        {
            let mut tables = self.context.tables.lock();
            if let Some(gone) = tables.mdevs.remove(name) {
                config::reset(&self.context, &mut tables.bus, name, gone.linked.iter());
            }
        }
        self.guests.lock().remove(name);
        self.devices.lock().remove(name);
        Ok(())
    }

    /// What people call this host.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hardware of this host.
    #[must_use]
    pub const fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// The door for the vCPUs of QEMU's guest. No lock of this crate is behind it.
    #[must_use]
    pub fn guest(&self) -> &Arc<Configuration> {
        &self.primary.door
    }

    /// A vCPU has executed an AP instruction: kept, if the host keeps them.
    pub fn executed(&self, cpu: u32, instruction: Instruction, operands: &Operands, outcome: &Outcome) {
        self.trace.note(cpu, instruction, operands, outcome);
    }

    /// A vCPU runs again: a device stopped for a migration goes back to RUNNING before the guest's first instruction.
    /// One atomic load when there is nothing to do.
    pub fn vcpu_resumed(&self) {
        if self.primary.vcpu_resumed() {
            self.send_events();
        }
    }

    /// Executes one AP instruction as the scripted guest of a device.
    pub(crate) fn guest_execute(&self, mdev: &str, what: &GuestInstruction) -> Result<GuestState, DeviceError> {
        self.with_guest(mdev, |guest, door| guest.execute(door, what))
    }

    /// Reads the memory of a device's scripted guest.
    pub(crate) fn guest_memory(&self, mdev: &str, address: u64, length: u32) -> Result<Vec<u8>, DeviceError> {
        self.with_guest(mdev, |guest, door| guest.read(door, address, length as usize))
    }

    fn with_guest<T>(
        &self,
        mdev: &str,
        act: impl FnOnce(&mut ScriptedGuest, &Configuration) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        let device = self.find(Some(mdev))?;
        let guest = Arc::clone(self.guests.lock().entry(mdev.to_owned()).or_default());
        act(&mut guest.lock(), &device.door)
    }

    /// QEMU's guest was reset: VFIO_DEVICE_RESET, as QEMU's own vfio code issues it. vfio-ap migration spec 2.6.
    /// Replies of before whose notification bytes are not stored yet are forgotten, because the memory is another
    /// program's now.
    ///
    /// # Errors
    /// A queue could not be reset; the device's state is then what it was.
    pub fn guest_reset(&self) -> Result<(), DeviceError> {
        let done = self.primary.reset();
        drop(self.guest().take_notifications());
        self.send_events();
        done
    }

    /// The first line on a new connection.
    #[must_use]
    pub fn greeting(&self) -> String {
        serde_json::to_string(&Greeting::of(&self.name)).unwrap_or_default()
    }

    /// Has every event line from now on handed to `sink`, which must not block; it is called with no lock of this crate
    /// held, possibly on a vCPU's thread.
    pub fn on_event(&self, sink: impl Fn(&str) + Send + Sync + 'static) {
        *self.sink.lock() = Some(Arc::new(sink));
    }

    pub(crate) fn send_events(&self) {
        let events = std::mem::take(&mut *self.context.events.lock());
        let sink = self.sink.lock().clone();
        if let Some(sink) = sink {
            events.iter().filter_map(|event| serde_json::to_string(event).ok()).for_each(|line| sink(&line));
        }
    }

    /// The device of this name, or that of QEMU's guest.
    pub(crate) fn find(&self, name: Option<&str>) -> Result<Arc<Device>, DeviceError> {
        let name = name.unwrap_or_else(|| self.primary.name());
        let device = self.devices.lock().get(name).cloned();
        device.ok_or_else(|| DeviceError::refused(Errno::ENODEV, format!("there is no mediated device {name}")))
    }

    pub(crate) fn all_devices(&self) -> Vec<Arc<Device>> {
        self.devices.lock().values().cloned().collect()
    }

    /// `set_state` of a device; the stream gets a number.
    pub(crate) fn set_state(
        &self,
        mdev: Option<&str>,
        state: DeviceState,
    ) -> Result<(DeviceState, Option<StreamId>), DeviceError> {
        let device = self.find(mdev)?;
        if self.streams.lock().open.len() >= MAX_STREAMS {
            let reason = format!("{MAX_STREAMS} streams are open; close some");
            return Err(DeviceError::refused(Errno::EMFILE, reason));
        }
        let opened = device.set_state(state)?;
        let stream = opened.map(|stream| {
            let mut streams = self.streams.lock();
            streams.last += 1;
            let id = StreamId(streams.last);
            streams.open.insert(id, stream);
            id
        });
        Ok((device.state(), stream))
    }

    pub(crate) fn stream(&self, id: StreamId) -> Result<OpenedStream, DeviceError> {
        self.streams.lock().open.get(&id).cloned().ok_or_else(|| no_stream(id))
    }

    /// Closes a stream. Its session goes on: only the device ends it.
    pub(crate) fn close_stream(&self, id: StreamId) -> Result<(), DeviceError> {
        let closed = self.streams.lock().open.remove(&id).ok_or_else(|| no_stream(id))?;
        if let OpenedStream::Resuming(stream) = closed {
            stream.closed();
        }
        Ok(())
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.streams.lock().open.len()
    }
}

fn no_stream(id: StreamId) -> DeviceError {
    DeviceError::refused(Errno::EBADF, format!("stream {} is not open", id.0))
}
