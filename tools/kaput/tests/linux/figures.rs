// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the plugin costs Linux: CPU time of QEMU for a boot to user space and for a load there (compress, unpack,
//! hash), without the plugin, with it, and with it and the interruption facility. One run of each after the other, as
//! often as asked for, in lines that `cargo xtask bench` reads.

use crate::guest::{From, Linux, Plan, Sources};

/// Without the plugin, with it, and with interruptions.
const KINDS: [(&str, &[&str]); 3] = [
    ("bare", &[]),
    ("polling", &["--ap", "05=cex8a,06=cex8c/33,3a"]),
    ("interrupts", &["--ap", "05=cex8a,06=cex8c/33,3a", "--interrupts"]),
];

const LOAD: &str = "for round in 1 2 3 4; do gzip -c /bin/busybox | gzip -dc | sha256sum; \
                    xzcat /lib/zcrypt.ko.xz | md5sum; done > /tmp/sums";

/// Measures and prints.
pub(crate) fn print(sources: &Sources, runs: u32) -> Result<(), String> {
    for run in 0..runs {
        // Turns the order round, so that a machine that gets slower favours nobody.
        let mut kinds = KINDS;
        if run % 2 == 1 {
            kinds.reverse();
        }
        for (kind, ap) in kinds {
            let mut linux = Linux::boot(sources, Plan { ap, cpus: 1, kernel: "", from: From::Options })?;
            let boot = linux.cpu_time()?;
            linux.run(LOAD)?;
            let load = linux.cpu_time()? - boot;
            println!("bench: name=linux-boot-{kind} ns-each={}", boot.as_nanos());
            println!("bench: name=linux-load-{kind} ns-each={}", load.as_nanos());
        }
    }
    Ok(())
}
