// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading hardware information for a stream, on both sides, and writing the stream. vfio-ap migration spec 4.2 and
//! 5.3.

use std::sync::atomic::Ordering;

use ap_arch::stream::{QueueEntry, StreamFormat, StreamHeader};
use ap_arch::{Apqn, HwInfo, Mask256, Matrix, QueueStatus, ResponseCode};
use vfio_mig::{DeviceError, Errno};

use super::quirk;
use crate::context::Context;
use crate::defect::Defect;
use crate::hardware::Tested;
use crate::message;

/// Hardware information of a queue, with the response code it came with. Logs what is wrong.
///
/// # Errors
/// ENODEV, EIO: vfio-ap migration spec 5.3.
pub(crate) fn hardware_info(context: &Context, mdev: &str, apqn: Apqn) -> Result<(HwInfo, ResponseCode), DeviceError> {
    let with_facilities = !context.defects.on(Defect::TapqWithoutTBit);
    let Tested { status, info } = context.hardware.tapq(apqn, with_facilities);
    let response = status.response();
    let failure = |errno, line: String| {
        context.log.error(line.as_str());
        Err(DeviceError::refused(errno, line))
    };
    match response {
        ResponseCode::NORMAL
        | ResponseCode::RESET_IN_PROGRESS
        | ResponseCode::DECONFIGURED
        | ResponseCode::CHECKSTOPPED
        | ResponseCode::BUSY => {}
        ResponseCode::Q_NOT_AVAIL => {
            let tidied = context.behaviour.tidied_messages;
            return failure(Errno::ENODEV, message::queue_gone(mdev, apqn, response, tidied));
        }
        _ if status.has(QueueStatus::ASYNC) != context.defects.on(Defect::AsyncErrorCheckInverted) => {}
        _ => return failure(Errno::EIO, message::queue_failed(mdev, apqn, response)),
    }
    if info.0 == 0 && !context.defects.on(Defect::ZeroHwinfoAccepted) {
        return failure(Errno::EIO, message::queue_failed(mdev, apqn, response));
    }
    Ok((info, response))
}

/// Whether control domains are neither saved on one side nor restored on the other.
pub(crate) fn drops_control_domains(context: &Context) -> bool {
    context.defects.on(Defect::ControlDomainsDropped)
}

/// Bytes of the stream that carries `shadow`.
pub(crate) fn size(format: StreamFormat, shadow: &Matrix) -> u64 {
    format.stream_size(queue_count(shadow))
}

fn queue_count(shadow: &Matrix) -> u32 {
    u32::try_from(shadow.queue_count()).unwrap_or(u32::MAX)
}

/// The stream that carries `shadow`, as it is now.
///
/// # Errors
/// ENOMEM, and those of [`hardware_info`].
pub(crate) fn take(context: &Context, mdev: &str, shadow: &Matrix) -> Result<Vec<u8>, DeviceError> {
    let control_domains = if drops_control_domains(context) { Mask256::EMPTY } else { shadow.control_domains };
    let header = StreamHeader::new(context.behaviour.format, queue_count(shadow), control_domains);
    let mut bytes = Vec::new();
    let length = usize::try_from(header.stream_size()).unwrap_or(usize::MAX);
    allocate(context, &mut bytes, length, length)?;
    bytes.extend(quirk::header_bytes(context, &header));
    for apqn in shadow.queues() {
        let (info, _) = hardware_info(context, mdev, apqn)?;
        bytes.extend_from_slice(&QueueEntry { info, apqn }.to_bytes());
    }
    Ok(bytes)
}

/// The most that can be had contiguously where that is asked for.
const LARGEST_CONTIGUOUS_BLOCK: usize = 64 * 1024;

/// Makes room for `more` bytes in a buffer that is to hold `total`.
///
/// # Errors
/// ENOMEM.
pub(crate) fn allocate(context: &Context, buffer: &mut Vec<u8>, total: usize, more: usize) -> Result<(), DeviceError> {
    let contiguous = total > LARGEST_CONTIGUOUS_BLOCK && context.defects.on(Defect::LargeContiguousAllocation);
    let short = context.memory_is_short.load(Ordering::Relaxed);
    if contiguous || short || buffer.try_reserve_exact(more).is_err() {
        return Err(DeviceError::refused(Errno::ENOMEM, format!("no memory for a stream of {total} bytes")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture::{config, errno};

    #[test]
    fn the_driver_that_wants_contiguous_memory_gets_64_kib_and_no_more() {
        let room = |defects: &[Defect], total| {
            let mut config = config();
            config.defects = defects.iter().map(|defect| defect.name().to_owned()).collect();
            allocate(&crate::Host::new(config).unwrap().context, &mut Vec::new(), total, 1).map_err(errno)
        };
        assert_eq!(room(&[Defect::LargeContiguousAllocation], 64 * 1024), Ok(()));
        assert_eq!(room(&[Defect::LargeContiguousAllocation], 64 * 1024 + 1), Err(Errno::ENOMEM));
        assert_eq!(room(&[], 64 * 1024 + 1), Ok(()));
    }
}
