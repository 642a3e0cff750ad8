// SPDX-License-Identifier: MIT OR Apache-2.0
//! How a crate is laid out: its rooms, the arrows between them, circles of its files, and arrows that run up.
//!
//! A room is a file or a folder right below `src`; `main.rs` and `lib.rs` are one room, the crate's top. A module's
//! file and its own children are no circle. The order of the rooms, top to bottom, is the list in the header of the
//! crate's root: lines that begin with `* [`room`]` or `* `room``.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::graph::Graph;
use crate::names::{self, Arrows};
use crate::source::Modules;
use crate::workspace::Crate;

/// The room of `main.rs` and `lib.rs`.
const TOP: &str = "main";

/// Crates whose root's header must list the rooms.
const WITH_ORDER: [&str; 2] = ["kaput", "kaput-image"];

/// What there is to say about one crate.
#[derive(Debug)]
pub(crate) struct Layout {
    pub(crate) name: String,
    pub(crate) files: usize,
    pub(crate) rooms: BTreeSet<String>,
    pub(crate) floors: usize,
    /// From room to room, with where each is drawn.
    pub(crate) arrows: BTreeMap<(String, String), Vec<String>>,
    /// Circles of files.
    pub(crate) circles: Vec<Circle>,
    /// Circles of rooms.
    pub(crate) room_circles: Vec<BTreeSet<String>>,
    /// The order that the root's header declares.
    pub(crate) order: Vec<String>,
}

/// Files that form a circle, and the arrows between them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle {
    pub(crate) files: BTreeSet<PathBuf>,
    pub(crate) arrows: Vec<String>,
}

impl Layout {
    /// Looks at one crate of the checkout at `root`.
    pub(crate) fn of(root: &Path, of: &Crate) -> Result<Self> {
        let modules = Modules::read(&of.name, of.library.as_deref(), &of.programs)?;
        let source = root.join(&of.folder).join("src");
        let short = |file: &Path| file.strip_prefix(&source).unwrap_or(file).to_owned();
        let files: BTreeSet<PathBuf> = modules.all.iter().map(|module| short(&module.file)).collect();
        let drawn: Arrows =
            names::arrows(&modules).into_iter().map(|((from, to), line)| ((short(&from), short(&to)), line)).collect();
        let above: BTreeSet<(PathBuf, PathBuf)> = modules
            .all
            .iter()
            .flat_map(|module| {
                let ancestors = std::iter::successors(module.parent, |above| modules.all[*above].parent);
                ancestors.map(|above| (short(&module.file), short(&modules.all[above].file)))
            })
            .collect();
        let mut arrows: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for ((from, to), line) in &drawn {
            // What all rooms share stands above them, in the root; that is no arrow up.
            if room(from) != room(to) && room(to) != TOP {
                arrows.entry((room(from), room(to))).or_default().push(text(from, *line, to));
            }
        }
        let rooms: BTreeSet<String> = files.iter().map(|file| room(file)).collect();
        let graph = Graph::new(rooms.clone(), arrows.keys().cloned());
        Ok(Self {
            name: of.name.clone(),
            files: files.len(),
            floors: graph.floors(),
            room_circles: graph.circles(),
            circles: circles(&files, &drawn, &above),
            order: order(of),
            rooms,
            arrows,
        })
    }

    /// Arrows from a room to one that the header lists above it, with where they are drawn.
    pub(crate) fn up(&self) -> Vec<(&(String, String), &[String])> {
        let place = |room: &str| match room {
            TOP => Some(0),
            room => self.order.iter().position(|listed| listed == room).map(|place| place + 1),
        };
        let is_up = |(from, to): &(String, String)| place(from).zip(place(to)).is_some_and(|(from, to)| to < from);
        self.arrows.iter().filter(|(pair, _)| is_up(pair)).map(|(pair, drawn)| (pair, &**drawn)).collect()
    }

    /// Whether nothing is in a circle, no arrow runs up, and the header lists all rooms where it lists any.
    pub(crate) fn is_tidy(&self) -> bool {
        let has_circle = !self.circles.is_empty() || !self.room_circles.is_empty();
        let lacks_order = self.order.is_empty() && WITH_ORDER.contains(&&*self.name);
        !has_circle && !lacks_order && self.up().is_empty() && self.unlisted().is_empty()
    }

