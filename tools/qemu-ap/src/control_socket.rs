// SPDX-License-Identifier: GPL-2.0-or-later
//! The control socket: one JSON object a line, answered by the host model. This file only moves lines; what they mean
//! stands in `vfio-ap`. Threads here never touch guest memory or registers: QEMU allows that on vCPU threads alone.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use vfio_ap::control::MAX_LINE;
use vfio_ap::{Host, Session};

/// How many clients may be connected at once.
const MAX_CLIENTS: usize = 8;

/// How many lines may wait for a client that does not read; events beyond are not sent to it.
const MAX_WAITING: usize = 1024;

/// How long is waited after accepting a client has failed: twice as long each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often in a row it may fail, which takes about a minute; then nobody is accepted any more.
const MAX_FAILURES: u32 = 60;

/// Where lines for the connected clients go, by the number each client got.
type Clients = Arc<Mutex<BTreeMap<u64, SyncSender<String>>>>;

/// Listens on `path` and serves until the process ends.
///
/// # Errors
/// The socket cannot be created: the path is taken, too long, or not writable.
pub(crate) fn start(path: &Path, host: Arc<Host>) -> io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let clients = Clients::default();
    let receivers = Arc::clone(&clients);
    host.on_event(move |line| {
        // May run on a vCPU's thread, so it must not wait: a client that does not read misses the event.
        lock(&receivers).values().for_each(|client| drop(client.try_send(line.to_owned())));
    });
    thread::Builder::new().name("kaput-control".into()).spawn(move || {
        let mut numbers = 0..;
        let serve = |stream| take(stream, numbers.next().unwrap_or(u64::MAX), &host, &clients);
        let error = accept(|| listener.accept().map(|(stream, _)| stream), serve, thread::sleep);
        // With the listener gone a client sees at once that nobody answers.
        drop(listener);
        eprintln!(
            "kaput-qemu-ap: the control socket takes no more clients, because accepting one failed {MAX_FAILURES} \
             times: {error}; who is connected stays so"
        );
    })?;
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Accepts clients until that fails [`MAX_FAILURES`] times in a row, as it does without a free file descriptor; the
/// last error. A failure of the moment costs a pause, one for good no more than these.
fn accept<S>(
    mut next: impl FnMut() -> io::Result<S>,
    mut serve: impl FnMut(S),
    mut pause: impl FnMut(Duration),
) -> io::Error {
    let mut failures = 0;
    loop {
        match next() {
            Ok(stream) => {
                failures = 0;
                serve(stream);
            }
            Err(error) if failures + 1 == MAX_FAILURES => return error,
            Err(_) => {
                pause(FIRST_PAUSE.saturating_mul(1 << failures.min(16)).min(LONGEST_PAUSE));
                failures += 1;
            }
        }
    }
}

/// Serves a client on a thread of its own. One for whom there is no seat or no thread sees its connection closed.
fn take(stream: UnixStream, number: u64, host: &Arc<Host>, clients: &Clients) {
    let (lines, waiting) = sync_channel(MAX_WAITING);
    let Some(seat) = Seat::take(clients, number, lines.clone()) else { return };
    let host = Arc::clone(host);
    let served = move || drop(serve(stream, host, &lines, waiting, seat));
    drop(thread::Builder::new().name("kaput-client".into()).spawn(served));
}

/// One client's place among [`MAX_CLIENTS`].
struct Seat {
    clients: Clients,
    number: u64,
}

impl Seat {
    fn take(clients: &Clients, number: u64, lines: SyncSender<String>) -> Option<Self> {
        let mut seats = lock(clients);
        if seats.len() >= MAX_CLIENTS {
            return None;
        }
        seats.insert(number, lines);
        Some(Self { clients: Arc::clone(clients), number })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.clients).remove(&self.number);
    }
}

/// Answers one client until it leaves. Replies and events go through one channel, so that lines never mix.
fn serve(
    stream: UnixStream,
    host: Arc<Host>,
    lines: &SyncSender<String>,
    waiting: Receiver<String>,
    _seat: Seat,
) -> io::Result<()> {
    let mut out = stream.try_clone()?;
    let write = move || {
        for mut line in waiting {
            line.push('\n');
            if out.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("kaput-writer".into()).spawn(write)?;

    let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
    lines.send(host.greeting()).map_err(gone)?;
    let events = lines.clone();
    let mut session = Session::new(host, move |line| drop(events.try_send(line.to_owned())));
    let mut requests = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        if requests.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let request = String::from_utf8_lossy(&line);
        if request.trim().is_empty() {
            continue;
        }
        lines.send(session.line(request.trim())).map_err(gone)?;
        // A line over the limit was refused; what follows of it cannot be distinguished
        // from a request, so the connection ends.
        if !line.ends_with(b"\n") {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn out_of_descriptors() -> io::Result<u32> {
        Err(io::Error::from_raw_os_error(24))
    }

    #[test]
    fn accepting_that_fails_for_good_ends_after_a_bounded_number_of_pauses() {
        let pauses = RefCell::new(Vec::new());
        let error = accept(out_of_descriptors, |_| panic!("nobody came"), |pause| pauses.borrow_mut().push(pause));
        assert_eq!(error.raw_os_error(), Some(24));
        let pauses = pauses.into_inner();
        assert_eq!((pauses.len(), pauses[0], pauses[1]), (59, FIRST_PAUSE, 2 * FIRST_PAUSE));
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE), "{pauses:?}");
    }

    #[test]
    fn a_client_that_comes_after_failures_is_served_and_they_are_forgotten() {
        let (mut round, mut served, mut paused) = (0, Vec::new(), 0);
        accept(
            || {
                round += 1;
                if round == 50 || round == 100 { Ok(round) } else { out_of_descriptors() }
            },
            |client| served.push(client),
            |_| paused += 1,
        );
        assert_eq!((served, paused), (vec![50, 100], 49 + 49 + 59));
    }
}
