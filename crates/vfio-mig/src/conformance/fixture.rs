// SPDX-License-Identifier: MIT OR Apache-2.0
//! The hosts of the cases, and streams made by hand.

use ap_arch::stream::{QueueEntry, StreamFormat, StreamHeader};
use ap_arch::{Apqn, HwInfo, Mask256, Matrix};

/// Name of the migrating guest's device: adapters 04, 05; domains 0033, 003a; control domains 0033, 003a, 0044.
pub const A: &str = "a";
/// Name of another device with a running guest: adapter 06; domains 0033, 003a.
pub const B: &str = "b";
/// Name of a device with a guest and nothing assigned.
pub const C: &str = "c";

/// All queues: CEX8, CCA, native.
pub(super) const CCA8: HwInfo = HwInfo(0xf380_0000_0e00_0000);

/// A host as a case wants it. All queues are bound to vfio_ap unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSetup {
    /// Adapters, domains and control domains of the host.
    pub host: Matrix,
    /// Hardware information of every queue; depth, message size and number of domains do not matter.
    pub info: HwInfo,
    /// Its mediated devices; each is open with a guest.
    pub mdevs: Vec<MdevSetup>,
    /// Queues bound to no driver.
    pub unbound: Vec<Apqn>,
    /// Queues of these adapters and domains are reserved for the default drivers.
    pub reserved: (Mask256, Mask256),
    /// AQIC is available, and an engine takes a microsecond for a request.
    pub interruption: bool,
    /// A device that emits this format is wanted; `None`: whatever it emits.
    pub format: Option<StreamFormat>,
    /// Highest domain number of the host.
    pub max_domain: u8,
}

/// One mediated device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdevSetup {
    /// Its name.
    pub name: String,
    /// What is assigned.
    pub matrix: Matrix,
}

impl HostSetup {
    /// The host whose device A has its guest's configuration; adapter 07 is free.
    #[must_use]
    pub fn source() -> Self {
        let mdevs = [(A, matrix_a()), (B, matrix(&[6], &[0x33, 0x3a], &[])), (C, Matrix::EMPTY)];
        Self {
            host: matrix(&[4, 5, 6, 7], &[0x33, 0x3a], &[0x33, 0x3a, 0x44, 0x55]),
            info: CCA8,
            mdevs: mdevs.into_iter().map(|(name, matrix)| MdevSetup { name: name.to_owned(), matrix }).collect(),
            unbound: Vec::new(),
            reserved: (Mask256::EMPTY, Mask256::EMPTY),
            interruption: false,
            format: None,
            max_domain: 0xff,
        }
    }

    /// The same host with nothing assigned to A.
    #[must_use]
    pub fn destination() -> Self {
        let mut setup = Self::source();
        setup.mdevs[0].matrix = Matrix::EMPTY;
        setup
    }

    pub(super) fn with_format_0(mut self) -> Self {
        self.format = Some(StreamFormat::Posted);
        self
    }

    pub(super) fn with_interruption(mut self) -> Self {
        self.interruption = true;
        self
    }

    /// With this assigned to A.
    pub(super) fn assigned(mut self, matrix: Matrix) -> Self {
        self.mdevs[0].matrix = matrix;
        self
    }
}

pub(super) fn mask(numbers: &[u8]) -> Mask256 {
    numbers.iter().copied().collect()
}

pub(super) fn matrix(adapters: &[u8], domains: &[u8], control_domains: &[u8]) -> Matrix {
    Matrix { adapters: mask(adapters), domains: mask(domains), control_domains: mask(control_domains) }
}

pub(super) fn matrix_a() -> Matrix {
    matrix(&[4, 5], &[0x33, 0x3a], &[0x33, 0x3a, 0x44])
}

/// A stream made by hand.
pub(super) fn stream(format: StreamFormat, queues: &[(Apqn, HwInfo)], control_domains: Mask256) -> Vec<u8> {
    let count = u32::try_from(queues.len()).unwrap_or(u32::MAX);
    let mut bytes = StreamHeader::new(format, count, control_domains).to_bytes().to_vec();
    for (apqn, info) in queues {
        bytes.extend(QueueEntry { info: *info, apqn: *apqn }.to_bytes());
    }
    bytes
}
