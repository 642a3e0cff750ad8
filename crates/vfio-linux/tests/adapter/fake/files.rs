// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls on files.

use std::collections::BTreeSet;

use vfio_ap::control::{DataReply, HexBytes, LogReply, Request, WriteReply};
use vfio_mig::{Errno, LogLevel, StreamId};

use super::memory::There;
use super::{Call, Outcome, State};

/// An open file.
pub(super) enum Open {
    /// A file whose content was made when it was opened.
    Content {
        bytes: Vec<u8>,
        at: usize,
    },
    /// An attribute, open for writing.
    Attribute {
        path: String,
    },
    /// A folder, and whether its entries were read.
    Folder {
        names: Vec<String>,
        is_read: bool,
    },
    /// The kernel's log, and the number of the next line.
    Kmsg {
        next: u64,
    },
    Kvm,
    /// A VM and the thread that made it.
    Vm {
        thread: u32,
    },
    /// KVM's device for the files of VFIO, with those that it knows.
    VmFiles {
        vm: u64,
        known: BTreeSet<u64>,
    },
    Iommu {
        address_spaces: u32,
    },
    Container {
        is_set: bool,
    },
    Group {
        uuid: String,
        container: Option<u64>,
    },
    /// A device; `vm`: it is open for that VM.
    Device {
        uuid: String,
        vm: Option<u64>,
    },
    Stream(StreamId),
    /// The number of the allocation that fails: none of this kernel's does.
    FailNth {
        number: String,
    },
    Faults {
        is_ready: bool,
        wanted: Vec<u64>,
    },
}

pub(super) mod number {
    pub(in super::super) const READ: u64 = 3;
    pub(in super::super) const WRITE: u64 = 4;
    pub(in super::super) const CLOSE: u64 = 6;
    pub(in super::super) const LSEEK: u64 = 19;
    pub(in super::super) const MOUNT: u64 = 21;
    pub(in super::super) const MKDIR: u64 = 39;
    pub(in super::super) const IOCTL: u64 = 54;
    pub(in super::super) const READLINK: u64 = 85;
    pub(in super::super) const MUNMAP: u64 = 91;
    pub(in super::super) const PREAD64: u64 = 180;
    pub(in super::super) const PWRITE64: u64 = 181;
    pub(in super::super) const GETDENTS64: u64 = 220;
    pub(in super::super) const GETTID: u64 = 236;
    pub(in super::super) const OPENAT: u64 = 288;
    pub(in super::super) const USERFAULTFD: u64 = 355;
}

/// Thread ids are their numbers, and so many more.
pub(super) const FIRST_THREAD_ID: u64 = 100;

impl State {
    pub(super) fn add(&mut self, file: Open) -> u64 {
        self.last_file += 1;
        self.files.insert(self.last_file, file);
        self.last_file
    }

    /// One system call.
    pub(super) fn call(&mut self, thread: u32, Call { number, arguments }: Call) -> Outcome {
        let [first, second, third, fourth, ..] = arguments;
        match number {
            number::READ => self.read(first, second, third, None),
            number::PREAD64 => self.read(first, second, third, Some(fourth)),
            number::WRITE => self.write(first, second, third, None),
            number::PWRITE64 => self.write(first, second, third, Some(fourth)),
            number::CLOSE => self.close(first).into(),
            number::LSEEK => self.seek_to_end(first, second, third).into(),
            number::MOUNT => self.mount(second, third).into(),
            number::MKDIR => Err(Errno::EEXIST).into(),
            number::IOCTL => self.ioctl(thread, first, second, third).into(),
            number::READLINK => self.read_link(first, second, third).into(),
            number::MUNMAP => self.memory.unmap(first, second).into(),
            number::GETDENTS64 => self.entries(first, second, third).into(),
            number::GETTID => Outcome::Returned(FIRST_THREAD_ID + u64::from(thread)),
            number::OPENAT => {
                assert_eq!(first, (-100i64).cast_unsigned(), "paths are absolute");
                self.memory.text(second).and_then(|path| self.open(&path, third)).into()
            }
            number::USERFAULTFD => Outcome::Returned(self.add(Open::Faults { is_ready: false, wanted: Vec::new() })),
            _ => panic!("system call {number} is not known here"),
        }
    }

    fn read(&mut self, file: u64, address: u64, length: u64, offset: Option<u64>) -> Outcome {
        let size = usize::try_from(length).expect("a length");
        let there = self.memory.there(address, size);
        let bytes = match self.files.get_mut(&file) {
            None => return Outcome::Failed(Errno::EBADF),
            Some(Open::Stream(stream)) => {
                let stream = *stream;
                if let There::Awaited(page) = there {
                    return self.await_page(page);
                }
                let fault_at = if let There::Part(valid) = there { Some(valid as u64) } else { None };
                self.model
                    .ask(Request::MigrationRead { stream, length, offset, fault_at })
                    .map(|reply: DataReply| reply.data.0)
            }
            // Every call makes two allocations.
            Some(Open::FailNth { number }) if matches!(&**number, "1" | "2") => Ok(b"0".to_vec()),
            Some(Open::FailNth { number }) => Ok(number.clone().into_bytes()),
            Some(Open::Content { bytes, at }) => {
                let rest = &bytes[*at..];
                let piece = rest[..rest.len().min(size)].to_vec();
                *at += piece.len();
                Ok(piece)
            }
            Some(Open::Kmsg { next }) => {
                let since = *next;
                *next += 1;
                self.record(file, since)
            }
            Some(Open::Faults { wanted, .. }) if wanted.is_empty() => Err(Errno::EAGAIN),
            Some(Open::Faults { wanted, .. }) => {
                let page = wanted.remove(0);
                // struct uffd_msg: the event, then the flags, then the address.
                Ok([&[0x12, 0, 0, 0, 0, 0, 0, 0][..], &[0; 8], &page.to_be_bytes(), &[0; 8]].concat())
            }
            Some(_) => Err(Errno::EINVAL),
        };
        let stored = bytes.and_then(|bytes| self.memory.store(address, &bytes).map(|()| bytes.len() as u64));
        stored.into()
    }

