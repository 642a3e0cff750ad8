// SPDX-License-Identifier: MIT OR Apache-2.0
//! A device under test in another process, behind the control socket: the traits of `vfio-mig` by requests of the
//! control protocol. Every case gets hosts of its own there (`host-create`), one for each connection; a connection that
//! is free again serves the next host.
//!
//! Blocking, because the traits are; every read has a deadline.

mod connection;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vfio_ap::control::{ControlHost, Empty, Request};
use vfio_ap::model::ModelFactory;
use vfio_mig::conformance::{DeviceFactory, HostSetup, NoHost};
use vfio_mig::{DeviceError, HostControl};

use connection::{Connection, Link, Pool};

/// Makes hosts in the process behind a socket.
pub struct RemoteFactory {
    socket: PathBuf,
    driver: ModelFactory,
    free: Pool,
}

impl RemoteFactory {
    /// Connects; the process must speak the protocol.
    ///
    /// # Errors
    /// Why it cannot be asked.
    pub fn connect(socket: &Path, driver: ModelFactory) -> Result<Self, DeviceError> {
        let first = Connection::open(socket)?;
        Ok(Self { socket: socket.to_owned(), driver, free: Arc::new(Mutex::new(vec![first])) })
    }

    fn connection(&self) -> Result<Connection, DeviceError> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.map_or_else(|| Connection::open(&self.socket), Ok)
    }
}

impl DeviceFactory for RemoteFactory {
    fn name(&self) -> String {
        format!("{} behind {}", self.driver.name(), self.socket.display())
    }

    fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, NoHost> {
        let config = self.driver.config(setup).map_err(NoHost::Unfit)?;
        let made = self.connection().and_then(|connection| {
            let Empty {} = connection.call(Request::HostCreate { config: Box::new(config) })?;
            Ok(connection)
        });
        let connection = made.map_err(|error| NoHost::Broken(error.to_string()))?;
        Ok(Box::new(ControlHost(Link::new(connection, Arc::clone(&self.free)))))
    }
}
