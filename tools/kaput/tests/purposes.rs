// SPDX-License-Identifier: MIT OR Apache-2.0
//! What each shipped scenario is there for: which single faults, one at a time, make it end other than expected. No two
//! scenarios may be there for the same single fault only.
//!
//! `docs/generated/purposes.md` says so. With `KAPUT_WRITE_DOCS=1` every fault is tried on every scenario, which takes
//! minutes, and the page is written anew; a filter for the tests tries some scenarios and keeps the other sections.
//! Without it the page is compared with the scenarios and the faults there are, and one fault of each section is tried.
//! A scenario that migrates is tried with the driver's defects, where one that it has itself is taken away; a scenario
//! that stays is tried with the faults that can be planted in the AP machine.

#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ap_machine::FAULTS;
use kaput::outcome::verdict::Exit;
use kaput::run;
use kaput::run::tools::Tools;
use kaput::scenario::load::{self, Loaded};
use libtest_mimic::{Arguments, Failed, Trial};
use toml::Spanned;
use vfio_ap::defect::Defect;

/// Scenarios that are shipped at least.
const LEAST: usize = 30;
/// A guest that a fault has stopped is not waited for as long as one on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The faults that a scenario notices, by scenario.
type Table = BTreeMap<String, Vec<String>>;

/// The names of what a scenario is tried with.
fn candidates(loaded: &Loaded) -> Vec<&'static str> {
    let scenario = &loaded.scenario;
    match (scenario.plugin, scenario.hops().is_empty()) {
        (false, _) => Vec::new(),
        (true, true) => FAULTS.iter().map(|fault| fault.name).collect(),
        (true, false) => Defect::ALL.iter().map(|defect| defect.name()).collect(),
    }
}

/// The scenario with one fault more, or one less.
fn changed(loaded: &Loaded, name: &str) -> Loaded {
    let mut changed = loaded.clone();
    changed.scenario.deadlines.guest = PATIENCE;
    let stays = changed.scenario.hops().is_empty();
    for host in changed.scenario.hosts.values_mut() {
        if stays {
            host.topology.faults.push(name.to_owned());
        } else if host.defects.iter().any(|defect| defect.get_ref() == name) {
            host.defects.retain(|defect| defect.get_ref() != name);
        } else if !loaded.scenario.expect.findings.iter().any(|finding| finding == name) {
            host.defects.push(Spanned::new(0..0, name.to_owned()));
        }
    }
    changed
}

fn notices(tools: &Tools, loaded: &Loaded, name: &str) -> Result<bool, Failed> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let options = run::Options { discard: true, ..run::Options::default() };
    let changed = changed(loaded, name);
    let exit = || Ok::<_, Failed>(runtime.block_on(run::run(tools, &changed, options))?.verdict.kind.exit());
    match exit()? {
        Exit::AsExpected => Ok(false),
        // A host that a defect brings down goes down again; a machine that was too slow need not be.
        Exit::Infrastructure => Ok(exit()? != Exit::AsExpected),
        _ => Ok(true),
    }
}

fn page_place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/generated/purposes.md")
}

/// Ends the sections of the scenarios.
const TRIED: &str = "## How many faults are tried";

/// How many faults there are to try.
fn tried() -> String {
    format!("{} defects of the driver, {} faults of the AP machine.", Defect::ALL.len(), FAULTS.len())
}

fn page(table: &Table) -> String {
    let mut page = String::from(
        "# What each scenario is there for\n\nThe single faults, one at a time, with which a shipped scenario does \
         not end as expected: defects of the driver for a\nscenario that migrates, [faults of the AP \
         machine](planted-faults.md) for one that stays. A scenario that shows a\ndefect is tried without it. No two \
         scenarios are there for the same \
         single fault only. This page is made by\n`tools/kaput/tests/purposes.rs`: `KAPUT_WRITE_DOCS=1 cargo xtask \
         test harness` tries everything and writes it anew;\n`cargo xtask test` tries one fault of each section.\n",
    );
    for (scenario, noticed) in table {
        _ = writeln!(page, "\n## {scenario}\n");
        noticed.iter().for_each(|fault| _ = writeln!(page, "* {fault}"));
    }
    _ = writeln!(page, "\n{TRIED}\n\n{}", tried());
    page
}

