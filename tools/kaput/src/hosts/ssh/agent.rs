// SPDX-License-Identifier: MIT OR Apache-2.0
//! The conversation with the far side's script: one request at a time, each answered, and ends of programs reported
//! unasked. A task of its own holds both ends, so a caller that gives up leaves nothing half said.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Interval;
use tokio_util::task::TaskTracker;

use super::client::{LOGIN, Ssh, last_line};

const SCRIPT: &str = include_str!("agent.sh");

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// For how long the far side hears nothing before it takes that for a cut link. In a fifth of it kaput says that it is
/// there.
pub(crate) const SILENCE: Duration = Duration::from_secs(30);

/// How long the far side may take to remove its folder.
const LAST_GOODBYE: Duration = Duration::from_secs(5);

/// Bytes of the longest line and of the largest file that are taken from the far side.
const LONGEST_LINE: u64 = 64 << 10;
const LARGEST_FILE: u64 = 64 << 20;

/// The connections that there are. Each takes its leave when nobody needs it any more.
static CONNECTIONS: LazyLock<TaskTracker> = LazyLock::new(TaskTracker::new);

/// Waits until every connection that nobody needs any more has ended, and its host is tidied up.
pub async fn all_closed(patience: Duration) {
    CONNECTIONS.close();
    _ = tokio::time::timeout(patience, CONNECTIONS.wait()).await;
}

/// What the far side says of itself.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    /// The temporary folder.
    pub folder: String,
    /// QEMU; empty if there is none.
    pub qemu: String,
    /// The plugin; empty if there is none.
    pub plugin: String,
    /// In front of `/sys` and `/proc`; empty on a real host.
    pub root: String,
    /// Addresses and ports of the connection: ours, our port, theirs, their port. Empty if sshd does not tell.
    pub connection: String,
    /// What QEMU prints as its machines.
    pub machines: String,
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Answer {
    Yes(Vec<u8>),
    No(String),
    Lost(String),
}

struct Request {
    line: String,
    content: Vec<u8>,
    answer: oneshot::Sender<Answer>,
}

/// Who waits for which program's end. A sender that is dropped says that the connection is gone.
type Watchers = Arc<Mutex<BTreeMap<String, oneshot::Sender<ShellStatus>>>>;

pub(super) struct Agent {
    requests: mpsc::Sender<Request>,
    watchers: Watchers,
    lost: Arc<OnceLock<String>>,
    task: JoinHandle<()>,
}

/// What the script says between two requests.
enum Said {
    Yes(Vec<u8>),
    No(String),
}

impl Agent {
    pub(super) async fn start(ssh: &Ssh) -> Result<(Self, Hello), String> {
        Self::start_with(ssh, SILENCE).await
    }

