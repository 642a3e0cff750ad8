// SPDX-License-Identifier: GPL-2.0-or-later
//! The control socket: one JSON object a line, answered by the host model. This file only moves lines; what they mean
//! stands in `vfio-ap`. Threads here never touch guest memory or registers: QEMU allows that on vCPU threads alone.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use vfio_ap::Host;

/// Longest request line in bytes, newline included: a whole stream of 65,536 queues in hex fits twice.
const MAX_LINE: u64 = 4 << 20;

/// How many clients may be connected at once.
const MAX_CLIENTS: usize = 8;

/// Listens on `path` and serves until the process ends.
///
/// # Errors
/// The socket cannot be created: the path is taken, too long, or not writable.
pub(crate) fn start(path: &Path, host: Arc<Host>) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    thread::Builder::new().name("kaput-control".into()).spawn(move || accept(&listener, &host))?;
    Ok(())
}

fn accept(listener: &UnixListener, host: &Arc<Host>) {
    let clients = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        let seat = Seat::take(&clients);
        let host = Arc::clone(host);
        // A client for whom there is no seat or no thread sees its connection closed.
        if let Some(seat) = seat {
            let served = move || serve(stream, &host, seat);
            drop(thread::Builder::new().name("kaput-client".into()).spawn(served));
        }
    }
}

/// One client's place among [`MAX_CLIENTS`].
struct Seat(Arc<AtomicUsize>);

impl Seat {
    fn take(clients: &Arc<AtomicUsize>) -> Option<Self> {
        let seat = Self(Arc::clone(clients));
        (clients.fetch_add(1, Ordering::Relaxed) < MAX_CLIENTS).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn serve(stream: UnixStream, host: &Host, _seat: Seat) {
    let Ok(mut replies) = stream.try_clone() else { return };
    let mut requests = BufReader::new(stream);
    let mut line = Vec::new();
    if send(&mut replies, host.greeting()).is_err() {
        return;
    }
    loop {
        line.clear();
        match requests.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let request = String::from_utf8_lossy(&line);
        if request.trim().is_empty() {
            continue;
        }
        // A line over the limit is answered as the broken JSON it then is; what follows cannot be told apart, so the
        // connection ends.
        let complete = line.ends_with(b"\n");
        if send(&mut replies, host.control_line(request.trim())).is_err() || !complete {
            return;
        }
    }
}

fn send(stream: &mut UnixStream, mut line: String) -> io::Result<()> {
    line.push('\n');
    stream.write_all(line.as_bytes())
}
