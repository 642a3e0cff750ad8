// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which file stands behind a path. Without their file systems there are none.

use std::fmt::Write as _;

use ap_arch::{Mask256, Matrix};
use vfio_ap::control::{HostReply, Request, ValueReply};
use vfio_mig::Errno;

use super::files::{FIRST_THREAD_ID, Open};
use super::{Flavour, State};

const MATRIX: &str = "/sys/devices/vfio_ap/matrix/";
const ACCESS: u64 = 3;

impl State {
    pub(super) fn open(&mut self, path: &str, flags: u64) -> Result<u64, Errno> {
        let file = self.find(path, flags & ACCESS)?;
        Ok(self.add(file))
    }

    fn find(&mut self, path: &str, access: u64) -> Result<Open, Errno> {
        for (below, mount) in [("/proc/", "/proc"), ("/sys/kernel/debug/", "/sys/kernel/debug"), ("/sys/", "/sys")] {
            if path.starts_with(below) && !self.mounted.iter().any(|mounted| mounted == mount) {
                return Err(Errno::ENOENT);
            }
        }
        let trace = path.strip_prefix("/sys/kernel/debug/s390dbf/kvm-").and_then(|rest| rest.strip_suffix("/sprintf"));
        if let Some(thread) = trace {
            return self.trace(thread.parse().map_err(|_| Errno::ENOENT)?);
        }
        if let Some(uuid) = path.strip_prefix(MATRIX).and_then(|rest| rest.strip_suffix("/vfio-dev")) {
            let number = self.number_of(uuid).ok_or(Errno::ENOENT)?;
            return match self.flavour {
                Flavour::DeviceFile => Ok(Open::Folder { names: vec![format!("vfio{number}")], is_read: false }),
                Flavour::Group => Err(Errno::ENOENT),
            };
        }
        if self.checks
            && let Some(file) = of_checkers(path)
        {
            return Ok(file);
        }
        match path {
            "/proc/thread-self/fail-nth" => return Err(Errno::ENOENT),
            "/dev/kvm" => return Ok(Open::Kvm),
            "/dev/kmsg" => return Ok(Open::Kmsg { next: 0 }),
            "/dev/iommu" if self.flavour == Flavour::DeviceFile => return Ok(Open::Iommu { address_spaces: 0 }),
            "/dev/vfio/vfio" if self.flavour == Flavour::Group => return Ok(Open::Container { is_set: false }),
            _ => {}
        }
        if let Some(number) = path.strip_prefix("/dev/vfio/devices/vfio") {
            return Ok(Open::Device { uuid: self.uuid_of(number)?, vm: None });
        }
        if let Some(number) = path.strip_prefix("/dev/vfio/") {
            return Ok(Open::Group { uuid: self.uuid_of(number)?, container: None });
        }
        if access != 0 {
            return Ok(Open::Attribute { path: path.to_owned() });
        }
        let reply: ValueReply = self.model.ask(Request::SysfsRead { path: path.to_owned() })?;
        Ok(Open::Content { bytes: reply.value.into_bytes(), at: 0 })
    }

    pub(super) fn read_link(&mut self, path: u64, address: u64, length: u64) -> Result<u64, Errno> {
        let path = self.memory.text(path)?;
        let target = match path.strip_prefix(MATRIX).and_then(|rest| rest.strip_suffix("/iommu_group")) {
            Some(uuid) => {
                format!("../../../../kernel/iommu_groups/{}", self.number_of(uuid).ok_or(Errno::ENOENT)?)
            }
            None => {
                let reply: ValueReply = self.model.ask(Request::SysfsRead { path })?;
                format!("../../../../bus/ap/drivers/{}", reply.value.trim_end())
            }
        };
        assert!(target.len() as u64 <= length, "the link fits");
        self.memory.store(address, target.as_bytes())?;
        Ok(target.len() as u64)
    }

    /// Devices are numbered as they are listed.
    fn uuids(&mut self) -> Vec<String> {
        let host: HostReply = self.model.ask(Request::QueryHost {}).expect("a host");
        host.mdevs.into_iter().map(|mdev| mdev.uuid).collect()
    }

    fn number_of(&mut self, uuid: &str) -> Option<usize> {
        self.uuids().iter().position(|known| known == uuid)
    }

    fn uuid_of(&mut self, number: &str) -> Result<String, Errno> {
        let number: usize = number.parse().map_err(|_| Errno::ENOENT)?;
        self.uuids().get(number).cloned().ok_or(Errno::ENOENT)
    }

    /// The trace of the VM that a thread made: what its guest has, after what it does not have any more.
    fn trace(&mut self, thread: u64) -> Result<Open, Errno> {
        let of_thread =
            |file: &Open| matches!(file, Open::Vm { thread: of } if FIRST_THREAD_ID + u64::from(*of) == thread);
        let (vm, _) = self.files.iter().find(|(_, file)| of_thread(file)).ok_or(Errno::ENOENT)?;
        let vm = *vm;
        let device = self.files.values().find_map(|file| match file {
            Open::Device { uuid, vm: Some(of) } if *of == vm => Some(uuid.clone()),
            _ => None,
        });
        let mut text = String::from("00 01732925000:000001 3 - 00 00000000a1b2c3d4 Create cpu 0\n");
        let all = Matrix { adapters: Mask256::FULL, domains: Mask256::FULL, control_domains: Mask256::FULL };
        set(&mut text, 2, &all);
        match device {
            Some(uuid) => set(&mut text, 4, &self.model.guest(&uuid)),
            None => text.push_str("00 01732925000:000004 3 - 00 00000000a1b2c3d4 CLR CRYCB:\n"),
        }
        // An older one behind it, as a ring has it.
        set(&mut text, 3, &Matrix::EMPTY);
        Ok(Open::Content { bytes: text.into_bytes(), at: 0 })
    }
}

/// What a kernel with checkers has besides.
fn of_checkers(path: &str) -> Option<Open> {
    let content = |text: &str| Open::Content { bytes: text.as_bytes().to_vec(), at: 0 };
    Some(match path {
        "/proc/lockdep_stats" | "/proc/kallsyms" => content(""),
        "/proc/thread-self/fail-nth" => Open::FailNth { number: "0".to_owned() },
        "/sys/kernel/debug/slab" => Open::Folder { names: vec!["kmalloc-64".to_owned()], is_read: false },
        "/sys/kernel/debug/slab/kmalloc-64/alloc_traces" => {
            content("      3 vfio_ap_mdev_probe+0x2e/0x1a8 age=1 pid=1\n\t__kmalloc_noprof+0x1/0x2\n")
        }
        _ => return None,
    })
}

fn set(text: &mut String, time: u32, masks: &Matrix) {
    let Matrix { adapters, domains, control_domains } = masks;
    for (name, mask) in [("apm", adapters), ("aqm", domains), ("adm", control_domains)] {
        let [a, b, c, d] = mask.words();
        _ = writeln!(
            text,
            "00 01732925000:{time:06} 3 - 00 00000000a1b2c3d4 SET CRYCB: {name} {a:016x} {b:016x} {c:016x} {d:016x}"
        );
    }
}