    fn write(&mut self, file: u64, address: u64, length: u64, offset: Option<u64>) -> Outcome {
        let size = usize::try_from(length).expect("a length");
        let there = self.memory.there(address, size);
        match self.files.get(&file) {
            None => Outcome::Failed(Errno::EBADF),
            Some(Open::Stream(stream)) => {
                let (stream, fault_at) = match there {
                    There::Awaited(page) => return self.await_page(page),
                    There::Part(valid) => (*stream, Some(valid as u64)),
                    There::All => (*stream, None),
                };
                let mut data =
                    self.memory.fetch(address, fault_at.map_or(size, |valid| valid as usize)).expect("there");
                data.resize(size, 0);
                let request = Request::MigrationWrite { stream, data: HexBytes(data), offset, fault_at };
                self.model.ask(request).map(|reply: WriteReply| reply.written).into()
            }
            Some(Open::FailNth { .. }) => {
                let text = self.memory.fetch(address, size).map(|bytes| String::from_utf8(bytes).expect("text"));
                let written = text.map(|number| self.files.insert(file, Open::FailNth { number }));
                written.map(|_| length).into()
            }
            Some(Open::Attribute { path }) => {
                let path = path.clone();
                let value = match self.memory.fetch(address, size) {
                    Ok(bytes) => String::from_utf8(bytes).expect("text"),
                    Err(errno) => return Outcome::Failed(errno),
                };
                self.model.order(Request::SysfsWrite { path, value }).map(|_| length).into()
            }
            Some(Open::Kmsg { .. }) => Ok(length).into(),
            Some(_) => Outcome::Failed(Errno::EINVAL),
        }
    }

    /// A call that needs a page stands still, and whoever is to give it hears of that.
    fn await_page(&mut self, page: u64) -> Outcome {
        for file in self.files.values_mut() {
            if let Open::Faults { wanted, .. } = file {
                wanted.push(page);
            }
        }
        Outcome::Waits
    }

    /// One record of the log.
    fn record(&mut self, file: u64, since: u64) -> Result<Vec<u8>, Errno> {
        let log: LogReply = self.model.ask(Request::QueryLog { since })?;
        let Some(line) = log.lines.into_iter().next() else {
            if let Some(Open::Kmsg { next }) = self.files.get_mut(&file) {
                *next = since;
            }
            return Err(Errno::EAGAIN);
        };
        let level = match line.level {
            LogLevel::Error => 3,
            LogLevel::Warning => 4,
            LogLevel::Info => 6,
            LogLevel::Debug => 7,
        };
        Ok(format!("{level},{},1000,-;{}\n SUBSYSTEM=vfio_ap\n", line.number, line.text).into_bytes())
    }

    fn seek_to_end(&mut self, file: u64, offset: u64, from: u64) -> Result<u64, Errno> {
        assert_eq!((offset, from), (0, 2), "only the end is looked for");
        let log: LogReply = self.model.ask(Request::QueryLog { since: 0 })?;
        match self.files.get_mut(&file) {
            Some(Open::Kmsg { next }) => *next = log.next,
            _ => return Err(Errno::ESPIPE),
        }
        Ok(0)
    }

    fn entries(&mut self, file: u64, address: u64, length: u64) -> Result<u64, Errno> {
        let Some(Open::Folder { names, is_read }) = self.files.get_mut(&file) else { return Err(Errno::EINVAL) };
        if std::mem::replace(is_read, true) {
            return Ok(0);
        }
        let mut bytes = Vec::new();
        for name in [".", ".."].into_iter().map(str::to_owned).chain(names.clone()) {
            let size = (19 + name.len() + 1).next_multiple_of(8);
            let mut entry = vec![0; 16];
            entry.extend(u16::try_from(size).expect("short").to_be_bytes());
            entry.push(4);
            entry.extend(name.as_bytes());
            entry.resize(size, 0);
            bytes.extend(entry);
        }
        assert!(bytes.len() as u64 <= length, "the folder fits");
        self.memory.store(address, &bytes)?;
        Ok(bytes.len() as u64)
    }

    fn mount(&mut self, folder: u64, kind: u64) -> Result<u64, Errno> {
        let (folder, _kind) = (self.memory.text(folder)?, self.memory.text(kind)?);
        if self.mounted.contains(&folder) {
            return Err(Errno::EBUSY);
        }
        self.mounted.push(folder);
        Ok(0)
    }

    fn close(&mut self, file: u64) -> Result<u64, Errno> {
        match self.files.remove(&file).ok_or(Errno::EBADF)? {
            Open::Stream(stream) => self.model.order(Request::MigrationClose { stream }),
            Open::Device { uuid, vm: Some(_) } => self.model.order(Request::DeviceClose { mdev: Some(uuid) }),
            _ => Ok(0),
        }
    }
}