fn read_page() -> Table {
    let text = fs::read_to_string(page_place()).unwrap_or_default();
    let sections = text.split(TRIED).next().unwrap_or_default().split("\n## ").skip(1);
    let list = |section: &str| section.lines().filter_map(|line| line.strip_prefix("* ")).map(str::to_owned).collect();
    sections.filter_map(|section| Some((section.lines().next()?.to_owned(), list(section)))).collect()
}

/// Whether the table is of these scenarios and these faults, and says of each scenario what no other says.
fn judge_table(table: &Table, scenarios: &[Loaded]) -> Result<(), Failed> {
    let shipped: Vec<&str> = scenarios.iter().map(|loaded| loaded.scenario.name.as_str()).collect();
    let told: Vec<&str> = table.keys().map(String::as_str).collect();
    if shipped != told {
        return Err(format!("docs/generated/purposes.md is of other scenarios: {told:?}, there are {shipped:?}").into());
    }
    if shipped.len() < LEAST {
        return Err(format!("{} scenarios are shipped, expected {LEAST} at least", shipped.len()).into());
    }
    if !fs::read_to_string(page_place())?.contains(&tried()) {
        return Err("docs/generated/purposes.md was written when there were other faults".into());
    }
    let mut of_one: BTreeMap<&str, &str> = BTreeMap::new();
    for loaded in scenarios {
        let name = loaded.scenario.name.as_str();
        let noticed = &table[name];
        let known = candidates(loaded);
        if let Some(unknown) = noticed.iter().find(|fault| !known.contains(&fault.as_str())) {
            return Err(format!("docs/generated/purposes.md: {name} cannot be tried with `{unknown}`").into());
        }
        if let [one] = noticed.as_slice()
            && let Some(other) = of_one.insert(one, name)
        {
            return Err(format!("{other} and {name} are both there for `{one}` only").into());
        }
    }
    Ok(())
}

fn trial_writing(tools: &Arc<Tools>, loaded: Loaded, table: &Arc<Mutex<Table>>) -> Trial {
    let (tools, table) = (Arc::clone(tools), Arc::clone(table));
    Trial::test(format!("purpose::{}", loaded.scenario.name), move || {
        let mut noticed = Vec::new();
        for name in candidates(&loaded) {
            if notices(&tools, &loaded, name)? {
                noticed.push(name.to_owned());
            }
        }
        table.lock().unwrap_or_else(PoisonError::into_inner).insert(loaded.scenario.name.clone(), noticed);
        Ok(())
    })
}

fn trial_checking(tools: &Arc<Tools>, loaded: Loaded, noticed: Option<&Vec<String>>) -> Option<Trial> {
    let (tools, fault) = (Arc::clone(tools), noticed?.first()?.clone());
    Some(Trial::test(format!("purpose::{}::{fault}", loaded.scenario.name), move || {
        if notices(&tools, &loaded, &fault)? {
            return Ok(());
        }
        Err(format!("docs/generated/purposes.md says that the scenario notices `{fault}`, and it does not").into())
    }))
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Two QEMUs are busy in each run.
    arguments.test_threads.get_or_insert(2);
    let named = support::named();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let tools = Arc::new(runtime.block_on(named.find()).expect("tools"));
    drop(runtime);
    let folder = named.scenarios.find().expect("scenarios");
    let all: Vec<Loaded> = load::names(&folder)
        .and_then(|names| names.iter().map(|name| load::find(&folder, name)).collect())
        .expect("scenarios that can be read");
    if std::env::var_os("KAPUT_WRITE_DOCS").is_none() {
        let table = read_page();
        let mut trials: Vec<Trial> = all
            .iter()
            .filter_map(|loaded| trial_checking(&tools, loaded.clone(), table.get(&loaded.scenario.name)))
            .collect();
        trials.push(Trial::test("purpose::no-two-alike", move || judge_table(&table, &all)));
        return libtest_mimic::run(&arguments, trials).exit_code();
    }
    let mut known = read_page();
    known.retain(|name, _| all.iter().any(|loaded| loaded.scenario.name == *name));
    let table = Arc::new(Mutex::new(known));
    let trials = all.iter().map(|loaded| trial_writing(&tools, loaded.clone(), &table)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let found = table.lock().unwrap_or_else(PoisonError::into_inner);
    if found.len() == all.len()
        && let Err(error) = fs::write(page_place(), page(&found))
    {
        eprintln!("docs/generated/purposes.md: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
