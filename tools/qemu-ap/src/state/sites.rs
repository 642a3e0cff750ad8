// SPDX-License-Identifier: GPL-2.0-or-later
//! Where the guest's interesting instructions stand. A callback needs the address (the PC register is stale inside a
//! block) and the decoded instruction; both are kept here from translation until QEMU throws its code cache away, which
//! bounds their number.

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Mutex, PoisonError};

/// One instruction of the guest's, decoded.
pub(crate) struct Site<I> {
    /// Its logical address.
    pub(crate) address: u64,
    pub(crate) instruction: I,
}

/// Address and bytes: an address can hold another instruction later, or in another address space.
type Key = (u64, [u8; 6]);

/// All sites of one kind of instruction in the code cache.
pub(crate) struct Sites<I>(Mutex<HashMap<Key, Box<Site<I>>>>);

impl<I> Sites<I> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// The site for a callback's user data: the same one for the same instruction at the same address.
    pub(crate) fn intern(&self, address: u64, bytes: [u8; 6], instruction: I) -> *mut c_void {
        let mut sites = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let site = sites.entry((address, bytes)).or_insert_with(|| Box::new(Site { address, instruction }));
        std::ptr::from_ref::<Site<I>>(site).cast_mut().cast()
    }

    /// Forgets every site; QEMU calls for it with all vCPUs stopped and their translated code gone.
    pub(crate) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
