// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is here and what is missing, each with the command that fixes it. Nothing is fetched and nothing is changed;
//! QEMU is started without a machine, because only a QEMU that is shown the plugin says whether it takes it.

pub mod host;

use std::fmt;
use std::path::Path;

use crate::guest::image::Image;
use crate::hosts::qemu;
use crate::machine::run_folder::RunFolder;
use crate::run::tools::Named;
use crate::scenario::load;

const QEMU_FIX: &str = "install qemu-system-s390x 11.1 or newer, built with plugins, and put it in PATH or name it \
                         with --qemu or KAPUT_QEMU; in a checkout `cargo xtask setup` fetches one";
const PLUGIN_FIX: &str = "if the plugin is damaged or of another machine, name a whole one with --plugin or \
                           KAPUT_PLUGIN; if this QEMU is older than 11.1 or built without plugins, name another with \
                           --qemu or KAPUT_QEMU";
const WHOLE_FOLDER: &str = "unpack the whole folder of a release again, or in a checkout use `cargo xtask kaput`";

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// What was found, or what is wrong.
    pub text: String,
    /// What fixes it; `None` where nothing is missing.
    pub fix: Option<String>,
    /// What is known to be wrong with it, though it can be used.
    pub warning: Option<&'static str>,
}

impl Check {
    fn of(what: &'static str, found: Result<String, String>, fix: impl FnOnce() -> String) -> Self {
        match found {
            Ok(text) => Self { what, text, fix: None, warning: None },
            Err(text) => Self { what, text, fix: Some(fix()), warning: None },
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.fix.is_some() { "MISSING" } else { "ok" };
        writeln!(f, "  {word:<8} {:<12} {}", self.what, self.text)?;
        if let Some(warning) = self.warning {
            writeln!(f, "  {:<8} {:<12} {warning}", "warning", "")?;
        }
        self.fix.as_ref().map_or(Ok(()), |fix| writeln!(f, "  {:<8} {:<12} fix it by: {fix}", "", ""))
    }
}

/// Looks at everything a run needs.
pub async fn look(named: &Named) -> Vec<Check> {
    let qemu = named.emulator.qemu();
    let version = qemu::version(&qemu).await;
    let started = version.is_ok();
    let warning = version.as_deref().ok().and_then(qemu::numbers).and_then(qemu::known_fault);
    let found = version.map(|version| format!("{version}, {}", qemu.display())).map_err(|error| error.to_string());
    let mut checks = vec![Check { warning, ..Check::of("QEMU", found, || QEMU_FIX.to_owned()) }];
    if started {
        let machine = qemu::machine_type(&qemu).await.map_err(|error| error.to_string());
        checks.push(Check::of("machine", machine, || QEMU_FIX.to_owned()));
    }
    let plugin = named.emulator.plugin();
    if let (Ok(plugin), true) = (&plugin, started) {
        let taken = qemu::takes_plugin(&qemu, plugin).await.map_err(|error| error.to_string());
        checks.push(Check::of("plugin API", taken, || PLUGIN_FIX.to_owned()));
    }
    let plugin = plugin.map(|plugin| plugin.display().to_string()).map_err(|error| error.to_string());
    checks.push(Check::of("plugin", plugin, || WHOLE_FOLDER.to_owned()));
    let image = named.image();
    let counts = |image: &Image| {
        format!("{} suites, {} cases, {}", image.suites().len(), image.cases.len(), image.path.display())
    };
    let found = image.as_ref().map(counts).map_err(ToString::to_string);
    checks.push(Check::of("image", found, || WHOLE_FOLDER.to_owned()));
    let folder = named.scenarios.find().map_err(|error| error.to_string());
    let found = folder.and_then(|folder| scenarios(&folder, image.as_ref().ok()));
    checks.push(Check::of("scenarios", found, || WHOLE_FOLDER.to_owned()));
    let place = RunFolder::create().map_err(|error| error.to_string());
    let place = place.map(|folder| folder.path().parent().unwrap_or(Path::new("/")).display().to_string());
    checks.push(Check::of("run folders", place, || "set KAPUT_RUNS to a folder that can be written".to_owned()));
    checks
}

/// How many there are, all of which must be good for this image.
fn scenarios(folder: &Path, image: Option<&Image>) -> Result<String, String> {
    let names = load::names(folder).map_err(|error| error.to_string())?;
    for name in &names {
        let loaded = load::find(folder, name).map_err(|error| format!("{name}: {error}"))?;
        if let Some(image) = image {
            loaded.check_against(image).map_err(|error| format!("{name}: {error}"))?;
        }
    }
    match names.len() {
        0 => Err(format!("there is none in {}", folder.display())),
        count => Ok(format!("{count}, {}", folder.display())),
    }
}
