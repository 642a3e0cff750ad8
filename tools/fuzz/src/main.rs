// SPDX-License-Identifier: MIT OR Apache-2.0
//! Fuzzing without a nightly compiler: seeds are damaged again and again, and what makes the target answer in a way
//! that it has not answered before becomes a seed. A panic, a broken promise of the target, a hang and memory beyond
//! the target's limit end it, with the input written down; the same seed number finds it again.
//!
//! `cargo xtask fuzz` builds and starts it.

mod engine;
mod memory;
mod mutate;
mod target;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::engine::Engine;
use crate::target::Name;

const EXAMPLES: &str = "\
Examples:
  kaput-fuzz stream --seconds 20          damaged migration streams for twenty seconds
  kaput-fuzz control --seed 7             another course than usual
  kaput-fuzz scenario --input crash-1     one input again

Exit status: 0 nothing found, 1 something found, 2 usage.
";

/// Throws damaged input at a reader of input from outside.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    /// What is to read it.
    #[arg(value_enum)]
    target: Name,
    /// For so long.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Number from which all damage follows.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The folder with the seeds, one folder for each target.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))]
    corpus: PathBuf,
    /// Only this input, once.
    #[arg(long)]
    input: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match start(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("kaput-fuzz: {reason}");
            ExitCode::from(2)
        }
    }
}

fn start(arguments: &Arguments) -> Result<(), String> {
    let name = arguments.target;
    let mut engine = Engine::new(name, arguments.seed);
    if let Some(path) = &arguments.input {
        let input = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{name}: answer {:#018x}", engine.once(&input));
        return Ok(());
    }
    let seeds = target::seeds(name, &arguments.corpus)?;
    let count = seeds.len();
    let summary = engine.run(seeds, Duration::from_secs(arguments.seconds));
    println!("{name}: {count} seeds, {summary}");
    Ok(())
}
