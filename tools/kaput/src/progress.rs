// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a command is at, where that takes longer than two seconds: a line at a terminal, plain lines now and then
//! elsewhere, on standard error. What is done sooner says nothing.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// What may pass without a word, and what passes between two looks at a terminal.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// Between two lines where there is no terminal.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

/// Whether standard error is a terminal on which a line can be drawn again.
pub(crate) fn is_drawn() -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    std::io::stderr().is_terminal() && !is_dumb
}

/// Things that are done one after the other, and how many are. A thread says so, until this is dropped: a step that
/// takes long is no silence.
#[derive(Debug)]
pub struct Steps {
    bar: ProgressBar,
    what: String,
    /// Goes before the thread is waited for, which ends it.
    goes_on: Option<Sender<()>>,
    teller: Option<JoinHandle<()>>,
}

impl Steps {
    /// `what` names them, `files compiled`; `all` is how many there are, if somebody knows.
    #[must_use]
    pub fn new(what: impl Into<String>, all: Option<usize>) -> Self {
        let what = what.into();
        let steps = Self::with(format!(" {what}"), what, "{pos}{prefix}", (PATIENCE, is_drawn()));
        all.iter().for_each(|all| steps.of(*all));
        steps
    }

    fn with(prefix: String, what: String, form: &str, (patience, is_drawn): (Duration, bool)) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        if let Ok(style) = ProgressStyle::with_template(&format!("  {form}, {{elapsed}}  {{wide_msg}}")) {
            bar.set_style(style);
        }
        bar.set_prefix(prefix);
        let (goes_on, ended) = mpsc::channel();
        let (told, counts) = (bar.clone(), form.contains("pos"));
        let tell = move || tell(&told, counts, (patience, is_drawn), || ended.recv_timeout(patience));
        // Where no thread is to be had, work matters more than words.
        Self { bar, what, goes_on: Some(goes_on), teller: thread::Builder::new().spawn(tell).ok() }
    }

    /// How many there are is known by now.
    pub fn of(&self, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_prefix(format!(" of {all} {}", self.what));
    }

    /// One is done; `now` is what is worth a look.
    pub fn done(&self, now: &str) {
        self.bar.set_message(now.to_owned());
        self.bar.inc(1);
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.goes_on = None;
        self.teller.take().map(JoinHandle::join);
        self.bar.finish_and_clear();
    }
}

/// Says how far it is, each time that `wait` ends without an end.
fn tell(
    bar: &ProgressBar,
    counts: bool,
    (patience, is_drawn): (Duration, bool),
    wait: impl Fn() -> Result<(), RecvTimeoutError>,
) {
    let lines_apart = INTERVAL.as_millis() / patience.as_millis().max(1);
    for looks in 0.. {
        if wait() != Err(RecvTimeoutError::Timeout) {
            return;
        }
        if is_drawn {
            if looks == 0 {
                bar.set_draw_target(ProgressDrawTarget::stderr());
            }
            bar.tick();
        } else if looks % lines_apart == 0 {
            let done = if counts { bar.position().to_string() } else { String::new() };
            plain(&format!("{done}{}, {} s", bar.prefix(), bar.elapsed().as_secs()));
        }
    }
}

/// A line where there is no terminal, in one write: other programs may write there too.
pub(crate) fn plain(text: &str) {
    _ = std::io::stderr().write_all(format!("  {text}\n").as_bytes());
}

/// Does something of which nobody knows how far it is; `what` says what it is.
pub async fn busy<T>(what: impl Into<String>, work: impl Future<Output = T>) -> T {
    let _told = going_on(what.into(), (PATIENCE, is_drawn()));
    work.await
}

/// As [`busy`], for what may ask for a password at the terminal: a line that is drawn again would wipe the question.
pub async fn busy_beside_a_question<T>(what: impl Into<String>, work: impl Future<Output = T>) -> T {
    let _told = going_on(what.into(), (PATIENCE, false));
    work.await
}

/// As [`busy`], for work that waits by itself.
pub fn busy_thread<T>(what: impl Into<String>, work: impl FnOnce() -> T) -> T {
    let _told = going_on(what.into(), (PATIENCE, is_drawn()));
    work()
}

fn going_on(what: String, pace: (Duration, bool)) -> Steps {
    Steps::with(what.clone(), what, "{prefix}", pace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_busy_gives_its_result() {
        assert_eq!(busy("waiting", async { 1 }).await, 1);
    }

    #[test]
    fn what_waits_by_itself_gives_its_result() {
        assert_eq!(busy_thread("waiting", || 1), 1);
    }

    #[test]
    fn steps_are_counted_whether_anybody_sees_them_or_not() {
        let steps = Steps::new("hosts", Some(2));
        steps.done("a");
        steps.done("b");
        assert_eq!((steps.bar.position(), steps.bar.length()), (2, Some(2)));
    }

    #[test]
    fn what_lasts_is_told_until_it_ends_and_not_longer() {
        let steps = going_on("waiting".to_owned(), (Duration::from_millis(1), false));
        let bar = steps.bar.clone();
        thread::sleep(Duration::from_millis(20));
        assert!(!steps.teller.as_ref().expect("it goes on").is_finished());
        drop(steps);
        assert!(bar.is_finished());
    }
}
