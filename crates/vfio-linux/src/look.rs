// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many attributes at one look: their files stay open, and one exchange with the agent reads them all. A device that
//! went and came again has other files, which are opened anew.

use std::collections::BTreeMap;

use vfio_mig::{DeviceError, Errno};

use crate::linux::{descriptor, names_of, returned};
use crate::memory::PAGE;
use crate::{Fd, Linux, number};

/// Bytes of the longest entry of a folder: `struct linux_dirent64` with a name of 255 bytes.
const LONGEST_ENTRY: usize = 280;

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// What an attribute says.
    File(String),
    /// The last part of what a link says.
    Link(String),
    /// The names in a folder, in its order, a line each.
    Folder(String),
}

impl Look {
    /// The same with another path.
    pub(crate) fn with_path(&self, other: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::File(path) => Self::File(other(path)),
            Self::Link(path) => Self::Link(other(path)),
            Self::Folder(path) => Self::Folder(other(path)),
        }
    }

    fn path(&self) -> &str {
        let (Self::File(path) | Self::Link(path) | Self::Folder(path)) = self;
        path
    }

    /// Bytes of it that are read.
    const fn length(&self) -> usize {
        match self {
            Self::Folder(_) => PAGE,
            Self::File(_) => 512,
            Self::Link(_) => 256,
        }
    }

    /// Whether there may be more of it than these many bytes, which were read.
    const fn may_go_on(&self, read: usize) -> bool {
        match self {
            Self::Folder(_) => read + LONGEST_ENTRY > self.length(),
            Self::File(_) | Self::Link(_) => read >= self.length(),
        }
    }

    /// What the bytes say that were read.
    fn text(&self, bytes: &[u8]) -> String {
        match self {
            Self::Folder(_) => names_of(bytes).iter().map(|name| format!("{name}\n")).collect(),
            Self::File(_) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Link(_) => String::from_utf8_lossy(bytes).rsplit('/').next().unwrap_or_default().to_owned(),
        }
    }
}

/// The files that are open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Looker(BTreeMap<String, Fd>);

/// A call of a look and whether its result is the look's.
type Call = (u64, [u64; 6]);

impl Looker {
    /// What is seen of each.
    ///
    /// # Errors
    /// Those of the connection; the kernel's are what is seen.
    pub(crate) fn look(&mut self, linux: &Linux, looks: &[Look]) -> Result<Vec<Result<String, Errno>>, DeviceError> {
        let mut seen = vec![Err(Errno::ENODEV); looks.len()];
        let mut pending: Vec<usize> = (0..looks.len()).collect();
        // A file of a device that is gone says ENODEV; the second time it is that of the device that is there.
        for _ in 0..2 {
            let opened = self.open(linux, looks, &pending, &mut seen)?;
            pending = self.read(linux, looks, &opened, &mut seen)?;
        }
        Ok(seen)
    }

    /// Opens what is not open; those of `pending` that can be read.
    fn open(
        &mut self,
        linux: &Linux,
        looks: &[Look],
        pending: &[usize],
        seen: &mut [Result<String, Errno>],
    ) -> Result<Vec<usize>, DeviceError> {
        let is_closed = |index: &&usize| {
            let look = &looks[**index];
            !matches!(look, Look::Link(_)) && !self.0.contains_key(look.path())
        };
        let closed: Vec<usize> = pending.iter().filter(is_closed).copied().collect();
        let open =
            |path: u64, _: usize, _: u64| vec![(number::OPENAT, [number::AT_FDCWD, path, number::O_RDONLY, 0, 0, 0])];
        let results = in_one_go(linux, looks, &closed, open, |_, result, _| result)?;
        let mut opened: Vec<usize> = pending.iter().filter(|index| !closed.contains(index)).copied().collect();
        for (index, result) in closed.into_iter().zip(results) {
            match result {
                Ok(file) => {
                    self.0.insert(looks[index].path().to_owned(), descriptor(file)?);
                    opened.push(index);
                }
                Err(errno) => seen[index] = Err(errno),
            }
        }
        Ok(opened)
    }

