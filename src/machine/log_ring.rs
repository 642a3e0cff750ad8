// SPDX-License-Identifier: MIT OR Apache-2.0
//! The log's home: defmt frames go into a ring in guest memory, which migrates with the guest and can be read from
//! outside at any time, also after a crash. The layout is `ap_arch::log_ring`'s. Traps do not log: they could interrupt
//! a frame.

use super::clock;
use ap_arch::log_ring::{HEADER_LEN, MAGIC};
use core::cell::UnsafeCell;
use core::mem::offset_of;
use s390x_asm::Tod;
use spin::Once;
use spin::mutex::{SpinMutex, SpinMutexGuard};

const CAPACITY: usize = 64 << 10;

#[repr(C)]
struct Contents {
    magic: u64,
    capacity: u64,
    written: u64,
    frames: u64,
    bytes: [u8; CAPACITY],
}

const _: () = assert!(offset_of!(Contents, bytes) == HEADER_LEN && cfg!(target_endian = "big"));

/// Memory that is also read from outside.
#[repr(transparent)]
struct Ring(UnsafeCell<Contents>);

// SAFETY: only the holder of `WRITER` touches the contents.
unsafe impl Sync for Ring {}

// SAFETY: nothing else has this name, which the harness looks up.
#[unsafe(no_mangle)]
static KAPUT_LOG: Ring =
    Ring(UnsafeCell::new(Contents { magic: 0, capacity: 0, written: 0, frames: 0, bytes: [0; CAPACITY] }));

struct Writer {
    encoder: defmt::Encoder,
    position: usize,
}

static WRITER: SpinMutex<Writer> = SpinMutex::new(Writer { encoder: defmt::Encoder::new(), position: 0 });
static BOOT: Once<Tod> = Once::new();

/// Writes the header. The ring stands in storage without file contents, which would be 64 KiB of zeros in the image.
pub(super) fn start() {
    BOOT.call_once(clock::now);
    let _writer = WRITER.lock();
    let contents = KAPUT_LOG.0.get();
    // SAFETY: the lock keeps everybody else from the contents.
    unsafe {
        (*contents).capacity = CAPACITY as u64;
        (&raw mut (*contents).magic).write_volatile(MAGIC);
    }
}

impl Writer {
    /// Puts bytes into the ring, over the oldest ones.
    fn put(position: &mut usize, bytes: &[u8]) {
        let contents = KAPUT_LOG.0.get();
        for byte in bytes {
            // SAFETY: the caller holds the lock.
            unsafe { (*contents).bytes[*position] = *byte };
            *position = (*position + 1) % CAPACITY;
        }
        // SAFETY: the caller holds the lock; the count follows the bytes it counts, also for a reader outside.
        unsafe {
            let written = &raw mut (*contents).written;
            written.write_volatile(written.read() + bytes.len() as u64);
        }
    }
}

#[defmt::global_logger]
struct RingLogger;

// SAFETY: the lock is taken in `acquire` and given back in `release`, and every access between them is the holder's.
unsafe impl defmt::Logger for RingLogger {
    fn acquire() {
        let mut writer = WRITER.lock();
        let Writer { encoder, position } = &mut *writer;
        encoder.start_frame(|bytes| Writer::put(position, bytes));
        SpinMutexGuard::leak(writer);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: `acquire` leaked the guard, so the writer is ours until the lock is given back below.
        unsafe {
            let Writer { encoder, position } = &mut *WRITER.as_mut_ptr();
            encoder.end_frame(|bytes| Writer::put(position, bytes));
            (*KAPUT_LOG.0.get()).frames += 1;
            WRITER.force_unlock();
        }
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: as in `release`.
        let Writer { encoder, position } = unsafe { &mut *WRITER.as_mut_ptr() };
        encoder.write(bytes, |bytes| Writer::put(position, bytes));
    }
}

defmt::timestamp!("{=u64:us}", clock::now().micros_since(BOOT.get().copied().unwrap_or_default()));

#[defmt::panic_handler]
fn panic() -> ! {
    core::panic!("defmt")
}
