// SPDX-License-Identifier: MIT OR Apache-2.0
//! What guests get and lose when the host changes: queues that vfio_ap gets and loses, and what a scan of the bus
//! finds. It does what the driver does at the same moments and nothing between them: a guest is filtered when a queue
//! of its device comes, not when what kept an adapter away goes.

use ap_arch::{Apqn, Matrix};

use crate::bus::Change;
use crate::config;
use crate::context::{Context, Tables};
use crate::queue_set::QueueSet;

impl Context {
    /// Tells the devices what the bus has done with the queues of vfio_ap, in the bus's order.
    pub(crate) fn settle(&self, tables: &mut Tables) {
        self.settle_but(tables, &Matrix::EMPTY);
    }

    /// The same, but for devices that get something of `added`: they are filtered later, once for all.
    fn settle_but(&self, tables: &mut Tables, added: &Matrix) {
        for change in tables.bus.take_changes() {
            match change {
                Change::Lost(apqn) => self.lost(tables, apqn),
                Change::Unbound(apqn) => self.hardware.zeroize_unbound(apqn),
                Change::Gained(apqn) => match gained(tables, apqn) {
                    Some(name) if gets(tables, &name, added) == Matrix::EMPTY => self.filter_again(tables, &name),
                    _ => {}
                },
            }
        }
    }

    /// A scan of the bus. What the host lost is taken from the guests first, and what it got is given to them when all
    /// new queues have their drivers. `vfio_ap_on_cfg_changed` and `vfio_ap_on_scan_complete`.
    pub(crate) fn scan(&self, tables: &mut Tables) {
        let host = self.hardware.configuration().matrix;
        let before = tables.bus.found();
        let (lost, added) = (difference(&before, &host), difference(&host, &before));
        for name in tables.names() {
            let Some(present) = tables.mdevs.get(&name) else { continue };
            let shadow = difference(&present.shadow, &lost);
            self.plug(tables, &name, shadow);
        }
        tables.bus.scan(&host);
        self.settle_but(tables, &added);
        for name in tables.names() {
            let gets = gets(tables, &name, &added);
            if !gets.adapters.is_empty() || !gets.domains.is_empty() {
                self.filter_again(tables, &name);
            }
            if !gets.control_domains.is_empty() {
                self.filter_control_domains(tables, &name);
            }
        }
    }

    /// vfio_ap loses a queue: its guest loses the adapter, of which the queues are reset. `vfio_ap_mdev_remove_queue`.
    fn lost(&self, tables: &mut Tables, apqn: Apqn) {
        let owner = tables.owner(apqn);
        let in_host = tables.bus.found().contains(apqn);
        let present = owner.as_ref().and_then(|name| tables.mdevs.get(name));
        let (shadow, linked) = present.map(|present| (present.shadow, present.linked.clone())).unwrap_or_default();
        let mut resets: Vec<Apqn> = if in_host { vec![apqn] } else { Vec::new() };
        if let Some(name) = &owner {
            if shadow.contains(apqn) {
                let mut rest = shadow;
                rest.adapters.remove(apqn.apid.0);
                self.plug(tables, name, rest);
                let adapter = Matrix { adapters: [apqn.apid.0].into_iter().collect(), ..shadow };
                resets = QueueSet::product(&adapter).intersection(&linked).iter().collect();
            }
            config::reset(self, &mut tables.bus, name, resets);
            if let Some(present) = tables.mdevs.get_mut(name) {
                let mut linked = linked;
                linked.remove(apqn);
                present.link(linked);
            }
        } else {
            config::reset(self, &mut tables.bus, "of no device", resets);
        }
        tables.bus.reset_failed.remove(apqn);
    }

    /// Filters what a device has assigned, and resets the queues of adapters that its guest loses by that.
    /// `vfio_ap_mdev_filter_matrix` and what its callers do next.
    fn filter_again(&self, tables: &mut Tables, name: &str) {
        let host = tables.bus.found();
        let Some(present) = tables.mdevs.get(name) else { return };
        let usable = present.linked.difference(&tables.bus.reset_failed);
        let control_domains = present.shadow.control_domains;
        let shadow = Matrix { control_domains, ..config::filter(&usable, &host, &present.matrix) };
        let resets = config::of_filtered(&host, &present.matrix, &present.shadow, &shadow, &present.linked);
        let resets: Vec<Apqn> = resets.iter().collect();
        self.plug(tables, name, shadow);
        config::reset(self, &mut tables.bus, name, resets);
    }

    /// Gives a guest of the control domains that are assigned those that the host has.
    pub(crate) fn filter_control_domains(&self, tables: &mut Tables, name: &str) {
        let host = tables.bus.found();
        let Some(present) = tables.mdevs.get(name) else { return };
        let control_domains = present.matrix.control_domains.intersection(host.control_domains);
        let shadow = Matrix { control_domains, ..present.shadow };
        self.plug(tables, name, shadow);
    }

    /// Gives a guest this, if it has not.
    pub(crate) fn plug(&self, tables: &mut Tables, name: &str, shadow: Matrix) {
        let Some(present) = tables.mdevs.get_mut(name).filter(|present| present.shadow != shadow) else { return };
        present.shadow = shadow;
        present.plug();
        self.emit("guest-matrix", name, &[("queues", shadow.queue_count().into())]);
    }
}

/// vfio_ap gets a queue: the device that it is assigned to, to which it is linked now.
fn gained(tables: &mut Tables, apqn: Apqn) -> Option<String> {
    tables.bus.reset_failed.remove(apqn);
    let name = tables.owner(apqn)?;
    let present = tables.mdevs.get_mut(&name)?;
    let mut linked = present.linked.clone();
    linked.insert(apqn);
    present.link(linked);
    Some(name)
}

/// What of `added` is assigned to a device.
fn gets(tables: &Tables, name: &str, added: &Matrix) -> Matrix {
    tables.mdevs.get(name).map_or(Matrix::EMPTY, |present| present.matrix.intersection(added))
}

fn difference(one: &Matrix, other: &Matrix) -> Matrix {
    Matrix {
        adapters: one.adapters.difference(other.adapters),
        domains: one.domains.difference(other.domains),
        control_domains: one.control_domains.difference(other.control_domains),
    }
}
