// SPDX-License-Identifier: MIT OR Apache-2.0
//! Cells that are a run each: who dies, which connection is cut, which stream is spoilt, where the guest goes, at each
//! moment; and the verdict with the host it names. Each outcome is also held against a scenario that expects another:
//! no false PASS.

use std::sync::Arc;

use kaput::outcome::verdict::Kind;
use kaput::run::tools::Tools;
use libtest_mimic::{Failed, Trial};

/// The moments from the first at which the guest runs.
const MOMENTS: [&str; 7] = ["suites", "asked", "active", "pre-switchover", "handed-over", "continued", "over"];
/// Those of a migration.
const OF_A_MIGRATION: [&str; 6] = ["asked", "active", "pre-switchover", "handed-over", "continued", "over"];

/// A scenario, and how its run must end: with which verdict, on which host.
struct Cell {
    name: String,
    text: String,
    kind: Kind,
    host: &'static str,
}

/// Judges a cell that is no plain run.
type Judge = fn(&Tools) -> Result<(), Failed>;

/// The parts of a scenario that a cell may change.
#[derive(Clone)]
struct Story {
    source: &'static str,
    destination: String,
    migrations: String,
    expect: String,
    rest: String,
}

impl Story {
    fn new() -> Self {
        Self {
            source: "topology = \"05=cex8a,06=cex8c/33/33,44\"\nmdev = \
                { adapters = [\"05\"], domains = [\"33\"], control-domains = \
                     [\"33\", \"44\"] }",
            destination: "topology = \"05=cex8a,06=cex8c/33/33,44\"".to_owned(),
            migrations: "[[migrations]]\nto = \"B\"".to_owned(),
            expect: "result = \"pass\"".to_owned(),
            rest: String::new(),
        }
    }

    fn text(&self) -> String {
        let Self { source, destination, migrations, expect, rest } = self;
        format!(
            "summary = \"a fault\"\n[guest]\nsuites = [\"presence\", \"migration-apcb\", \"migration-queues\", \
             \"migration-rsa\"]\n\
             [hosts.A]\n{source}\n[hosts.B]\n{destination}\n{migrations}\n{rest}\n[expect]\n{expect}\n"
        )
    }

    fn with_action(mut self, at: &str, action: &str) -> Self {
        self.rest += &format!("[[actions]]\nat = \"{at}\"\n{action}\n");
        self
    }

    fn with(mut self, how: &str) -> Self {
        self.migrations += &format!("\nwith = {{ {how} }}");
        self
    }

    fn to(mut self, destination: &str) -> Self {
        self.destination = destination.to_owned();
        self
    }

    fn refused(mut self, errno: &str) -> Self {
        self.expect = format!("result = \"refused\"\nrefused = {{ errno = \"{errno}\", messages = [] }}");
        self
    }

    fn with_messages(mut self, messages: &[&str]) -> Self {
        self.expect = self.expect.replace("messages = []", &format!("messages = {messages:?}"));
        self
    }
}

fn cell(name: impl Into<String>, story: &Story, kind: Kind, host: &'static str) -> Cell {
    Cell { name: format!("whole::{}", name.into()), text: story.text(), kind, host }
}