    async fn start_with(ssh: &Ssh, silence: Duration) -> Result<(Self, Hello), String> {
        let script = format!("silence={}\n{SCRIPT}", silence.as_secs());
        let mut child = ssh.connect(&script).map_err(|error| format!("ssh cannot be started: {error}"))?;
        let (Some(mut stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err("ssh has no standard streams".to_owned());
        };
        let words = tokio::spawn(last_words(stderr));
        let mut stdout = BufReader::new(stdout);
        let greeting = async {
            // Who refuses closes early; what it says then explains more than a broken pipe.
            _ = stdin.write_all(script.as_bytes()).await;
            hello(&mut stdout).await
        };
        let Ok(Some(hello)) = tokio::time::timeout(LOGIN, greeting).await else {
            drop((stdin, stdout));
            _ = tokio::time::timeout(LAST_GOODBYE, child.wait()).await;
            _ = child.start_kill();
            let said = tokio::time::timeout(LAST_GOODBYE, words).await.ok().and_then(Result::ok).flatten();
            return Err(said.unwrap_or("the script there did not come up".to_owned()));
        };
        let (watchers, lost) = (Watchers::default(), Arc::new(OnceLock::new()));
        let (said_in, said) = mpsc::channel(4);
        tokio::spawn(listen(stdout, said_in, Arc::clone(&watchers)));
        let (requests, requested) = mpsc::channel(16);
        let beat = tokio::time::interval(silence / 5);
        let line = Line { child, stdin, said, beat, words, lost: Arc::clone(&lost), watchers: Arc::clone(&watchers) };
        let task = CONNECTIONS.spawn(line.serve(requested));
        Ok((Self { requests, watchers, lost, task }, hello))
    }

    pub(super) async fn ask(&self, line: String, content: Vec<u8>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let lost = || Answer::Lost(self.lost.get().cloned().unwrap_or_default());
        if self.requests.send(Request { line, content, answer }).await.is_err() {
            return lost();
        }
        answered.await.unwrap_or_else(|_| lost())
    }

    /// Tells the end of a program that is started after this.
    pub(super) fn watch(&self, name: &str) -> oneshot::Receiver<ShellStatus> {
        let (teller, told) = oneshot::channel();
        // With the lock held: whoever notes the loss dismisses those who wait afterwards.
        let mut watchers = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        if self.lost.get().is_none() {
            watchers.insert(name.to_owned(), teller);
        }
        told
    }

    pub(super) async fn close(self) {
        drop(self.requests);
        _ = self.task.await;
    }
}

/// Everything that ends with the connection.
struct Line {
    child: Child,
    stdin: ChildStdin,
    said: mpsc::Receiver<Said>,
    beat: Interval,
    words: JoinHandle<Option<String>>,
    lost: Arc<OnceLock<String>>,
    watchers: Watchers,
}

impl Line {
    async fn serve(mut self, mut requested: mpsc::Receiver<Request>) {
        let why = loop {
            tokio::select! {
                request = requested.recv() => {
                    let Some(request) = request else { return self.goodbye().await };
                    let asked = tokio::time::timeout(PATIENCE, self.ask(&request.line, &request.content)).await;
                    match asked {
                        Ok(Some(Said::Yes(bytes))) => _ = request.answer.send(Answer::Yes(bytes)),
                        Ok(Some(Said::No(why))) => _ = request.answer.send(Answer::No(why)),
                        Ok(None) => break None,
                        Err(_) => break Some(format!("no answer within {} s", PATIENCE.as_secs())),
                    }
                }
                // The only thing it says unasked is handled elsewhere: this is the end.
                _ = self.said.recv() => break None,
                _ = self.beat.tick() => if self.stdin.write_all(b"beat\n").await.is_err() { break None },
            }
        };
        _ = self.child.start_kill();
        let said = async { self.words.await.ok().flatten() };
        let said = if why.is_some() { why } else { tokio::time::timeout(LAST_GOODBYE, said).await.ok().flatten() };
        _ = self.lost.set(said.unwrap_or("it was cut".to_owned()));
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn ask(&mut self, line: &str, content: &[u8]) -> Option<Said> {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await.ok()?;
        self.stdin.write_all(content).await.ok()?;
        loop {
            tokio::select! {
                said = self.said.recv() => return said,
                // It may take long over the answer.
                _ = self.beat.tick() => self.stdin.write_all(b"beat\n").await.ok()?,
            }
        }
    }

    async fn goodbye(mut self) {
        drop(self.stdin);
        _ = tokio::time::timeout(LAST_GOODBYE, self.child.wait()).await;
    }
}

/// What the script says of its host; `None` if it does not come to that.
async fn hello(reader: &mut BufReader<impl AsyncRead + Unpin>) -> Option<Hello> {
    let mut hello = Hello::default();
    let mut lines = 0;
    loop {
        let line = line(reader).await?;
        lines += 1;
        let (key, value) = line.split_once(' ').unwrap_or((&line, ""));
        match key {
            "dir" => hello.folder = value.to_owned(),
            "qemu" => hello.qemu = value.to_owned(),
            "plugin" => hello.plugin = value.to_owned(),
            "root" => hello.root = value.to_owned(),
            "client" => hello.connection = value.to_owned(),
            "machine" => hello.machines.extend([value, "\n"]),
            "ready" => return Some(hello).filter(|hello| hello.folder.starts_with('/')),
            // A login shell may greet.
            _ => {}
        }
        if lines == 4096 {
            return None;
        }
    }
}

/// Tells answers and ends until there is nothing more.
async fn listen(mut reader: BufReader<impl AsyncRead + Unpin>, said: mpsc::Sender<Said>, watchers: Watchers) {
    while let Some(line) = line(&mut reader).await {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match (word, rest) {
            ("ok", "") => Said::Yes(Vec::new()),
            ("ok", size) => {
                let Some(size) = size.parse::<u64>().ok().filter(|size| *size <= LARGEST_FILE) else { return };
                let mut bytes = Vec::new();
                if !(&mut reader).take(size).read_to_end(&mut bytes).await.is_ok_and(|read| read as u64 == size) {
                    return;
                }
                Said::Yes(bytes)
            }
            ("no", why) => Said::No(preflight::text::plain(why)),
            ("ended", rest) => {
                let (name, status) = rest.rsplit_once(' ').unwrap_or((rest, ""));
                let watcher = watchers.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
                _ = watcher.map(|watcher| watcher.send(ShellStatus(status.to_owned())));
                continue;
            }
            _ => return,
        };
        if said.send(answer).await.is_err() {
            return;
        }
    }
}

/// How a program there ended, as its shell says: a number, above 128 the signal that ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellStatus(String);

impl ShellStatus {
    /// Whether the program was content.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.0 == "0"
    }
}

impl fmt::Display for ShellStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.parse::<u16>() {
            Ok(signal @ 129..) => write!(f, "signal: {}", signal - 128),
            _ => write!(f, "exit status: {}", preflight::text::plain(&self.0)),
        }
    }
}

