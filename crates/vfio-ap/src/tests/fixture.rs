// SPDX-License-Identifier: MIT OR Apache-2.0
//! The fixture of the tests: the hosts of the catalogue's conventions, and shorthand for the uAPI.

use std::sync::Arc;

use ap_arch::{Apqn, Mask256, Matrix};
use vfio_mig::{DeviceError, DeviceState, Errno, StreamId};

use crate::{Host, HostConfig};

/// The migrating guest's device: adapters 04, 05; domains 0033, 003a; control domains 0033, 003a, 0044.
pub(crate) const A: &str = "a";
/// Another device with a running guest: adapter 06.
pub(crate) const B: &str = "b";
/// A device with a guest and nothing assigned.
pub(crate) const C: &str = "c";

/// A host with adapters 04 to 07, all CEX8, CCA, native; devices A, B, C; adapter 07 free.
pub(crate) fn config() -> HostConfig {
    let card = r#"{"kind": "cex8c", "facilities": "0xf3800000"}"#;
    HostConfig::from_json(&format!(
        r#"{{"name": "host",
        "topology": {{"adapters": {{"04": {card}, "05": {card}, "06": {card}, "07": {card}}},
                      "domains": ["33", "3a"], "control-domains": ["33", "3a", "44", "55"]}},
        "mdev": {{"uuid": "a", "adapters": ["04", "05"], "domains": ["33", "3a"],
          "control-domains": ["33", "3a", "44"]}},
        "others": [{{"uuid": "b", "adapters": ["06"], "domains": ["33", "3a"], "open": true}},
          {{"uuid": "c", "open": true}}]}}"#
    ))
    .unwrap()
}

/// The destination: the same host, nothing assigned to A yet.
pub(crate) fn destination_config() -> HostConfig {
    let mut config = config();
    config.mdev = crate::MdevConfig { uuid: A.to_owned(), ..Default::default() };
    config
}

pub(crate) fn host() -> Arc<Host> {
    Host::new(config()).unwrap()
}

pub(crate) fn destination() -> Arc<Host> {
    Host::new(destination_config()).unwrap()
}

pub(crate) fn mask(numbers: &[u8]) -> Mask256 {
    numbers.iter().copied().collect()
}

pub(crate) fn matrix(adapters: &[u8], domains: &[u8], control_domains: &[u8]) -> Matrix {
    Matrix { adapters: mask(adapters), domains: mask(domains), control_domains: mask(control_domains) }
}

/// What A has in [`config`].
pub(crate) fn matrix_a() -> Matrix {
    matrix(&[4, 5], &[0x33, 0x3a], &[0x33, 0x3a, 0x44])
}

/// The uAPI of device A in short words.
pub(crate) trait Verbs {
    /// `S:…->state`; the stream if one was opened.
    fn go(&self, state: DeviceState) -> Result<Option<StreamId>, Errno>;
    /// `S:…->state` that must open a stream.
    fn open_stream(&self, state: DeviceState) -> StreamId;
    fn now(&self) -> DeviceState;
    fn w(&self, stream: StreamId, bytes: &[u8]) -> Result<usize, Errno>;
    fn r(&self, stream: StreamId, length: usize) -> Result<Vec<u8>, Errno>;
    fn device_reset(&self) -> Result<(), Errno>;
    /// A's complete valid stream.
    fn full(&self) -> Vec<u8>;
    /// What the guest of `mdev` has.
    fn guest_of(&self, mdev: &str) -> Matrix;
    fn resets(&self, adapter: u8, domain: u8) -> u64;
    /// Texts of all lines at level error.
    fn errors(&self) -> Vec<String>;
}

impl Verbs for Arc<Host> {
    fn go(&self, state: DeviceState) -> Result<Option<StreamId>, Errno> {
        self.set_state(Some(A), state).map(|(_, stream)| stream).map_err(errno)
    }

    fn open_stream(&self, state: DeviceState) -> StreamId {
        self.go(state).unwrap().expect("the arc opened no stream")
    }

    fn now(&self) -> DeviceState {
        self.find(Some(A)).unwrap().state()
    }

    fn w(&self, stream: StreamId, bytes: &[u8]) -> Result<usize, Errno> {
        self.write(stream, bytes, None, None).map_err(errno)
    }

    fn r(&self, stream: StreamId, length: usize) -> Result<Vec<u8>, Errno> {
        self.read(stream, length, None, None).map_err(errno)
    }

    fn device_reset(&self) -> Result<(), Errno> {
        self.find(Some(A)).unwrap().reset().map_err(errno)
    }

    fn full(&self) -> Vec<u8> {
        let stream = self.open_stream(DeviceState::STOP_COPY);
        let bytes = self.r(stream, 1 << 21).unwrap();
        self.close_stream(stream).unwrap();
        self.go(DeviceState::RUNNING).unwrap();
        bytes
    }

    fn guest_of(&self, mdev: &str) -> Matrix {
        self.find(Some(mdev)).unwrap().door.apcb()
    }

    fn resets(&self, adapter: u8, domain: u8) -> u64 {
        self.context.hardware.reset_counts().get(&Apqn::new(adapter, domain)).copied().unwrap_or_default()
    }

    fn errors(&self) -> Vec<String> {
        let lines = self.context.log.since(0, usize::MAX).lines.into_iter();
        lines.filter(|line| line.level == vfio_mig::LogLevel::Error).map(|line| line.text).collect()
    }
}

pub(crate) fn errno(error: DeviceError) -> Errno {
    error.errno().unwrap()
}
