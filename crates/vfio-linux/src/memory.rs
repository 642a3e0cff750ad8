// SPDX-License-Identifier: MIT OR Apache-2.0
//! Memory of the agent's process for the arguments of calls: one region, which grows, for calls that come one after the
//! other; and buffers that end where their memory does.

use crate::{CallError, SystemCalls};

/// Bytes of a page on s390x.
pub(crate) const PAGE: usize = 4096;

/// The region's first page is for paths and small structures beside the buffer.
#[derive(Clone, Default)]
pub(crate) struct Scratch {
    address: u64,
    length: usize,
}

/// Where the arguments of one call stand.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// A page.
    pub(crate) aside: u64,
    /// Room for what was asked for.
    pub(crate) buffer: u64,
}

impl Scratch {
    /// Room for so many bytes.
    pub(crate) fn room(&mut self, calls: &dyn SystemCalls, length: usize) -> Result<Place, CallError> {
        let wanted = PAGE + length.max(PAGE).next_multiple_of(PAGE);
        if self.length < wanted {
            // The smaller one stays: it is little, and whoever gave it may still copy into it.
            self.address = calls.map(wanted)?;
            self.length = wanted;
        }
        Ok(Place { aside: self.address, buffer: self.address + PAGE as u64 })
    }
}

/// A buffer of which the first bytes are there, and the memory behind them begins with a page of its own.
#[derive(Clone, Copy)]
pub(crate) struct Edge {
    /// The region.
    pub(crate) region: u64,
    /// Its length in bytes.
    pub(crate) length: usize,
    /// The first byte behind those that are there.
    pub(crate) edge: u64,
    /// Where the buffer begins.
    pub(crate) buffer: u64,
}

impl Edge {
    /// Fresh memory for a buffer of `length` bytes of which `there` are before the edge.
    pub(crate) fn new(calls: &dyn SystemCalls, there: usize, length: usize) -> Result<Self, CallError> {
        let before = there.next_multiple_of(PAGE);
        let after = length.saturating_sub(there).max(1).next_multiple_of(PAGE);
        let region = calls.map(before + after)?;
        let edge = region + before as u64;
        Ok(Self { region, length: before + after, edge, buffer: edge - there as u64 })
    }
}
