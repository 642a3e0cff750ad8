// SPDX-License-Identifier: MIT OR Apache-2.0
//! Prints what the model costs: building a host, and moving the largest configuration there is.
//!
//! `cargo run --release -p vfio-ap --example figures`

use std::sync::Arc;
use std::time::{Duration, Instant};

use ap_arch::Mask256;
use vfio_ap::model::ModelFactory;
use vfio_ap::mutants::mutants;
use vfio_ap::{Host, HostConfig, MdevConfig};
use vfio_mig::conformance::{DeviceFactory, HostSetup, MdevSetup, Options, run};
use vfio_mig::{DeviceState, HostControl};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (time, _) = best_of(20, || Host::new(small()));
    println!("small host built in {time:?}");
    let full = ap_arch::Matrix { adapters: Mask256::FULL, domains: Mask256::FULL, control_domains: Mask256::FULL };
    let setup = |matrix| HostSetup {
        host: full,
        mdevs: vec![MdevSetup { name: "a".to_owned(), matrix }],
        ..HostSetup::source()
    };
    let source = ModelFactory::corrected().host(&setup(full))?;
    let target = ModelFactory::corrected().host(&setup(ap_arch::Matrix::EMPTY))?;
    for _ in 0..3 {
        hand_over(source.as_ref(), target.as_ref())?;
    }
    decode(source.as_ref())?;
    let start = Instant::now();
    let results = run(&ModelFactory::corrected(), &Options { dangerous: true, ..Options::default() });
    println!("conformance suite, {} cases: {:?}", results.len(), start.elapsed());
    let start = Instant::now();
    let count = mutants(&Options { dangerous: true, ..Options::default() }).len();
    println!("{count} mutants: {:?}", start.elapsed());
    Ok(())
}

fn small() -> HostConfig {
    let mdev = MdevConfig { uuid: "a".to_owned(), ..MdevConfig::default() };
    HostConfig { name: "small".to_owned(), mdev, ..HostConfig::default() }
}

fn best_of<T>(rounds: usize, mut work: impl FnMut() -> T) -> (Duration, Option<T>) {
    let mut best = (Duration::MAX, None);
    for _ in 0..rounds {
        let start = Instant::now();
        let result = work();
        best = (best.0.min(start.elapsed()), Some(result));
    }
    best
}

/// 65,536 queues: snapshot, read, write with validation and application.
fn hand_over(source: &dyn HostControl, target: &dyn HostControl) -> Result<(), Box<dyn std::error::Error>> {
    let (from, to) = (source.device("a"), target.device("a"));
    let start = Instant::now();
    let reading = from.set_state(DeviceState::STOP_COPY)?.ok_or("no stream")?;
    let snapshot = start.elapsed();
    let bytes = from.read(reading, 1 << 21)?;
    let read = start.elapsed() - snapshot;
    let writing = to.set_state(DeviceState::RESUMING)?.ok_or("no stream")?;
    to.write(writing, &bytes)?;
    let all = start.elapsed();
    println!(
        "65,536 queues: snapshot {snapshot:?}, read {read:?}, validate and apply {:?}, all {all:?}",
        all - snapshot - read
    );
    for (device, stream) in [(&from, reading), (&to, writing)] {
        device.set_state(DeviceState::RUNNING)?;
        device.close(stream)?;
    }
    Ok(())
}

/// Decoding and comparing entries, without hardware.
fn decode(source: &dyn HostControl) -> Result<(), Box<dyn std::error::Error>> {
    let device = source.device("a");
    let stream = device.set_state(DeviceState::STOP_COPY)?.ok_or("no stream")?;
    let bytes = device.read(stream, 1 << 21)?;
    let view = ap_arch::stream::StreamView::parse(&bytes, false)?;
    let other: Arc<[u64]> = view.entries().map(|entry| entry.info.0).collect();
    let (time, _) = best_of(20, || {
        view.product().is_ok()
            && view.entries().zip(other.iter()).all(|(entry, info)| vfio_ap::is_compatible(entry.info, *info))
    });
    println!("decode and compare: {:.0} million entries/s", 65_536.0 / time.as_secs_f64() / 1e6);
    Ok(())
}
