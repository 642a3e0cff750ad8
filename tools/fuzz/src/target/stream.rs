// SPDX-License-Identifier: MIT OR Apache-2.0
//! A migration stream, written to a destination in pieces. The first byte of the input says how it is cut and which
//! driver reads it. Whatever it is, the destination has either all of it or is what it was before.

use ap_arch::stream::StreamView;
use vfio_ap::model::ModelFactory;
use vfio_ap::profile::Profile;
use vfio_mig::conformance::{A, DeviceFactory, HostSetup};
use vfio_mig::{DeviceError, DeviceState, Errno, HostControl, MigrationDevice};

use super::{Target, kind_of};

/// Piece sizes; the last is everything at once.
const PIECES: [usize; 8] = [1, 3, 8, 16, 17, 48, 64, usize::MAX];

/// Errors that a write may be answered with. vfio-ap migration spec 4.4.
const ALLOWED: [Errno; 7] = [
    Errno::EINVAL,
    Errno::EIO,
    Errno::ENODEV,
    Errno::EFAULT,
    Errno::EADDRINUSE,
    Errno::EADDRNOTAVAIL,
    Errno::ECANCELED,
];

pub(super) struct Stream {
    format_0: Box<dyn HostControl>,
    format_1: Box<dyn HostControl>,
}

impl Stream {
    pub(super) fn new() -> Self {
        Self { format_0: destination(Profile::Format0), format_1: destination(Profile::Corrected) }
    }
}

fn destination(profile: Profile) -> Box<dyn HostControl> {
    let factory = ModelFactory { profile, defects: Vec::new() };
    match factory.host(&HostSetup::destination()) {
        Ok(host) => host,
        Err(reason) => unreachable!("the usual destination can be made: {reason}"),
    }
}

impl Target for Stream {
    fn read(&mut self, input: &[u8]) -> Result<u64, String> {
        let (first, bytes) = input.split_first().unwrap_or((&0, &[]));
        let profile = if first & 0x80 != 0 { Profile::Format0 } else { Profile::Corrected };
        let host = if first & 0x80 != 0 { &self.format_0 } else { &self.format_1 };
        let _either = StreamView::parse(bytes, first & 0x40 != 0).map(|view| view.entries().count());
        let answer = offer(&**host, bytes, PIECES[usize::from(first & 7)])?;
        if answer == "accepted" || host.log(0).map_or(0, |log| log.len()) > 10_000 {
            // It has what it was offered, or has much to remember: the next input finds a fresh one.
            let fresh = destination(profile);
            if profile == Profile::Format0 { self.format_0 = fresh } else { self.format_1 = fresh }
        }
        Ok(kind_of(&answer) ^ u64::from(first & 0x80))
    }
}

fn offer(host: &dyn HostControl, bytes: &[u8], piece: usize) -> Result<String, String> {
    let device = host.device(A);
    let words = |error: DeviceError| error.to_string();
    let resets = host.reset_counts().map_err(words)?;
    let stream = device.set_state(DeviceState::RESUMING).map_err(words)?.ok_or("no stream")?;
    let written = write_all(&*device, stream, bytes, piece);
    let stopped = device.set_state(DeviceState::STOP);
    device.close(stream).map_err(words)?;
    let guest = host.sysfs_read("/sys/devices/vfio_ap/matrix/a/guest_matrix").map_err(words)?;
    match (written, stopped) {
        (Ok(()), Ok(_)) => {
            device.set_state(DeviceState::RUNNING).map_err(words)?;
            if guest.trim().is_empty() && bytes.len() > 48 {
                return Err("the whole stream was accepted and the guest has nothing of it".to_owned());
            }
            Ok("accepted".to_owned())
        }
        // An incomplete stream is EINVAL; after a refused write the way out has the write's error.
        (written, Err(DeviceError::Refused { errno: stopped, .. }))
            if stopped == written.as_ref().err().and_then(DeviceError::errno).unwrap_or(Errno::EINVAL) =>
        {
            if !guest.trim().is_empty() {
                return Err(format!("refused, and the guest has {guest}"));
            }
            if host.reset_counts().map_err(words)? != resets {
                return Err("refused, and queues were reset".to_owned());
            }
            let state = device.state().map_err(words)?;
            if state != DeviceState::ERROR {
                return Err(format!("refused, and the state is {state}"));
            }
            device.reset().map_err(words)?;
            match written {
                Ok(()) => Ok("incomplete".to_owned()),
                Err(DeviceError::Refused { errno, detail }) if ALLOWED.contains(&errno) => {
                    Ok(format!("{errno}: {detail}"))
                }
                Err(error) => Err(format!("a write was answered with {error}")),
            }
        }
        (written, stopped) => Err(format!("writes ended with {written:?}, and the way to stop with {stopped:?}")),
    }
}

fn write_all(
    device: &dyn MigrationDevice,
    stream: vfio_mig::StreamId,
    mut bytes: &[u8],
    piece: usize,
) -> Result<(), DeviceError> {
    while !bytes.is_empty() {
        let (now, rest) = bytes.split_at(piece.min(bytes.len()));
        device.write(stream, now)?;
        bytes = rest;
    }
    Ok(())
}