/// QEMUs that end, and connections that do.
fn losses() -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut add = |deed: &str, at: &str, host: Option<&str>, kind: Kind, on: &'static str| {
        let place = host.map_or(String::new(), |host| format!("\nhost = \"{host}\""));
        let story = Story::new().with_action(at, &format!("do = \"{deed}\"{place}"));
        let name = host.map_or(deed.to_owned(), |host| format!("{deed}-of-{host}"));
        cells.push(cell(format!("{name}::{at}"), &story, kind, on));
    };
    add("kill-source", "boot", None, Kind::SourceNeverStarted, "A");
    for at in MOMENTS {
        // A source that the guest has left is of no more use.
        let over = at == "over";
        let (died, lost, on) =
            if over { (Kind::AsExpected, Kind::AsExpected, "B") } else { (Kind::QemuDied, Kind::QmpLost, "A") };
        add("kill-source", at, None, died, on);
        add("cut-qmp", at, Some("A"), lost, on);
        // Nor is its plugin, once the AP configuration has gone.
        let left = ["handed-over", "continued", "over"].contains(&at);
        let (kind, on) = if left { (Kind::AsExpected, "B") } else { (Kind::ControlLost, "A") };
        add("cut-control", at, Some("A"), kind, on);
    }
    for at in OF_A_MIGRATION {
        add("kill-destination", at, None, Kind::QemuDied, "B");
        add("cut-qmp", at, Some("B"), Kind::QmpLost, "B");
        add("cut-control", at, Some("B"), Kind::ControlLost, "B");
    }
    for at in MOMENTS {
        add("garbage-on-console", at, None, Kind::ConsoleGarbage, "B");
    }
    cells
}

/// Migrations that somebody cancels; the guest goes on, asks again, and goes over.
fn cancellations() -> Vec<Cell> {
    let mut cells = Vec::new();
    let cancel = "do = \"cancel-migration\"";
    for at in ["active", "pre-switchover", "handed-over"] {
        cells.push(cell(format!("cancel::{at}"), &Story::new().with_action(at, cancel), Kind::AsExpected, "A"));
        let mut again = Story::new().with_action(at, cancel);
        again.migrations = "[[migrations]]\nto = [\"B\", \"B\"]".to_owned();
        cells.push(cell(format!("cancel-and-again::{at}"), &again, Kind::AsExpected, "B"));
        let spoilt = Story::new().with("mid-run = true").with_action(at, cancel);
        cells.push(cell(format!("cancel-mid-run::{at}"), &spoilt, Kind::AsExpected, "A"));
        // The guest never got to a destination that would not have taken it.
        let mut never = Story::new().to("topology = \"06=cex8c/33/33,44\"").refused("ENODEV").with_action(at, cancel);
        never = never.with_messages(&["Queue 05.0033 not available to vfio_ap driver on target host"]);
        let kind = if at == "handed-over" { Kind::AsExpected } else { Kind::NotRefused };
        cells.push(cell(
            format!("cancel-instead-of-refusal::{at}"),
            &never,
            kind,
            if kind == Kind::AsExpected { "A" } else { "B" },
        ));
    }
    cells
}

/// Streams that do not arrive as they were sent.
fn streams() -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut refused = |name: &str, story: Story, errno: &str| {
        cells.push(cell(format!("{name}::refused"), &story.clone().refused(errno), Kind::AsExpected, "A"));
        cells.push(cell(format!("{name}::not-a-pass"), &story, Kind::RefusedUnexpectedly, "B"));
    };
    for cut in [0, 1, 4, 16, 47, 48, 63] {
        refused(&format!("cut-{cut}"), Story::new().with(&format!("cut = {cut}")), "EINVAL");
        refused(&format!("cut-{cut}-by-bytes"), Story::new().with(&format!("cut = {cut}, write-chunk = 1")), "EINVAL");
    }
    for (byte, bit, errno) in [(0, 0, "EINVAL"), (7, 7, "EINVAL"), (11, 7, "EIO"), (11, 6, "EINVAL"), (63, 7, "EINVAL")]
    {
        let flip = format!("flip = {{ byte = {byte}, bit = {bit} }}");
        refused(&format!("flip-{byte}.{bit}"), Story::new().with(&flip), errno);
    }
    refused("twice", Story::new().with("twice = true"), "EIO");
    let swapped = |mut story: Story| {
        story.source = "topology = \"05=cex8a,06=cex8c/33/33,44\"\nmdev = \
            { adapters = [\"05\"], domains = [\"33\"], control-domains = \
                        [\"33\", \"44\"] }\nothers = [{ uuid = \"b\", adapters = [\"06\"], domains = [\"33\"], open = \
                        true }]";
        story.with("stream-of = \"b\"")
    };
    // A configuration like any other, but not the guest's: the guest notices.
    cells.push(cell("swapped::not-a-pass", &swapped(Story::new()), Kind::GuestFailed, "B"));
    let elsewhere = swapped(Story::new()).to("topology = \"05=cex8a/33/33,44\"").refused("ENODEV");
    let elsewhere = elsewhere.with_messages(&["Queue 06.0033 not available to vfio_ap driver on target host"]);
    cells.push(cell("swapped::refused", &elsewhere, Kind::AsExpected, "A"));
    for how in [
        "write-chunk = 1",
        "read-chunk = 1",
        "write-chunk = 1, read-chunk = 1",
        "bandwidth = 2_000_000",
        "downtime = 1",
    ] {
        cells.push(cell(format!("slow::{how}"), &Story::new().with(how), Kind::AsExpected, "B"));
    }
    cells
}

