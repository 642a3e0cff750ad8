// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a command is at, where that takes longer than two seconds: a line at a terminal, plain lines now and then
//! elsewhere, on standard error. What is done sooner says nothing.

use std::pin::pin;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// What may pass without a word.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two lines where there is no terminal.
const INTERVAL: Duration = Duration::from_secs(10);

/// Things that are done one after the other, and how many are.
#[derive(Debug)]
pub struct Steps {
    bar: ProgressBar,
    what: String,
    /// When the next line is due where there is no terminal.
    due: Mutex<Instant>,
}

impl Steps {
    /// `what` names them, `files compiled`; `all` is how many there are, if somebody knows.
    #[must_use]
    pub fn new(what: impl Into<String>, all: Option<usize>) -> Self {
        let steps = Self::with(what.into(), "{pos}{prefix}", PATIENCE);
        steps.bar.set_prefix(format!(" {}", steps.what));
        all.iter().for_each(|all| steps.of(*all));
        steps
    }

    fn with(what: String, form: &str, silence: Duration) -> Self {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template(&format!("  {form}, {{elapsed}}  {{wide_msg}}")) {
            bar.set_style(style);
        }
        bar.set_prefix(what.clone());
        Self { bar, what, due: Mutex::new(Instant::now() + silence) }
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
        self.say(|| format!("{}{}", self.bar.position(), self.bar.prefix()));
    }

    /// Nobody knows how far it is, but for how long it has been going on.
    fn tick(&self) {
        self.bar.tick();
        self.say(|| self.what.clone());
    }

    fn say(&self, text: impl Fn() -> String) {
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if self.bar.is_hidden() && Instant::now() >= *due {
            *due = Instant::now() + INTERVAL;
            eprintln!("  {}, {} s", text(), self.bar.elapsed().as_secs());
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Does something of which nobody knows how far it is; `what` says what it is.
pub async fn busy<T>(what: impl Into<String>, work: impl Future<Output = T>) -> T {
    after(PATIENCE, what.into(), work).await
}

async fn after<T>(patience: Duration, what: String, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Ok(done) = tokio::time::timeout(patience, &mut work).await {
        return done;
    }
    let steps = Steps::with(what, "{prefix}", Duration::ZERO);
    loop {
        steps.tick();
        if let Ok(done) = tokio::time::timeout(patience, &mut work).await {
            return done;
        }
    }
}

/// As [`busy`], for work that waits by itself: another thread says that it goes on.
pub fn busy_thread<T>(what: impl Into<String>, work: impl FnOnce() -> T) -> T {
    let (goes_on, ended) = mpsc::channel::<()>();
    let what = what.into();
    let lasts = move || ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout);
    thread::scope(|scope| {
        scope.spawn(move || {
            if lasts() {
                let steps = Steps::with(what, "{prefix}", Duration::ZERO);
                steps.tick();
                while lasts() {
                    steps.tick();
                }
            }
        });
        let done = work();
        drop(goes_on);
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_busy_gives_its_result_soon_or_late() {
        assert_eq!(busy("waiting", async { 1 }).await, 1);
        let patience = Duration::from_millis(5);
        let late = async {
            tokio::time::sleep(patience * 3).await;
            2
        };
        assert_eq!(after(patience, "waiting".to_owned(), late).await, 2);
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
}
