// SPDX-License-Identifier: MIT OR Apache-2.0
//! A factory that can be asked to make no more hosts: the case that runs puts its own back, and no other begins. For
//! devices that are somebody's, when the suite is to end.

use std::sync::atomic::{AtomicBool, Ordering};

use vfio_mig::HostControl;
use vfio_mig::conformance::{DeviceFactory, HostSetup, NoHost};

/// The factory, and whether it is stopped.
pub struct Stoppable<'a, F>(pub &'a F, pub &'a AtomicBool);

impl<F: DeviceFactory> DeviceFactory for Stoppable<'_, F> {
    fn name(&self) -> String {
        self.0.name()
    }

    fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, NoHost> {
        if self.1.load(Ordering::Acquire) {
            return Err(NoHost::Broken("interrupted".to_owned()));
        }
        self.0.host(setup)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use vfio_ap::model::ModelFactory;
    use vfio_mig::conformance::{Options, Verdict, run};

    use super::*;

    /// Sets the flag when it makes its third host.
    struct Third<'a>(&'a AtomicBool, Cell<u32>);

    impl DeviceFactory for Third<'_> {
        fn name(&self) -> String {
            "the third".to_owned()
        }

        fn host(&self, setup: &HostSetup) -> Result<Box<dyn HostControl>, NoHost> {
            self.1.set(self.1.get() + 1);
            self.0.store(self.1.get() == 3, Ordering::Release);
            ModelFactory::corrected().host(setup)
        }
    }

    #[test]
    fn who_is_told_to_stop_makes_no_more_hosts() {
        let stop = AtomicBool::new(false);
        let third = Third(&stop, Cell::new(0));
        let results = run(&Stoppable(&third, &stop), &Options::default());
        assert_eq!(third.1.get(), 3);
        assert!(results.last().is_some_and(|last| last.verdict == Verdict::Broken));
    }
}
