// SPDX-License-Identifier: MIT OR Apache-2.0
//! Between a libvirt and a QEMU that is younger than it: QEMU 11.1 has no argument `detach` of `migrate` any more,
//! which had no meaning for long, and libvirt 9 sends it. A process beside QEMU hands everything on, open files too,
//! without that.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// What an older libvirt says too much.
const TOO_MUCH: [&[u8]; 4] = [b"\"detach\":true,", b",\"detach\":true", b"\"detach\":false,", b",\"detach\":false"];

/// Files that go with one message, at most.
const FILES: usize = 8;

/// Becomes QEMU, the first of the words, whose monitor is the relay; libvirt's socket is standard input.
pub(crate) fn start(words: &[OsString]) -> ExitCode {
    let Err(error) = become_qemu(words);
    eprintln!("relay: {error}");
    ExitCode::FAILURE
}

enum Never {}

fn become_qemu(words: &[OsString]) -> io::Result<Never> {
    let (qemu, words) = words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
    let (for_relay, for_qemu) = UnixStream::pair()?;
    let listener = io::stdin().as_fd().try_clone_to_owned()?;
    let mut relay = Command::new(std::env::current_exe()?);
    relay.arg("relay").stdin(listener).stdout(OwnedFd::from(for_relay)).spawn()?;
    let words = words.iter().map(|word| match word.to_str() {
        Some(text) if text.starts_with("socket,id=charmonitor,") => "socket,id=charmonitor,fd=0,server=off".into(),
        _ => word.clone(),
    });
    Err(Command::new(qemu).args(words).stdin(Stdio::from(OwnedFd::from(for_qemu))).exec())
}

/// Hands on until one of the two ends. Standard input is libvirt's socket, standard output QEMU's monitor.
pub(crate) fn relay() -> ExitCode {
    let open = || -> io::Result<(UnixStream, UnixStream)> {
        let listener = UnixListener::from(io::stdin().as_fd().try_clone_to_owned()?);
        Ok((listener.accept()?.0, UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?)))
    };
    let Ok((libvirt, qemu)) = open() else { return ExitCode::FAILURE };
    let Ok((mut from, mut to)) = qemu.try_clone().and_then(|from| Ok((from, libvirt.try_clone()?))) else {
        return ExitCode::FAILURE;
    };
    std::thread::spawn(move || {
        _ = io::copy(&mut from, &mut to);
        std::process::exit(0);
    });
    _ = hand_on(&libvirt, &qemu);
    ExitCode::SUCCESS
}

fn hand_on(libvirt: &UnixStream, mut qemu: &UnixStream) -> io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let length =
            recvmsg(libvirt, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?.bytes;
        if length == 0 {
            return Ok(());
        }
        let files: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => Some(files),
                _ => None,
            })
            .flatten()
            .collect();
        let text = TOO_MUCH.iter().fold(bytes[..length].to_vec(), |text, word| without(&text, word));
        if files.is_empty() {
            qemu.write_all(&text)?;
            continue;
        }
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&files));
        let sent = sendmsg(qemu, &[IoSlice::new(&text)], &mut ancillary, SendFlags::empty())?;
        qemu.write_all(&text[sent..])?;
    }
}

fn without(text: &[u8], word: &[u8]) -> Vec<u8> {
    match text.windows(word.len()).position(|window| window == word) {
        Some(place) => [&text[..place], &text[place + word.len()..]].concat(),
        None => text.to_vec(),
    }
}