    /// Rooms that the header does not list, where it lists any.
    pub(crate) fn unlisted(&self) -> Vec<&str> {
        let listed = |room: &&String| *room == TOP || self.order.contains(room);
        if self.order.is_empty() {
            return Vec::new();
        }
        self.rooms.iter().filter(|room| !listed(room)).map(String::as_str).collect()
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, files, floors, .. } = self;
        let (rooms, arrows, circles) = (self.rooms.len(), self.arrows.len(), self.circles.len());
        let up = self.up();
        let order = if self.order.is_empty() { "no order declared".to_owned() } else { format!("{} up", up.len()) };
        writeln!(
            out,
            "{name:<12} files {files:>3}  rooms {rooms:>2}  floors {floors:>2}  arrows {arrows:>3} ({order})  circles \
             {circles}"
        )?;
        for circle in &self.circles {
            writeln!(out, "  circle of {} files:", circle.files.len())?;
            for file in &circle.files {
                writeln!(out, "    {}", file.display())?;
            }
            for arrow in &circle.arrows {
                writeln!(out, "      {arrow}")?;
            }
        }
        for circle in &self.room_circles {
            let rooms: Vec<&str> = circle.iter().map(String::as_str).collect();
            writeln!(out, "  circle of {} rooms: {}", circle.len(), rooms.join(", "))?;
        }
        for ((from, to), drawn) in up {
            writeln!(out, "  up: {from} -> {to}")?;
            for arrow in drawn {
                writeln!(out, "      {arrow}")?;
            }
        }
        for room in self.unlisted() {
            writeln!(out, "  the root's header does not list {room}")?;
        }
        Ok(())
    }
}

fn text(from: &Path, line: usize, to: &Path) -> String {
    format!("{}:{line} -> {}", from.display(), to.display())
}

/// The room of a file, whose path begins below `src`.
fn room(file: &Path) -> String {
    let first = file.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
    match first.unwrap_or_default().trim_end_matches(".rs") {
        "main" | "lib" => TOP.to_owned(),
        room => room.to_owned(),
    }
}

/// The circles that are left without the arrows from a module's file to its children, and those that are left without
/// the arrows back. So a circle through a third file is found whichever way it goes through the two.
fn circles(files: &BTreeSet<PathBuf>, arrows: &Arrows, above: &BTreeSet<(PathBuf, PathBuf)>) -> Vec<Circle> {
    let without = |is_within: &dyn Fn(&(PathBuf, PathBuf)) -> bool| {
        let kept = arrows.keys().filter(|arrow| !is_within(arrow)).cloned();
        Graph::new(files.iter().cloned(), kept).circles()
    };
    let up = without(&|arrow| above.contains(arrow));
    let down = without(&|(from, to)| above.contains(&(to.clone(), from.clone())));
    let mut all: Vec<BTreeSet<PathBuf>> = up.into_iter().chain(down).collect();
    all.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
    let mut found: Vec<Circle> = Vec::new();
    for files in all {
        if !found.iter().any(|larger| files.is_subset(&larger.files)) {
            let within = arrows.iter().filter(|((from, to), _)| files.contains(from) && files.contains(to));
            let arrows = within.map(|((from, to), line)| text(from, *line, to)).collect();
            found.push(Circle { files, arrows });
        }
    }
    found
}

/// The rooms that the header of the crate's root lists.
fn order(of: &Crate) -> Vec<String> {
    let Some(root) = of.library.as_ref().or(of.programs.first()) else { return Vec::new() };
    let text = fs::read_to_string(root).unwrap_or_default();
    let header = text.lines().map_while(|line| line.strip_prefix("//")).filter_map(|line| line.strip_prefix('!'));
    header.filter_map(listed).collect()
}

/// The room that a line of a list begins with.
fn listed(line: &str) -> Option<String> {
    let item = line.trim_start().strip_prefix("* ")?;
    let name = item.trim_start_matches('[').strip_prefix('`')?.split('`').next()?;
    Some(name.trim_end_matches('/').to_owned())
}