    /// Reads what is open; those whose device is gone, with their files closed.
    fn read(
        &mut self,
        linux: &Linux,
        looks: &[Look],
        opened: &[usize],
        seen: &mut [Result<String, Errno>],
    ) -> Result<Vec<usize>, DeviceError> {
        let calls = |path: u64, index: usize, buffer: u64| {
            let file = self.0.get(looks[index].path()).map_or(0, |file| u64::from(file.0));
            let length = looks[index].length() as u64;
            match &looks[index] {
                Look::Link(_) => vec![(number::READLINK, [path, buffer, length, 0, 0, 0])],
                Look::File(_) => vec![(number::PREAD64, [file, buffer, length, 0, 0, 0])],
                Look::Folder(_) => vec![
                    (number::LSEEK, [file, 0, number::SEEK_SET, 0, 0, 0]),
                    (number::GETDENTS64, [file, buffer, length, 0, 0, 0]),
                ],
            }
        };
        let text = |index: usize, result: Result<u64, Errno>, bytes: &[u8]| {
            let count = |count: u64| usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len());
            result.map(count).map(|count| (!looks[index].may_go_on(count)).then(|| looks[index].text(&bytes[..count])))
        };
        let results = in_one_go(linux, looks, opened, calls, text)?;
        let mut gone = Vec::new();
        for (index, result) in opened.iter().copied().zip(results) {
            if matches!(result, Err(Errno::ENODEV))
                && let Some(file) = self.0.remove(looks[index].path())
            {
                linux.close(file)?;
                gone.push(index);
            }
            let what = || format!("{} says more than {} bytes", looks[index].path(), looks[index].length());
            seen[index] = match result {
                Ok(Some(text)) => Ok(text),
                Ok(None) => return Err(DeviceError::Transport(what())),
                Err(errno) => Err(errno),
            };
        }
        Ok(gone)
    }
}

/// Makes calls for each of the looks in `which`, each look with its path and a buffer of its own in the memory there;
/// what becomes of the result of the last call and of the buffer.
fn in_one_go<T>(
    linux: &Linux,
    looks: &[Look],
    which: &[usize],
    calls: impl Fn(u64, usize, u64) -> Vec<Call>,
    done: impl Fn(usize, Result<u64, Errno>, &[u8]) -> T,
) -> Result<Vec<T>, DeviceError> {
    if which.is_empty() {
        return Ok(Vec::new());
    }
    let (mut paths, mut at) = (Vec::new(), Vec::new());
    for index in which {
        at.push(paths.len() as u64);
        paths.extend(looks[*index].path().bytes().chain([0]));
    }
    let buffers = paths.len().next_multiple_of(PAGE);
    let lengths = which.iter().map(|index| looks[*index].length());
    let mut scratch = linux.scratch();
    let place = scratch.room(&*linux.calls, buffers + lengths.clone().sum::<usize>())?;
    linux.calls.poke(place.buffer, &paths)?;
    let (mut all, mut last, mut pieces, mut end) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for ((index, path), length) in which.iter().zip(at).zip(lengths) {
        all.extend(calls(place.buffer + path, *index, place.buffer + (buffers + end) as u64));
        last.push(all.len() - 1);
        pieces.push(end..end + length);
        end += length;
    }
    let values = linux.call_all(&all)?;
    let bytes = linux.calls.peek(place.buffer + buffers as u64, end)?;
    let result = |((index, last), piece): ((&usize, usize), std::ops::Range<usize>)| {
        let result = returned(values[last]).map_err(|error| error.errno().unwrap_or(Errno::EIO));
        done(*index, result, &bytes[piece])
    };
    Ok(which.iter().zip(last).zip(pieces).map(result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_fills_its_room_may_go_on() {
        let (file, folder) = (Look::File("matrix".to_owned()), Look::Folder("/sys".to_owned()));
        assert!(!file.may_go_on(511) && file.may_go_on(512));
        assert!(!folder.may_go_on(PAGE - LONGEST_ENTRY) && folder.may_go_on(PAGE - LONGEST_ENTRY + 1));
    }
}
