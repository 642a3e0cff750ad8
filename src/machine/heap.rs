// SPDX-License-Identifier: MIT OR Apache-2.0
//! The heap: everything behind the image.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::NonNull;
use linked_list_allocator::Heap;
use spin::Mutex;

// SAFETY: the linker script has it; only its address is taken.
unsafe extern "C" {
    /// First byte behind the image, set by the linker script.
    static __image_end: u8;
}

/// Enough for what the suites observe; less storage than this is not worth starting with.
const MINIMUM: usize = 1 << 20;
/// More is never needed, and what is not touched is not migrated.
const MAXIMUM: usize = 64 << 20;

struct LockedHeap(Mutex<Heap>);

#[global_allocator]
static HEAP: LockedHeap = LockedHeap(Mutex::new(Heap::empty()));

/// The last page of main storage belongs to what is to outlive a re-IPL.
const LAST_PAGE: usize = 4096;

/// Takes the storage behind the image; `None` if `memory`, the size of main storage, leaves too little.
pub(crate) fn start(memory: u64) -> Option<()> {
    let bottom = &raw const __image_end;
    let available = usize::try_from(memory).unwrap_or(usize::MAX).checked_sub(bottom.addr() + LAST_PAGE)?;
    let size = available.min(MAXIMUM);
    if size < MINIMUM {
        return None;
    }
    // SAFETY: the storage from the end of the image to the last page of main storage is used by nothing else.
    unsafe { HEAP.0.lock().init(bottom.cast_mut(), size) };
    Some(())
}

// SAFETY: `Heap` hands out disjoint blocks of storage it was given, and the lock keeps its lists consistent.
unsafe impl GlobalAlloc for LockedHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: by the contract of `GlobalAlloc` the block was allocated here with this layout.
            unsafe { self.0.lock().deallocate(block, layout) };
        }
    }
}
