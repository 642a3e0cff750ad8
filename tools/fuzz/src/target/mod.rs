// SPDX-License-Identifier: MIT OR Apache-2.0
//! What reads input from outside, each with what it promises.

mod agent;
mod collect;
mod control;
mod fleet;
mod preflight;
mod scenario;
mod stream;
mod topology;

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use clap::ValueEnum;

/// A reader under test.
pub(crate) trait Target {
    /// Reads one input; the answer's kind as a number: inputs that make new kinds are worth keeping.
    ///
    /// # Errors
    /// Which promise was broken.
    fn read(&mut self, input: &[u8]) -> Result<u64, String>;
}

/// The targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// A migration stream, written to a destination in pieces
    Stream,
    /// Lines of the control socket
    Control,
    /// AP hardware, in its short and its long form
    Topology,
    /// Scenario files
    Scenario,
    /// Frames of the agent, and what a kernel answers by it
    Agent,
    /// The snapshots of many hosts
    Fleet,
    /// What preflight reads of a host and of a guest
    Preflight,
    /// The files of a host
    Collect,
}

impl Name {
    pub(crate) fn target(self) -> Box<dyn Target> {
        match self {
            Self::Stream => Box::new(stream::Stream::new()),
            Self::Control => Box::new(control::Control::new()),
            Self::Topology => Box::new(topology::Topologies),
            Self::Scenario => Box::new(scenario::Scenarios),
            Self::Agent => Box::new(agent::Agent::new()),
            Self::Fleet => Box::new(fleet::Fleets),
            Self::Preflight => Box::new(preflight::Documents),
            Self::Collect => Box::new(collect::Files),
        }
    }

    /// Bytes that one input may cost.
    pub(crate) const fn memory_limit(self) -> usize {
        match self {
            // The staging buffer of the largest stream, the model's host and its log.
            Self::Stream => 16 << 20,
            // A line may ask for 65,536 queues, or read the largest stream.
            Self::Control => 256 << 20,
            Self::Topology => 64 << 20,
            Self::Scenario | Self::Agent => 16 << 20,
            // One device may have all 65,536 queues, each of which breaks rules in words.
            Self::Fleet | Self::Preflight => 1 << 30,
            Self::Collect => 64 << 20,
        }
    }

    /// What the format is made of.
    pub(crate) fn words(self) -> Vec<String> {
        let lines = match self {
            Self::Stream => "vfap",
            Self::Control => include_str!("../../words/control.txt"),
            Self::Topology => include_str!("../../words/topology.txt"),
            Self::Scenario => include_str!("../../words/scenario.txt"),
            Self::Agent => include_str!("../../words/agent.txt"),
            Self::Fleet => include_str!("../../words/fleet.txt"),
            Self::Preflight => include_str!("../../words/preflight.txt"),
            Self::Collect => include_str!("../../words/collect.txt"),
        };
        lines.lines().map(|word| word.replace("\\n", "\n")).collect()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

/// The seeds of a target: every file of its folder.
///
/// # Errors
/// The folder cannot be read, or is empty.
pub(crate) fn seeds(name: Name, corpus: &Path) -> Result<Vec<Vec<u8>>, String> {
    let folder = corpus.join(name.to_string());
    let complain = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(complain)? {
        paths.push(entry.map_err(complain)?.path());
    }
    paths.sort();
    let seeds = paths.iter().map(std::fs::read).collect::<Result<Vec<_>, _>>().map_err(complain)?;
    if seeds.is_empty() { Err(format!("{}: no seeds", folder.display())) } else { Ok(seeds) }
}

/// The kind of an answer in words: without its numbers and names, of which there are too many.
pub(crate) fn kind_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut in_quotes = false;
    for character in text.chars().take(400) {
        in_quotes ^= matches!(character, '`' | '"');
        if !in_quotes && !character.is_ascii_digit() {
            character.hash(&mut hasher);
        }
    }
    hasher.finish()
}
