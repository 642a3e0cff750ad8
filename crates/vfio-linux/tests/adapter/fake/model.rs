// SPDX-License-Identifier: MIT OR Apache-2.0
//! The driver: the model, by its control protocol.

use std::sync::Arc;

use ap_arch::{Mask256, Matrix};
use serde::de::DeserializeOwned;
use vfio_ap::control::{Empty, HostReply, Reply, Request, RequestFrame};
use vfio_ap::model::ModelFactory;
use vfio_ap::{Host, MdevConfig, Session};
use vfio_mig::Errno;
use vfio_mig::conformance::HostSetup;

/// A device that the model cannot be without until it is made.
const FIRST: &str = "first";

pub(super) struct Model(Session);

impl Model {
    /// The driver on hardware as `setup` has it, as a kernel is after its boot: every queue is the host's.
    pub(super) fn boot(driver: &ModelFactory, setup: &HostSetup) -> Result<Self, String> {
        let mut config = driver.config(setup)?;
        config.mdev = MdevConfig { uuid: FIRST.to_owned(), ..MdevConfig::default() };
        config.others.clear();
        config.unbound.clear();
        (config.default_adapters, config.default_domains) = (Mask256::FULL, Mask256::FULL);
        let any = ModelFactory::corrected().config(&HostSetup::source())?;
        let shared: Arc<Host> = Host::new(any).map_err(|error| error.to_string())?;
        let mut model = Self(Session::new(shared, |_| {}));
        let path = format!("/sys/devices/vfio_ap/matrix/{FIRST}/remove");
        for request in [
            Request::HostCreate { config: Box::new(config) },
            Request::DeviceClose { mdev: None },
            Request::SysfsWrite { path, value: "1".to_owned() },
        ] {
            let Empty {} = model.ask(request).map_err(|error| error.to_string())?;
        }
        Ok(model)
    }

    /// Asks; an error of another kind than the driver's is a fault of this kernel.
    pub(super) fn ask<T: DeserializeOwned>(&mut self, request: Request) -> Result<T, Errno> {
        let line = self.0.line(&RequestFrame::new(request, 0).to_line());
        let reply: Reply = serde_json::from_str(&line).expect("a reply");
        reply.into_result().map_err(|error| Errno::from_name(&error.class).unwrap_or_else(|| panic!("{error}")))
    }

    pub(super) fn order(&mut self, request: Request) -> Result<u64, Errno> {
        self.ask(request).map(|Empty {}| 0)
    }

    /// What the guest of a device has; nothing without a device.
    pub(super) fn guest(&mut self, uuid: &str) -> Matrix {
        let host: HostReply = self.ask(Request::QueryHost {}).expect("a host");
        let Some(found) = host.mdevs.into_iter().find(|mdev| mdev.uuid == uuid) else { return Matrix::EMPTY };
        Matrix {
            adapters: mask(&found.guest_adapters),
            domains: mask(&found.guest_domains),
            control_domains: mask(&found.guest_control_domains),
        }
    }
}

fn mask(text: &str) -> Mask256 {
    let word = |i: usize| u64::from_str_radix(&text[2 + 16 * i..18 + 16 * i], 16).expect("hex digits");
    Mask256::from_words(std::array::from_fn(word))
}