/// Destinations that are not what the guest needs, or have nothing left for it.
fn destinations() -> Vec<Cell> {
    let unavailable = "Queue 05.0033 not available to vfio_ap driver on target host";
    let differs = ["Migration failed: Source and target queue (05.0033) not compatible"];
    // Stateless-command filtering of source and destination, and the type.
    let older = [&differs[..], &["*"; 3]].concat();
    // Source and destination of each of the five facilities that differ.
    let every_facility = [&differs[..], &["*"; 10]].concat();
    let same = "topology = \"05=cex8a,06=cex8c/33/33,44\"";
    let mut cells = Vec::new();
    for (name, host, errno, messages) in [
        ("no-such-adapter", "topology = \"06=cex8c/33/33,44\"".to_owned(), "ENODEV", &[unavailable][..]),
        ("no-such-domain", "topology = \"05=cex8a/3a/33,3a,44\"".to_owned(), "ENODEV", &[unavailable]),
        ("no-such-control-domain", "topology = \"05=cex8a/33/33\"".to_owned(), "ENODEV", &["*0044*"]),
        ("unbound", format!("{same}\nunbound = [\"05.0033\"]"), "ENODEV", &[unavailable]),
        (
            "of-the-default-drivers",
            format!("{same}\ndefault-adapters = [\"05\"]\ndefault-domains = [\"33\"]"),
            "ENODEV",
            &[unavailable],
        ),
        (
            "somebody-elses",
            format!("{same}\nothers = [{{ uuid = \"b\", adapters = [\"05\"], domains = [\"33\"], open = true }}]"),
            "EADDRINUSE",
            &["Userspace may not"],
        ),
        ("older-card", "topology = \"05=cex7a/33/33,44\"".to_owned(), "EFAULT", &older),
        ("other-mode", "topology = \"05=cex8c/33/33,44\"".to_owned(), "EFAULT", &every_facility),
    ] {
        let story = Story::new().to(&host);
        let right = story.clone().refused(errno).with_messages(messages);
        cells.push(cell(format!("destination-{name}::refused"), &right, Kind::AsExpected, "A"));
        cells.push(cell(format!("destination-{name}::not-a-pass"), &story, Kind::RefusedUnexpectedly, "B"));
        let wrong = story.refused("ENOMEM").with_messages(messages);
        cells.push(cell(format!("destination-{name}::with-another-error"), &wrong, Kind::WrongRefusal, "B"));
    }
    for (name, host) in [("same", same), ("newer-card", "topology = \"05=cex8a,06=cex8c,07=cex8p/33,3a/33,3a,44\"")] {
        let story = Story::new().to(host);
        cells.push(cell(format!("destination-{name}::accepted"), &story, Kind::AsExpected, "B"));
        cells.push(cell(format!("destination-{name}::not-a-refusal"), &story.refused("ENODEV"), Kind::NotRefused, "B"));
    }
    let full = |mut story: Story| {
        story.rest += "[[asks]]\nat = \"asked\"\nhost = \"B\"\nrequest = \
            { execute = \"memory-shortage\", arguments = { on = true } }\n";
        story
    };
    cells.push(cell("destination-full::refused", &full(Story::new()).refused("ENOMEM"), Kind::AsExpected, "A"));
    cells.push(cell("destination-full::not-a-pass", &full(Story::new()), Kind::RefusedUnexpectedly, "B"));
    // The administrator takes the card away while the guest is on its way; what comes too late hits the guest itself.
    for (at, kind, host) in [
        ("asked", Kind::RefusedUnexpectedly, "B"),
        ("active", Kind::RefusedUnexpectedly, "B"),
        ("pre-switchover", Kind::RefusedUnexpectedly, "B"),
        ("handed-over", Kind::GuestFailed, "B"),
        ("over", Kind::GuestFailed, "B"),
    ] {
        let story = Story::new().with_action(at, "do = \"unplug\"\nadapter = \"05\"\nhost = \"B\"");
        cells.push(cell(format!("unplugged-at-the-destination::{at}"), &story, kind, host));
    }
    cells
}

