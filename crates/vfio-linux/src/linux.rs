// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls with names and types, each with a deadline. A call that does not return is given up with its thread;
//! the next ones are made on another.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use agent_protocol::Refusal;
use vfio_mig::{DeviceError, Errno};

use crate::memory::{PAGE, Place, Scratch};
use crate::{CallError, SystemCalls, Thread, number};

/// A file that is open there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fd(pub u32);

/// One look at a call that is under way.
const SLICE: Duration = Duration::from_millis(500);

/// A look that takes this long was answered by a machine that was kept from running: it says nothing about the call.
const LATE: Duration = Duration::from_millis(900);

/// How long a call is looked at on a machine that answers late each time. Then nobody waits for this machine again: a
/// kernel that spins on all CPUs lets the agent through now and then.
const LONGEST: Duration = Duration::from_secs(60);

/// Bytes of a file or a folder that is read whole, at most.
const LONGEST_FILE: usize = 16 << 20;

/// Bytes of a file that one call reads.
const PIECE: usize = 64 * 1024;

/// A Linux by its system calls.
pub struct Linux {
    pub(crate) calls: Arc<dyn SystemCalls>,
    patience: Duration,
    /// The thread for calls that come one after the other.
    main: AtomicU32,
    next_thread: AtomicU32,
    /// Threads that nobody has any more.
    free_threads: Mutex<Vec<Thread>>,
    scratch: Mutex<Scratch>,
    /// Whether it answers late each time.
    is_stuck: AtomicBool,
    /// Whether a call has been given up.
    has_hung: AtomicBool,
}

impl Linux {
    /// By these calls, each of which may take `patience` of a machine that runs.
    #[must_use]
    pub fn new(calls: Arc<dyn SystemCalls>, patience: Duration) -> Self {
        Self::beside(calls, patience, 0)
    }

    /// The same beside another: with threads from this one on, which nobody else uses.
    #[must_use]
    pub fn beside(calls: Arc<dyn SystemCalls>, patience: Duration, first: u32) -> Self {
        let (free_threads, scratch) = (Mutex::default(), Mutex::default());
        let (main, next_thread, is_stuck) = (AtomicU32::new(first), AtomicU32::new(first + 1), AtomicBool::new(false));
        let has_hung = AtomicBool::new(false);
        Self { calls, patience, main, next_thread, free_threads, scratch, is_stuck, has_hung }
    }

    /// The same Linux behind other calls, with what it has open and mapped: it was kept and goes on elsewhere.
    pub(crate) fn copy_on(&self, calls: Arc<dyn SystemCalls>) -> Self {
        let same = |number: &AtomicU32| AtomicU32::new(number.load(Ordering::Relaxed));
        let free_threads = self.free_threads.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self {
            calls,
            patience: self.patience,
            main: same(&self.main),
            next_thread: same(&self.next_thread),
            free_threads: Mutex::new(free_threads),
            scratch: Mutex::new(self.scratch().clone()),
            is_stuck: AtomicBool::new(false),
            has_hung: AtomicBool::new(false),
        }
    }