async fn line(reader: &mut BufReader<impl AsyncRead + Unpin>) -> Option<String> {
    let mut bytes = Vec::new();
    reader.take(LONGEST_LINE).read_until(b'\n', &mut bytes).await.ok()?;
    bytes.pop_if(|byte| *byte == b'\n')?;
    String::from_utf8(bytes).ok()
}

/// What ssh said last. It is read to its end: who is not heard waits.
async fn last_words(mut stderr: impl AsyncRead + Unpin) -> Option<String> {
    let (mut last, mut piece) = (Vec::new(), [0; 1024]);
    while let Ok(length @ 1..) = stderr.read(&mut piece).await {
        last.extend_from_slice(&piece[..length]);
        last.drain(..last.len().saturating_sub(4 * piece.len()));
    }
    last_line(&last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_killed_is_told_from_one_that_ended() {
        assert_eq!(ShellStatus("137".to_owned()).to_string(), "signal: 9");
        assert_eq!(ShellStatus("1".to_owned()).to_string(), "exit status: 1");
    }

    /// The far side's script on this host.
    async fn here(silence: u64) -> (Agent, Hello) {
        let ssh = Ssh::new("", None).expect("a folder");
        Agent::start_with(&ssh, Duration::from_secs(silence)).await.expect("a shell")
    }

    #[tokio::test]
    async fn a_request_may_take_longer_than_anybody_may_be_silent() {
        let (agent, hello) = here(2).await;
        let run = agent.ask("run long 18".to_owned(), b"sleep 6; echo done".to_vec()).await;
        assert!(matches!(&run, Answer::Yes(said) if said == b"done\n"), "{run:?}");
        agent.close().await;
        assert!(!std::path::Path::new(&hello.folder).exists());
    }

    #[tokio::test]
    async fn who_falls_silent_is_taken_for_gone_also_within_a_file() {
        let ssh = Ssh::new("", None).expect("a folder");
        for said in ["beat\n", "put file 100\nbegun"] {
            let script = format!("silence=1\n{SCRIPT}");
            let mut child = ssh.connect(&script).expect("a shell");
            let (mut stdin, stdout) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
            stdin.write_all(script.as_bytes()).await.expect("written");
            let hello = hello(&mut BufReader::new(stdout)).await.expect("it comes up");
            stdin.write_all(said.as_bytes()).await.expect("written");
            let cleared = async {
                child.wait().await.expect("it ends");
                // Who was killed does not clean up; who watches it does, a little later.
                while std::path::Path::new(&hello.folder).exists() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            };
            tokio::time::timeout(PATIENCE, cleared).await.unwrap_or_else(|_| panic!("it stays after {said:?}"));
        }
    }

    #[tokio::test]
    async fn what_was_started_has_ended_once_it_is_stopped_and_nothing_is_started_any_more() {
        let (agent, _) = here(20).await;
        agent.ask("put a.command 13".to_owned(), b"exec sleep 99".to_vec()).await;
        let ended = agent.watch("a");
        let Answer::Yes(pid) = agent.ask("start a".to_owned(), Vec::new()).await else { panic!("not started") };
        let alive = || std::path::Path::new("/proc").join(String::from_utf8_lossy(&pid).as_ref()).exists();
        assert!(alive());
        assert!(matches!(agent.ask("stop".to_owned(), Vec::new()).await, Answer::Yes(_)));
        assert!(!alive());
        assert_eq!(ended.await.map(|status| status.to_string()).as_deref(), Ok("signal: 9"));
        assert!(matches!(agent.ask("start a".to_owned(), Vec::new()).await, Answer::No(_)));
        agent.close().await;
    }

    #[tokio::test]
    async fn answers_ends_and_bytes_are_told_apart_whatever_the_bytes_are() {
        let text: &[u8] = b"ok\nended a-b 137\nok 9\nok\nno x\n\nno disk full\nrubbish\nok\n";
        let (said_in, mut said) = mpsc::channel(8);
        let watchers = Watchers::default();
        let (teller, told) = oneshot::channel();
        watchers.lock().expect("unpoisoned").insert("a-b".to_owned(), teller);
        listen(BufReader::new(text), said_in, watchers).await;
        assert!(matches!(said.recv().await, Some(Said::Yes(bytes)) if bytes.is_empty()));
        assert!(matches!(said.recv().await, Some(Said::Yes(bytes)) if bytes == b"ok\nno x\n\n"));
        assert!(matches!(said.recv().await, Some(Said::No(why)) if why == "disk full"));
        assert!(said.recv().await.is_none(), "nothing is believed after rubbish");
        assert_eq!(told.await.map(|status| status.to_string()).as_deref(), Ok("signal: 9"));
    }
}
