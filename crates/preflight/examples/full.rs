// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long two full hosts take, 256 adapters by 256 domains each: written into folders that look like sysfs, collected
//! from there and judged.
//!
//! `cargo run --release -p preflight --example full`

use std::fs;
use std::path::Path;
use std::time::Instant;

use ap_arch::{Apid, Apqn, Mask256};
use preflight::{Directory, Host, Pair, RULES, Verdict, collect, judge};

fn put(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)
}

fn write(root: &Path, is_source: bool) -> std::io::Result<()> {
    let (devices, driver) = (root.join("bus/ap/devices"), root.join("bus/ap/drivers/vfio_ap"));
    let mdev = root.join("devices/vfio_ap/matrix/669d9b23-fe1b-4ecb-be08-a2fabca99b71");
    for folder in [&devices, &driver, &mdev, &root.join("firmware/uv")] {
        fs::create_dir_all(folder)?;
    }
    let (all, none) = (Mask256::FULL, Mask256::EMPTY);
    put(&root.join("firmware/uv/prot_virt_guest"), "0\n")?;
    for (file, text) in [("apmask", &none), ("aqmask", &none), ("ap_control_domain_mask", &all)] {
        put(&root.join("bus/ap").join(file), &format!("{text}\n"))?;
    }
    put(&root.join("devices/vfio_ap/matrix/features"), "guest_matrix hotplug ap_config migratable\n")?;
    let assigned = if is_source { all } else { none };
    put(&mdev.join("ap_config"), &format!("{assigned},{assigned},{assigned}\n"))?;
    let queues: String = Apqn::all().map(|apqn| format!("{apqn}\n")).collect();
    let listed = if is_source { queues.as_str() } else { "" };
    for (file, text) in [("matrix", listed), ("guest_matrix", listed), ("control_domains", "0033\n")] {
        put(&mdev.join(file), text)?;
    }
    for adapter in (0..=255).map(Apid) {
        let card = devices.join(format!("card{adapter}"));
        fs::create_dir(&card)?;
        for (file, text) in
            [("hwtype", "14\n"), ("ap_functions", "0x92800000\n"), ("config", "1\n"), ("chkstop", "0\n")]
        {
            put(&card.join(file), text)?;
        }
    }
    for apqn in Apqn::all() {
        let queue = devices.join(apqn.to_string());
        fs::create_dir(&queue)?;
        for (file, text) in [("config", "1\n"), ("chkstop", "0\n"), ("ap_functions", "0x92800000\n")] {
            put(&queue.join(file), text)?;
        }
        std::os::unix::fs::symlink(&queue, driver.join(apqn.to_string()))?;
    }
    Ok(())
}

/// Processor time of this process so far, user and system, in ms: on a busy machine the wall clock says little.
fn processor_ms() -> std::io::Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    Ok((ticks(11) + ticks(12)) * 10)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    write(folders[0].path(), true)?;
    write(folders[1].path(), false)?;
    for round in 1..=3 {
        let (start, before) = (Instant::now(), processor_ms()?);
        let source = Host::new(&collect::collect(&Directory::new(folders[0].path())?))?;
        let destination = Host::new(&collect::collect(&Directory::new(folders[1].path())?))?;
        let collected = start.elapsed();
        let pair = Pair::new(&source, &destination, None, None)?;
        let judgement = judge(&pair, RULES, false);
        let all = start.elapsed();
        assert_eq!((judgement.verdict(), judgement.subjects().len()), (Verdict::Yes, 65_537));
        println!(
            "round {round}: collected {} ms, judged {} ms, together {} ms; processor time {} ms",
            collected.as_millis(),
            (all - collected).as_millis(),
            all.as_millis(),
            processor_ms()? - before
        );
    }
    Ok(())
}