/// A migration that is cancelled when QEMU has been told to go on. QEMU may have gone too far, or be in time, or be
/// both: then its destination has everything and runs while its source believes that it was cancelled, and the harness
/// must not let that pass.
fn cancelled_too_late(tools: &Tools) -> Result<(), Failed> {
    let story = Story::new().with_action("continued", "do = \"cancel-migration\"");
    let verdict = super::finished(tools, &story.text())?.verdict;
    let both_run = "source running, its migration cancelled; destination running, its migration completed";
    match verdict.kind {
        Kind::AsExpected => Ok(()),
        Kind::WrongEndState if verdict.seen == both_run => Ok(()),
        kind => Err(format!("{kind}: {}\nseen: {}", verdict.happened, verdict.seen).into()),
    }
}

/// Runs a cell.
fn judge(tools: &Tools, cell: &Cell) -> Result<(), Failed> {
    let verdict = super::finished(tools, &cell.text)?.verdict;
    let host = verdict.host.as_deref().unwrap_or_default();
    if verdict.kind == cell.kind && (cell.host.is_empty() || host == cell.host) {
        return Ok(());
    }
    let (wanted, on) = (cell.kind, cell.host);
    Err(format!(
        "expected {wanted} on {on:?}, got {} on {host:?}: {}\nexpected: {}\nseen: {}",
        verdict.kind, verdict.happened, verdict.expected, verdict.seen
    )
    .into())
}

/// A destination's QEMU that gets so little memory that it cannot start.
fn without_memory(tools: &Tools) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let qemu = folder.path().join("qemu");
    let real = tools.qemu.display();
    crate::program::program(
        &qemu,
        &format!("#!/bin/sh\ncase \"$*\" in *-incoming*) ulimit -v 40000;; esac\nexec '{real}' \"$@\"\n"),
    )?;
    let tools = Tools { qemu, ..tools.clone() };
    judge(&tools, &cell("", &Story::new(), Kind::DestinationNeverStarted, "B"))
}

pub(super) fn trials(tools: &Arc<Tools>) -> Vec<Trial> {
    let groups: [fn() -> Vec<Cell>; 4] = [losses, cancellations, streams, destinations];
    let mut trials = Vec::new();
    for cell in groups.into_iter().flat_map(|group| group()) {
        let tools = Arc::clone(tools);
        trials.push(Trial::test(cell.name.clone(), move || judge(&tools, &cell)));
    }
    let others = [
        ("whole::destination-without-memory", without_memory as Judge),
        ("whole::cancel::continued", cancelled_too_late),
    ];
    for (name, judge) in others {
        let tools = Arc::clone(tools);
        trials.push(Trial::test(name, move || judge(&tools)));
    }
    trials
}
