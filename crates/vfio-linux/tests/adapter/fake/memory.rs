// SPDX-License-Identifier: MIT OR Apache-2.0
//! The memory of the process: pages that are there, and pages that somebody is to give when they are wanted.

use std::collections::{BTreeMap, BTreeSet};

use vfio_mig::Errno;

const PAGE: u64 = 4096;

#[derive(Default)]
pub(super) struct Memory {
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
    /// Pages that are known to userfaultfd and not there.
    awaited: BTreeSet<u64>,
    /// The first page of the next region.
    next: u64,
}

/// How much of a range is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    All,
    /// So many bytes, then none ever.
    Part(usize),
    /// A page that is awaited.
    Awaited(u64),
}

impl Memory {
    pub(super) fn map(&mut self, length: usize) -> u64 {
        let first = self.next + 0x1000;
        let count = (length as u64).div_ceil(PAGE);
        // A page between two regions is never there.
        self.next += count + 1;
        self.pages.extend((first..first + count).map(|page| (page, Box::new([0; PAGE as usize]))));
        first * PAGE
    }

    pub(super) fn unmap(&mut self, address: u64, length: u64) -> Result<u64, Errno> {
        if !address.is_multiple_of(PAGE) || length == 0 {
            return Err(Errno::EINVAL);
        }
        for page in address / PAGE..(address + length).div_ceil(PAGE) {
            self.pages.remove(&page);
            self.awaited.remove(&page);
        }
        Ok(0)
    }

    /// The pages of a range are awaited from now on; their contents are gone.
    pub(super) fn await_pages(&mut self, address: u64, length: u64) -> Result<(), Errno> {
        let pages = address / PAGE..(address + length) / PAGE;
        if !address.is_multiple_of(PAGE) || pages.clone().any(|page| !self.pages.contains_key(&page)) {
            return Err(Errno::EINVAL);
        }
        for page in pages {
            self.pages.remove(&page);
            self.awaited.insert(page);
        }
        Ok(())
    }

    /// Gives an awaited page.
    pub(super) fn give_page(&mut self, to: u64, from: u64) -> Result<(), Errno> {
        let bytes = self.fetch(from, PAGE as usize)?;
        if !self.awaited.remove(&(to / PAGE)) {
            return Err(Errno::EEXIST);
        }
        let mut page = Box::new([0; PAGE as usize]);
        page.copy_from_slice(&bytes);
        self.pages.insert(to / PAGE, page);
        Ok(())
    }

    pub(super) fn there(&self, address: u64, length: usize) -> There {
        let mut done = 0;
        while done < length {
            let at = address + done as u64;
            if self.awaited.contains(&(at / PAGE)) {
                return There::Awaited(at / PAGE * PAGE);
            }
            if !self.pages.contains_key(&(at / PAGE)) {
                return There::Part(done);
            }
            done += (PAGE - at % PAGE) as usize;
        }
        There::All
    }

    pub(super) fn fetch(&self, address: u64, length: usize) -> Result<Vec<u8>, Errno> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = address + bytes.len() as u64;
            let page = self.pages.get(&(at / PAGE)).ok_or(Errno::EFAULT)?;
            let rest = &page[(at % PAGE) as usize..];
            bytes.extend_from_slice(&rest[..rest.len().min(length - bytes.len())]);
        }
        Ok(bytes)
    }

    pub(super) fn store(&mut self, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut done = 0;
        while done < bytes.len() {
            let at = address + done as u64;
            let page = self.pages.get_mut(&(at / PAGE)).ok_or(Errno::EFAULT)?;
            let space = &mut page[(at % PAGE) as usize..];
            let count = space.len().min(bytes.len() - done);
            space[..count].copy_from_slice(&bytes[done..done + count]);
            done += count;
        }
        Ok(())
    }

    pub(super) fn text(&self, address: u64) -> Result<String, Errno> {
        let mut bytes = Vec::new();
        loop {
            match self.fetch(address + bytes.len() as u64, 1)?[0] {
                0 => return String::from_utf8(bytes).map_err(|_| Errno::EINVAL),
                byte => bytes.push(byte),
            }
        }
    }
}