    /// From now on each call may take that long.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// A thread that nobody has.
    pub(crate) fn take_thread(&self) -> Thread {
        let free = self.free_threads.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| Thread(self.next_thread.fetch_add(1, Ordering::Relaxed)))
    }

    /// Gives a thread back that has no call.
    pub(crate) fn give_thread(&self, thread: Thread) {
        self.free_threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }

    pub(crate) fn scratch(&self) -> MutexGuard<'_, Scratch> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call on the thread for all calls.
    ///
    /// # Errors
    /// The kernel's, and [`DeviceError::Hung`].
    pub fn call(&self, number: u64, arguments: [u64; 6]) -> Result<u64, DeviceError> {
        self.check_stuck()?;
        loop {
            let thread = Thread(self.main.load(Ordering::Relaxed));
            let first = match self.calls.run(thread, number, arguments, SLICE) {
                // A call hangs on it that somebody made before us.
                Err(CallError::Refused { refusal: Refusal::BUSY, .. }) => {
                    self.main.store(self.take_thread().0, Ordering::Relaxed);
                    continue;
                }
                first => first?,
            };
            let done = first.map_or_else(|| self.finish(thread, number), Ok);
            if matches!(done, Err(DeviceError::Hung(_))) {
                self.main.store(self.take_thread().0, Ordering::Relaxed);
            }
            return returned(done?);
        }
    }

    /// Makes a call on a thread.
    ///
    /// # Errors
    /// The kernel's, and [`DeviceError::Hung`].
    pub fn call_on(&self, thread: Thread, number: u64, arguments: [u64; 6]) -> Result<u64, DeviceError> {
        self.check_stuck()?;
        let first = self.calls.run(thread, number, arguments, SLICE)?;
        returned(first.map_or_else(|| self.finish(thread, number), Ok)?)
    }

    fn check_stuck(&self) -> Result<(), DeviceError> {
        let is_stuck = self.is_stuck.load(Ordering::Relaxed);
        if is_stuck { Err(DeviceError::Hung("this machine has hung before".to_owned())) } else { Ok(()) }
    }

    /// Makes calls that wait for nothing, one after the other, in one exchange; what each returned.
    pub(crate) fn call_all(&self, calls: &[(u64, [u64; 6])]) -> Result<Vec<i64>, DeviceError> {
        self.check_stuck()?;
        let thread = Thread(self.main.load(Ordering::Relaxed));
        let values = self.calls.run_all(thread, calls, self.patience)?;
        values.into_iter().collect::<Option<_>>().ok_or_else(|| {
            self.has_hung.store(true, Ordering::Relaxed);
            self.main.store(self.take_thread().0, Ordering::Relaxed);
            DeviceError::Hung(format!("one of {} calls has not returned", calls.len()))
        })
    }

    /// Waits for a call that has begun. Only looks count that the machine answered in time: one that is kept from
    /// running by others makes every call slow.
    pub(crate) fn finish(&self, thread: Thread, number: u64) -> Result<i64, DeviceError> {
        let slices = u32::try_from(self.patience.as_millis() / SLICE.as_millis()).unwrap_or(u32::MAX).max(1);
        let (mut counted, first) = (0, Instant::now());
        while counted < slices && first.elapsed() < LONGEST {
            let begin = Instant::now();
            if let Some(result) = self.calls.wait(thread, SLICE)? {
                return Ok(result);
            }
            counted += u32::from(begin.elapsed() < LATE);
        }
        self.is_stuck.store(counted < slices, Ordering::Relaxed);
        self.has_hung.store(true, Ordering::Relaxed);
        let (name, seconds) = (number::name(number), self.patience.as_secs_f32());
        Err(DeviceError::Hung(format!("{name} on thread {} has not returned after {seconds} s", thread.0)))
    }

    /// Whether a call has been given up: what it does goes on.
    pub(crate) fn has_hung(&self) -> bool {
        self.has_hung.load(Ordering::Relaxed)
    }

    /// Stores a path, or another text, with its end.
    pub(crate) fn poke_text(&self, address: u64, text: &str) -> Result<(), DeviceError> {
        if text.len() >= PAGE || text.contains('\0') {
            return Err(Errno::EINVAL.into());
        }
        Ok(self.calls.poke(address, &[text.as_bytes(), &[0]].concat())?)
    }

    /// Opens a file.
    ///
    /// # Errors
    /// The kernel's.
    pub fn open(&self, path: &str, flags: u64) -> Result<Fd, DeviceError> {
        let mut scratch = self.scratch();
        let place = scratch.room(&*self.calls, 0)?;
        self.poke_text(place.aside, path)?;
        self.call(number::OPENAT, [number::AT_FDCWD, place.aside, flags, 0, 0, 0]).and_then(descriptor)
    }

    /// Closes it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn close(&self, fd: Fd) -> Result<(), DeviceError> {
        self.call(number::CLOSE, [fd.0.into(), 0, 0, 0, 0, 0]).map(drop)
    }

    /// Reads up to so many bytes.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(&self, fd: Fd, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.read_by(length, |place| (number::READ, [fd.0.into(), place.buffer, length as u64, 0, 0, 0]))
    }

    /// Reads up to so many bytes from an offset.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read_at(&self, fd: Fd, offset: u64, length: usize) -> Result<Vec<u8>, DeviceError> {
        self.read_by(length, |place| (number::PREAD64, [fd.0.into(), place.buffer, length as u64, offset, 0, 0]))
    }

    /// A call that fills the buffer and returns how much of it.
    fn read_by(&self, length: usize, call: impl FnOnce(Place) -> (u64, [u64; 6])) -> Result<Vec<u8>, DeviceError> {
        let mut scratch = self.scratch();
        let place = scratch.room(&*self.calls, length)?;
        let (number, arguments) = call(place);
        let count = usize::try_from(self.call(number, arguments)?).unwrap_or(usize::MAX);
        if count > length {
            return Err(DeviceError::Transport(format!("{} of {length} bytes returned {count}", number::name(number))));
        }
        Ok(self.calls.peek(place.buffer, count)?)
    }

    /// Writes; how many bytes were taken.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&self, fd: Fd, bytes: &[u8]) -> Result<usize, DeviceError> {
        self.write_by(bytes, |place| (number::WRITE, [fd.0.into(), place.buffer, bytes.len() as u64, 0, 0, 0]))
    }

    /// Writes at an offset; how many bytes were taken.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write_at(&self, fd: Fd, offset: u64, bytes: &[u8]) -> Result<usize, DeviceError> {
        self.write_by(bytes, |place| (number::PWRITE64, [fd.0.into(), place.buffer, bytes.len() as u64, offset, 0, 0]))
    }

    fn write_by(&self, bytes: &[u8], call: impl FnOnce(Place) -> (u64, [u64; 6])) -> Result<usize, DeviceError> {
        let mut scratch = self.scratch();
        let place = scratch.room(&*self.calls, bytes.len())?;
        self.calls.poke(place.buffer, bytes)?;
        let (number, arguments) = call(place);
        Ok(usize::try_from(self.call(number, arguments)?).unwrap_or(usize::MAX))
    }

    /// A request to a file's driver with a number.
    ///
    /// # Errors
    /// The kernel's.
    pub fn control(&self, fd: Fd, request: u64, value: u64) -> Result<u64, DeviceError> {
        self.call(number::IOCTL, [fd.0.into(), request, value, 0, 0, 0])
    }

    /// A request to a file's driver with a structure, which the driver may change.
    ///
    /// # Errors
    /// The kernel's.
    pub fn control_with(&self, fd: Fd, request: u64, structure: &[u8]) -> Result<Vec<u8>, DeviceError> {
        let mut scratch = self.scratch();
        let place = scratch.room(&*self.calls, structure.len())?;
        self.calls.poke(place.buffer, structure)?;
        self.control(fd, request, place.buffer)?;
        Ok(self.calls.peek(place.buffer, structure.len())?)
    }

    /// Reads a file to its end.
    ///
    /// # Errors
    /// The kernel's, and [`DeviceError::Transport`] for a file without end.
    pub fn read_file(&self, path: &str) -> Result<Vec<u8>, DeviceError> {
        self.whole(path, number::READ)
    }

    /// Everything that a call says of what is open, again and again until it says nothing.
    fn whole(&self, path: &str, number: u64) -> Result<Vec<u8>, DeviceError> {
        let fd = self.open(path, number::O_RDONLY)?;
        let mut bytes = Vec::new();
        let end = loop {
            match self.read_by(PIECE, |place| (number, [fd.0.into(), place.buffer, PIECE as u64, 0, 0, 0])) {
                Ok(piece) if piece.is_empty() => break Ok(()),
                Ok(piece) => bytes.extend(piece),
                Err(error) => break Err(error),
            }
            if bytes.len() > LONGEST_FILE {
                break Err(DeviceError::Transport(format!("{path} does not end")));
            }
        };
        self.close(fd)?;
        end.map(|()| bytes)
    }

    /// Writes an attribute by one call.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write_file(&self, path: &str, text: &str) -> Result<(), DeviceError> {
        let fd = self.open(path, number::O_WRONLY)?;
        let written = self.write(fd, text.as_bytes());
        self.close(fd)?;
        match written {
            Ok(count) if count == text.len() => Ok(()),
            Ok(count) => Err(DeviceError::Transport(format!("{path} took {count} of {} bytes", text.len()))),
            Err(error) => Err(error),
        }
    }

    /// The names in a folder, in its order.
    ///
    /// # Errors
    /// The kernel's, and [`DeviceError::Transport`] for a folder without end.
    pub fn list(&self, path: &str) -> Result<Vec<String>, DeviceError> {
        Ok(names_of(&self.whole(path, number::GETDENTS64)?))
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read_link(&self, path: &str) -> Result<String, DeviceError> {
        let text = {
            let mut scratch = self.scratch();
            let place = scratch.room(&*self.calls, PAGE)?;
            self.poke_text(place.aside, path)?;
            let count = self.call(number::READLINK, [place.aside, place.buffer, PAGE as u64, 0, 0, 0])?;
            self.calls.peek(place.buffer, usize::try_from(count).unwrap_or(PAGE).min(PAGE))?
        };
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Mounts a file system of this type, with a folder made for it; what is there already stays.
    ///
    /// # Errors
    /// The kernel's.
    pub fn mount(&self, kind: &str, folder: &str) -> Result<(), DeviceError> {
        let mut scratch = self.scratch();
        let place = scratch.room(&*self.calls, PAGE)?;
        self.poke_text(place.aside, folder)?;
        self.poke_text(place.buffer, kind)?;
        accept(self.call(number::MKDIR, [place.aside, 0o755, 0, 0, 0, 0]), Errno::EEXIST)?;
        accept(self.call(number::MOUNT, [place.buffer, place.aside, place.buffer, 0, 0, 0]), Errno::EBUSY)
    }

    /// Gives memory back.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn unmap(&self, address: u64, length: usize) -> Result<(), DeviceError> {
        self.call(number::MUNMAP, [address, length as u64, 0, 0, 0, 0]).map(drop)
    }
}

