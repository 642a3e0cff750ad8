// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine's end of the guest's console. Read when there is something, and once more, to the last byte, when the
//! guest is known to stand still: that makes the order of two consoles certain.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream as Direct;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::error::MachineError;
use super::observed::Observed;

/// The console of a machine, and who listens to it.
pub(crate) struct Console {
    socket: Arc<ConsoleSocket>,
    /// Ends with the console.
    listener: JoinHandle<()>,
}

impl Console {
    /// Takes a connection over and listens to it.
    pub(crate) fn take_over(stream: UnixStream, observed: &Observed, index: usize) -> Result<Self, MachineError> {
        let socket = ConsoleSocket::new(stream).map_err(|error| MachineError::Io("console connection", error))?;
        let socket = Arc::new(socket);
        let listener = tokio::spawn(Arc::clone(&socket).listen(observed.clone(), index));
        Ok(Self { socket, listener })
    }

    /// Takes what stands in the socket now.
    pub(super) fn drain(&self, observed: &Observed, index: usize) {
        self.socket.drain(observed, index);
    }

    /// Types one key.
    pub(super) async fn press(&self, key: u8) -> Result<(), MachineError> {
        self.socket.press(key).await.map_err(|error| MachineError::Io("console", error))
    }

    /// Waits until the other side has closed, and everything is heard.
    pub(super) async fn ended(&mut self, patience: Duration) {
        _ = tokio::time::timeout(patience, &mut self.listener).await;
    }
}

/// The connection, not blocking. The runtime's half says when to look, the direct one asks the kernel: the runtime
/// believes a socket empty until it has looked itself.
struct ConsoleSocket {
    watched: UnixStream,
    direct: Direct,
}

impl ConsoleSocket {
    fn new(stream: UnixStream) -> io::Result<Self> {
        let direct = stream.into_std()?;
        Ok(Self { watched: UnixStream::from_std(direct.try_clone()?)?, direct })
    }

    /// Hands on what comes until the other side closes.
    async fn listen(self: Arc<Self>, observed: Observed, index: usize) {
        while self.watched.readable().await.is_ok() {
            let drained = self.watched.try_io(Interest::READABLE, || match self.drain(&observed, index) {
                State::Open => Err(io::ErrorKind::WouldBlock.into()),
                State::Closed => Ok(()),
            });
            if drained.is_ok() {
                return;
            }
        }
    }

    /// Hands on what is in the socket now.
    fn drain(&self, observed: &Observed, index: usize) -> State {
        let mut buffer = [0; 4096];
        loop {
            match (&self.direct).read(&mut buffer) {
                Ok(0) => return State::Closed,
                Ok(length) => observed.console(index, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return State::Open,
                Err(_) => return State::Closed,
            }
        }
    }

    /// Types one key.
    async fn press(&self, key: u8) -> io::Result<()> {
        loop {
            self.watched.writable().await?;
            match self.watched.try_io(Interest::WRITABLE, || (&self.direct).write(&[key])) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return written.map(|_| ()),
            }
        }
    }
}

/// Whether more can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// More can come.
    Open,
    /// The other side is gone.
    Closed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[tokio::test]
    async fn what_stands_in_the_socket_is_drained_without_waiting() {
        let observed = Observed::new(Instant::now());
        let index = observed.add_machine("A");
        let (ours, theirs) = tokio::net::UnixStream::pair().expect("a pair");
        let socket = ConsoleSocket::new(ours).expect("registered");
        let mut theirs = theirs.into_std().expect("taken");
        theirs.write_all(b"PASS: a: b\nunfinished").expect("written");
        assert_eq!(socket.drain(&observed, index), State::Open);
        let state = observed.look();
        assert_eq!((state.guest.cases.len(), state.unfinished_line().as_str()), (1, "unfinished"));
    }

    #[tokio::test]
    async fn a_key_arrives_and_lines_are_heard_until_the_end() {
        let observed = Observed::new(Instant::now());
        let index = observed.add_machine("A");
        let (ours, theirs) = tokio::net::UnixStream::pair().expect("a pair");
        let socket = Arc::new(ConsoleSocket::new(ours).expect("registered"));
        let listener = tokio::spawn(Arc::clone(&socket).listen(observed.clone(), index));
        socket.press(b'\n').await.expect("typed");
        let mut theirs = theirs.into_std().expect("taken");
        let mut key = [0];
        theirs.read_exact(&mut key).expect("a key");
        theirs.write_all(b"EXIT: STATUS=1\n").expect("written");
        let deadline = Instant::now() + Duration::from_secs(60);
        let ended = observed.until(deadline, |state| state.guest.has_ended().then_some(())).await;
        assert_eq!((key, ended), ([b'\n'], Ok(())));
        drop(theirs);
        listener.await.expect("it ends with the connection");
    }
}
