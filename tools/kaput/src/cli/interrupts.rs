// SPDX-License-Identifier: MIT OR Apache-2.0
//! SIGINT, SIGTERM and SIGHUP, for commands that hold something: processes, a connection, a folder, queues of a host.
//! The first signal ends the work, and what is held is put back; the second ends the program as it is. A command that
//! holds nothing does not listen: the signal itself ends it.
//!
//! Whoever listens must not keep the thread: what may wait for a reader or a pipe waits elsewhere.

use std::io::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use miette::{IntoDiagnostic, Result};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};
use tokio::sync::watch;

/// A signal that asks to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Signal {
    name: &'static str,
    number: u8,
}

const SIGNALS: [Signal; 3] = [
    Signal { name: "SIGHUP", number: 1 },
    Signal { name: "SIGINT", number: 2 },
    Signal { name: "SIGTERM", number: 15 },
];

impl Signal {
    /// The exit status of a program that was ended by it, as shells have it.
    pub(super) const fn status(self) -> u8 {
        128 + self.number
    }
}

/// The work was ended by a signal.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("interrupted by {}", .0.name)]
pub(super) struct Interrupted(pub(super) Signal);

/// Hears of signals.
#[derive(Clone)]
pub(super) struct Interrupts(watch::Receiver<Option<Signal>>);

impl Interrupts {
    /// Listens from now on.
    pub(super) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let streams = {
            let _inside = runtime.enter();
            // nohup has the hang-up ignored, and so it stays.
            let heard = SIGNALS.into_iter().filter(|signal| signal.name != "SIGHUP" || !is_ignored(signal.number));
            heard
                .map(|heard| Ok((heard, signal(SignalKind::from_raw(heard.number.into()))?)))
                .collect::<io::Result<Vec<_>>>()?
        };
        let (sender, receiver) = watch::channel(None);
        // On a thread of its own: the second signal counts whatever the program is at.
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(hear(streams, &sender)))?;
        Ok(Self(receiver))
    }

    /// Does something, unless a signal comes before it is done: then it is dropped where it stands.
    pub(super) async fn unless<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut receiver = self.0.clone();
        tokio::select! {
            biased;
            Ok(Some(signal)) = async { receiver.wait_for(Option::is_some).await.map(|signal| *signal) } => {
                Err(Interrupted(signal).into())
            }
            done = work => done,
        }
    }

    /// Does something on a thread of its own, which is given a flag. A signal sets the flag, and the thread has that
    /// long to put back what it holds; the second signal does not wait.
    pub(super) async fn unless_stopped<T: Send + 'static>(
        &self,
        goodbye: Duration,
        work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
    ) -> Result<T> {
        let stop = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&stop);
        let mut thread = tokio::task::spawn_blocking(move || work(&its));
        let done = self.unless(async { (&mut thread).await.into_diagnostic() }).await;
        if done.is_err() && !thread.is_finished() {
            stop.store(true, Ordering::Release);
            // What it came to nobody wants any more.
            _ = tokio::time::timeout(goodbye, thread).await;
        }
        done
    }
}

async fn hear(mut streams: Vec<(Signal, Stream)>, sender: &watch::Sender<Option<Signal>>) {
    loop {
        let waits = streams.iter_mut().map(|(signal, stream)| {
            Box::pin(async {
                _ = stream.recv().await;
                *signal
            })
        });
        let (signal, ..) = futures_util::future::select_all(waits).await;
        if sender.send_replace(Some(signal)).is_some() {
            _ = writeln!(
                io::stderr(),
                "interrupted again, and ended as it is; where hosts lent queues, `kaput restore` puts them back"
            );
            std::process::exit(signal.status().into());
        }
    }
}

/// Whether this program was started with a signal ignored.
fn is_ignored(number: u8) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or_default() >> (number - 1) & 1 == 1
}
