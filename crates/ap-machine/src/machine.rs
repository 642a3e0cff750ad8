// SPDX-License-Identifier: MIT OR Apache-2.0
//! All the AP hardware of one host.

use std::sync::Arc;

use ap_arch::{Apid, Apqn, QciBlock};

use crate::adapter::Adapter;
use crate::apcb::SharedMatrix;
use crate::topology::{Facilities, Topology, TopologyError};

/// Adapters and their queues. Guests and the host reach them through a [`crate::Configuration`].
pub struct Machine {
    pub(crate) installed: bool,
    pub(crate) facilities: Facilities,
    /// Highest adapter and domain numbers.
    pub(crate) limits: (u8, u8),
    /// QCI flags and Na, Nd; its matrix is not used.
    pub(crate) qci: QciBlock,
    /// What is plugged, assigned and controlled.
    pub(crate) present: SharedMatrix,
    adapters: Box<[Adapter]>,
}

impl Machine {
    /// Builds the machine.
    ///
    /// # Errors
    /// A topology that cannot be: see [`Topology::check`].
    pub fn new(topology: &Topology) -> Result<Arc<Self>, TopologyError> {
        topology.check()?;
        let adapters: Box<[Adapter]> = std::iter::repeat_with(Adapter::default).take(256).collect();
        for (apid, spec) in &topology.adapters {
            let info = spec.hw_info(topology.apxa, topology.apsc, topology.limits().1);
            adapters[usize::from(apid.0)].plug(info, spec.state);
        }
        Ok(Arc::new(Self {
            installed: topology.installed,
            facilities: topology.facilities,
            limits: topology.limits(),
            qci: qci_frame(topology),
            present: SharedMatrix::new(&topology.matrix()),
            adapters,
        }))
    }

    /// Whether an adapter and a domain of these numbers can exist; naming another one is a specification exception.
    pub(crate) fn can_exist(&self, apqn: Apqn) -> bool {
        apqn.apid.0 <= self.limits.0 && apqn.apqi.0 <= self.limits.1
    }

    pub(crate) fn adapter(&self, apid: Apid) -> &Adapter {
        &self.adapters[usize::from(apid.0)]
    }
}

/// Flags and maxima of the QCI block. AP reference 3.
fn qci_frame(topology: &Topology) -> QciBlock {
    let flag = |on: bool, bit: u32| if on { bit } else { 0 };
    let flags = flag(topology.apsc, QciBlock::APSC)
        | flag(topology.apxa, QciBlock::APXA)
        | flag(topology.qact, QciBlock::QACT)
        | flag(topology.rc8a, QciBlock::RC8A)
        | flag(topology.apsb, QciBlock::APSB);
    let (max_adapter, max_domain) = topology.limits();
    QciBlock { flags, max_adapter, max_domain, matrix: ap_arch::Matrix::EMPTY }
}
