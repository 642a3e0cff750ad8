// SPDX-License-Identifier: GPL-2.0-or-later
//! The QEMU plugin: gives a stock QEMU (11.1 or newer, TCG) the AP machine of `ap-machine`, owned by the host model of
//! `vfio-ap`.
//!
//! `-plugin libqemu_ap.so,config=HOST.json,control=SOCKET`: the host as JSON (`vfio_ap::HostConfig`) and, optionally,
//! the path of the control socket to listen on. `probe=on` prints the plugin API range of this QEMU and does nothing
//! else.
//!
//! This crate recognises instructions and moves values; what they mean stands in the crates below it. Only `ffi.rs`
//! knows QEMU's ABI.

mod callbacks;
mod control_socket;
mod cpu;
mod emulation;
mod ffi;
mod state;

use std::ffi::{CStr, c_char, c_int};
use std::path::{Path, PathBuf};

use vfio_ap::{Host, HostConfig};

use crate::ffi::Emulator;
use crate::state::owner::Owner;

/// Largest host configuration accepted, in bytes.
const MAX_CONFIG: u64 = 16 << 20;

/// What stands behind the plugin's name on QEMU's command line.
#[derive(Debug, Default, PartialEq, Eq)]
struct Arguments {
    config: Option<PathBuf>,
    control: Option<PathBuf>,
    machine: Option<PathBuf>,
    probe: bool,
}

impl Arguments {
    fn parse<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut arguments = Self::default();
        for word in words {
            match word.split_once('=') {
                Some(("config", path)) => arguments.config = Some(path.into()),
                Some(("control", path)) => arguments.control = Some(path.into()),
                Some(("machine", path)) => arguments.machine = Some(path.into()),
                Some(("probe", "on")) => arguments.probe = true,
                _ => {
                    return Err(format!(
                        "unknown argument {word:?}: allowed are config=FILE, control=SOCKET, machine=SOCKET, probe=on"
                    ));
                }
            }
        }
        Ok(arguments)
    }
}

/// QEMU calls this once, when it loads the plugin.
///
/// # Safety
/// Called by QEMU with its own `info` and `argv`, see `qemu-plugin.h`.
// SAFETY: the name is the one QEMU looks up; nothing else in the process defines it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    info: *const ffi::Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: `info` is QEMU's, during the install call.
    let emulator = unsafe { Emulator::from_raw(info) };
    let words = (0..usize::try_from(argc).unwrap_or(0))
        // SAFETY: QEMU passes `argc` NUL-terminated strings.
        .map(|index| unsafe { CStr::from_ptr(*argv.add(index)) }.to_string_lossy().into_owned());
    let words: Vec<String> = words.collect();
    match install(id, &emulator, words.iter().map(String::as_str)) {
        Ok(()) => 0,
        Err(reason) => {
            eprintln!("kaput-qemu-ap: {reason}");
            1
        }
    }
}

fn install<'a>(id: u64, emulator: &Emulator, words: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let arguments = Arguments::parse(words)?;
    let Emulator { target, api_min, api_max, .. } = emulator;
    if arguments.probe {
        eprintln!("kaput-qemu-ap: plugin API {api_min}..{api_max}, target {target}");
        return Ok(());
    }
    if !emulator.system_emulation || target != "s390x" {
        return Err(format!("this plugin is for qemu-system-s390x, but was loaded by an emulator of {target}"));
    }
    let path = arguments.config.ok_or("the argument config=FILE (the host as JSON) is missing")?;
    let host = Host::new(read_config(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    if let Some(socket) = arguments.control {
        control_socket::start(&socket, host.clone()).map_err(|error| {
            format!("control socket {}: {error}; choose a short path that does not exist yet", socket.display())
        })?;
    }
    let owner = arguments.machine.as_deref().map(Owner::connect).transpose()?;
    callbacks::install(id, host, owner, emulator.max_vcpus)
}

fn read_config(path: &Path) -> Result<HostConfig, String> {
    let complain = |reason: String| format!("host configuration {}: {reason}", path.display());
    let length = std::fs::metadata(path).map_err(|error| complain(error.to_string()))?.len();
    if length > MAX_CONFIG {
        return Err(complain(format!("{length} bytes, but at most {MAX_CONFIG} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| complain(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| complain(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_taken_by_name() {
        let parsed = Arguments::parse(["config=/a", "control=/b"].into_iter());
        assert_eq!(
            parsed,
            Ok(Arguments { config: Some("/a".into()), control: Some("/b".into()), ..Arguments::default() })
        );
    }

    #[test]
    fn an_unknown_argument_is_named_with_what_is_allowed() {
        let error = Arguments::parse(["confg=/a"].into_iter()).expect_err("accepted");
        assert!(error.contains("confg=/a") && error.contains("config=FILE"), "{error}");
    }
}
