// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every fault that can be planted in the AP machine, in the real QEMU: the case that is to notice it fails. One test a
//! fault, `fault::qci-reserved-byte`, with the suite concerned only.
//!
//! `docs/generated/planted-faults.md` says of all suites which cases notice which fault. With `KAPUT_WRITE_DOCS=1`
//! every suite runs for every fault, which takes minutes, and the page is written anew; without it the page is held
//! against what the suite concerned shows.

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use ap_arch::image::MIGRATION_SUITE_BEGINS;
use ap_arch::report::CaseVerdict;
use ap_machine::{FAULTS, PlantedFault};
use kaput::run;
use kaput::run::tools::Tools;
use kaput::scenario::load::Loaded;
use libtest_mimic::{Arguments, Failed, Trial};

/// Suites that run only where they are named and judge no fault of the machine.
const ON_REQUEST: [&str; 5] = ["outside", "limits", "reipl", "hot-unplug", "bench"];

const PAGE: &str = "docs/generated/planted-faults.md";

/// The cases that failed, by fault.
type Noticed = Mutex<BTreeMap<&'static str, Vec<String>>>;

/// Two CPUs, one card of each mode, two domains, all facilities, and the fault. Where a suite judges migrations the
/// guest moves to a host without the fault.
fn scenario(fault: &str, suites: &[&str]) -> String {
    let masks = r#"domains = ["33", "3a"], control-domains = ["33", "3a", "44"]"#;
    let cards = r#"05 = "cex8a", 06 = "cex8c", 07 = "cex8p""#;
    let migration = if suites.iter().any(|suite| suite.starts_with(MIGRATION_SUITE_BEGINS)) {
        format!(
            "[hosts.B]\ntopology = {{ adapters = {{ {cards} }}, {masks}, facilities = {{ apqi = true }} }}\n\
             [[migrations]]\nto = \"B\""
        )
    } else {
        String::new()
    };
    format!(
        r#"
summary = "a fault is planted"
[guest]
suites = {suites:?}
cpus = 2
patience = 500
[hosts.A]
mdev = {{ adapters = ["05", "06", "07"], {masks} }}
topology = {{ adapters = {{ {cards} }}, {masks}, facilities = {{ apqi = true }}, faults = ["{fault}"] }}
{migration}
[expect]
result = "pass"
[deadlines]
guest = 600
"#
    )
}

/// The cases that fail for a fault, in the order of the report; each once.
fn noticed(tools: &Tools, planted: &PlantedFault, suites: &[&str]) -> Result<Vec<String>, Failed> {
    let loaded = Loaded::from_text(Path::new("fault.toml"), scenario(planted.name, suites))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let finished = runtime.block_on(run::run(tools, &loaded, run::Options::default()))?;
    if let Some(folder) = &finished.verdict.run_folder {
        // A run with a fault is never as expected, so its folder was kept.
        fs::remove_dir_all(folder)?;
    }
    let failed = finished.cases.into_iter().filter(|case| case.verdict == CaseVerdict::Fail).map(|case| case.name);
    let failed: Vec<String> = failed.collect();
    if failed.iter().any(|name| name == planted.case) {
        return Ok(failed);
    }
    Err(format!("{} did not fail, although {} ({})", planted.case, planted.what, finished.verdict.happened).into())
}

fn page_place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(PAGE)
}

fn page(noticed: &BTreeMap<&'static str, Vec<String>>) -> String {
    let mut page = String::from(
        "# Faults that can be planted\n\nEach is a name for the topology's key `faults`: the machine then has it, and \
         the guest must notice. The first case is\nthe one that must fail; the others fail too. This page is made by \
         running all suites with each fault:\n`KAPUT_WRITE_DOCS=1 cargo xtask test harness` writes it anew \
         (`tools/kaput/tests/planted_faults.rs`). `cargo xtask test`\nasks the suite of the first case.\n",
    );
    for planted in FAULTS {
        let others = noticed.get(planted.name).into_iter().flatten().filter(|name| *name != planted.case);
        _ = writeln!(page, "\n## {}\n\n{}\n\n* {}", planted.name, planted.what, planted.case);
        others.for_each(|name| _ = writeln!(page, "* {name}"));
    }
    page
}

/// The cases of one suite that the page names for a fault.
fn on_the_page(page: &str, planted: &PlantedFault, suite: &str) -> Vec<String> {
    let section = page.split("\n## ").find_map(|section| section.strip_prefix(&format!("{}\n", planted.name)));
    let names = section.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("* "));
    names.filter(|name| name.split_once('/').is_some_and(|(its, _)| its == suite)).map(str::to_owned).collect()
}

fn trial(
    tools: &Arc<Tools>,
    planted: &'static PlantedFault,
    found: Option<&Arc<Noticed>>,
    page: &Arc<String>,
) -> Trial {
    let (tools, found, page) = (Arc::clone(tools), found.cloned(), Arc::clone(page));
    Trial::test(format!("fault::{}", planted.name), move || {
        let concerned = planted.case.split('/').next().unwrap_or_default();
        let Some(found) = found else {
            let failed = noticed(&tools, planted, &[concerned])?;
            // After other suites more may fail: what they leave behind is not as it should be.
            let listed = on_the_page(&page, planted, concerned);
            return match failed.iter().find(|name| !listed.contains(name)) {
                None => Ok(()),
                Some(name) => Err(format!("{name} failed too, which {PAGE} does not list").into()),
            };
        };
        let ours = |suite: &&str| {
            *suite == concerned || !suite.starts_with(MIGRATION_SUITE_BEGINS) && !ON_REQUEST.contains(suite)
        };
        let suites: Vec<&str> = tools.image.suites().into_iter().filter(ours).collect();
        let failed = noticed(&tools, planted, &suites)?;
        found.lock().unwrap_or_else(PoisonError::into_inner).insert(planted.name, failed);
        Ok(())
    })
}

fn set_up() -> miette::Result<Arc<Tools>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| miette::miette!("{e}"))?;
    Ok(Arc::new(runtime.block_on(support::named().find())?))
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One QEMU is busy in each run.
    arguments.test_threads.get_or_insert(2);
    let tools = match set_up() {
        Ok(tools) => tools,
        Err(error) => {
            eprintln!("{error:?}");
            return ExitCode::from(2);
        }
    };
    let found = std::env::var_os("KAPUT_WRITE_DOCS").is_some().then(Arc::<Noticed>::default);
    let told = Arc::new(fs::read_to_string(page_place()).unwrap_or_default());
    let trials = FAULTS.iter().map(|planted| trial(&tools, planted, found.as_ref(), &told)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let all = found.filter(|found| found.lock().is_ok_and(|found| found.len() == FAULTS.len()));
    if let Some(found) = all
        && let Err(error) = fs::write(page_place(), page(&found.lock().unwrap_or_else(PoisonError::into_inner)))
    {
        eprintln!("{PAGE}: {error}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