/// An error that is as good as success.
fn accept(result: Result<u64, DeviceError>, good: Errno) -> Result<(), DeviceError> {
    match result {
        Err(error) if error.errno() != Some(good) => Err(error),
        _ => Ok(()),
    }
}

/// What a call returned: a value, or an error as its negated number.
pub(crate) fn returned(value: i64) -> Result<u64, DeviceError> {
    u64::try_from(value).map_err(|_| Errno(u16::try_from(value.unsigned_abs()).unwrap_or(u16::MAX)).into())
}

/// A value that is a file's number.
pub(crate) fn descriptor(value: u64) -> Result<Fd, DeviceError> {
    let no_file = |_| DeviceError::Transport(format!("{value} is no file's number"));
    u32::try_from(value).map(Fd).map_err(no_file)
}

/// Names of `struct linux_dirent64`: inode and offset in 64 bits, length in 16, type in 8, name; but for the folder and
/// the one above it.
pub(crate) fn names_of(mut entries: &[u8]) -> Vec<String> {
    const NAME: usize = 19;
    let mut names = Vec::new();
    while let Some(length) = entries.get(16..18).and_then(<[u8]>::first_chunk).map(|bytes| u16::from_be_bytes(*bytes)) {
        let Some((entry, rest)) = entries.split_at_checked(length.into()).filter(|_| usize::from(length) > NAME) else {
            break;
        };
        let name = entry[NAME..].split(|byte| *byte == 0).next().unwrap_or_default();
        names.push(String::from_utf8_lossy(name).into_owned());
        entries = rest;
    }
    names.retain(|name| name != "." && name != "..");
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, length: u16) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes.extend(length.to_be_bytes());
        bytes.push(4);
        bytes.extend(name.as_bytes());
        bytes.resize(bytes.len().max(length.into()), 0);
        bytes
    }

    #[test]
    fn folders_are_read_and_damaged_ones_end_early() {
        let entries = [entry(".", 24), entry("card04", 32), entry("04.0033", 32)].concat();
        assert_eq!(names_of(&entries), ["card04", "04.0033"]);
        assert_eq!(names_of(&entries[..60]), ["card04"]);
        for length in [0, 1, 19] {
            assert_eq!(names_of(&entry("x", length)), [""; 0]);
        }
    }

    /// Threads 0 and 1 have calls of somebody else's.
    struct Busy;

    impl SystemCalls for Busy {
        fn map(&self, _: usize) -> Result<u64, CallError> {
            Ok(0x1000)
        }

        fn poke(&self, _: u64, _: &[u8]) -> Result<(), CallError> {
            Ok(())
        }

        fn peek(&self, _: u64, length: usize) -> Result<Vec<u8>, CallError> {
            Ok(vec![0; length])
        }

        fn call(&self, thread: Thread, _: u64, _: [u64; 6]) -> Result<(), CallError> {
            let busy = CallError::Refused { refusal: Refusal::BUSY, errno: 0 };
            if thread.0 < 2 { Err(busy) } else { Ok(()) }
        }

        fn start(&self, _: &[Thread]) -> Result<(), CallError> {
            Ok(())
        }

        fn wait(&self, thread: Thread, _: Duration) -> Result<Option<i64>, CallError> {
            Ok(Some(thread.0.into()))
        }
    }

    #[test]
    fn a_thread_on_which_anothers_call_hangs_is_passed_by() {
        let linux = Linux::new(Arc::new(Busy), SLICE);
        assert_eq!([linux.call(1, [0; 6]), linux.call(1, [0; 6])], [Ok(2), Ok(2)]);
    }

    #[test]
    fn negative_results_are_error_numbers_of_any_size() {
        assert_eq!(returned(7), Ok(7));
        assert_eq!(returned(-22), Err(Errno::EINVAL.into()));
        assert_eq!(returned(i64::MIN), Err(Errno(u16::MAX).into()));
    }
}
