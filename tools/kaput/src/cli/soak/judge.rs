// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a scenario and says whether it surprised: by what the scenario expects, or by what another driver does with it.

use std::fs;
use std::path::Path;

use miette::Result;

use crate::cli::live::Live;
use crate::outcome::difference::difference;
use crate::outcome::finished::Finished;
use crate::outcome::verdict::Exit;
use crate::report::human;
use crate::run;
use crate::run::tools::Tools;
use crate::scenario::DriverName;
use crate::scenario::load::Loaded;

/// What runs need.
pub(super) struct Runs<'a> {
    pub(super) live: &'a Live,
    pub(super) folder: &'a Path,
    pub(super) tools: &'a Tools,
    /// The driver that says what must happen.
    pub(super) reference: Option<&'a DriverName>,
}

/// What came of a scenario.
pub(super) struct Outcome {
    pub(super) loaded: Loaded,
    /// With the driver that says what must happen.
    pub(super) reference: Option<Finished>,
    pub(super) finished: Finished,
}

impl Runs<'_> {
    /// Runs a scenario, first with the driver that says what must happen.
    pub(super) async fn both(&self, loaded: Loaded) -> Result<Outcome> {
        let Self { live, folder, tools, reference } = *self;
        let wishes = run::Options::default();
        let reference = match reference {
            None => None,
            Some(driver) => {
                let mut other = loaded.clone();
                other.scenario.choose(driver.clone());
                Some(live.run_in(folder, tools, &other, wishes).await?)
            }
        };
        let finished = live.run_in(folder, tools, &loaded, wishes).await?;
        Ok(Outcome { loaded, reference, finished })
    }
}

impl Outcome {
    /// What is to be said of a run that was not as expected.
    pub(super) fn surprise(&self) -> Option<String> {
        let screen = |finished| human::screen(&self.loaded.scenario, finished);
        let Some(reference) = &self.reference else {
            return (!self.finished.verdict.is_as_expected()).then(|| screen(&self.finished));
        };
        let both = [reference, &self.finished];
        let is_broken = both.iter().any(|finished| finished.verdict.kind.exit() == Exit::Infrastructure);
        let differs = difference(reference, &self.finished);
        let words = differs.or_else(|| is_broken.then(|| "they did not come to their end".to_owned()))?;
        Some(format!("{}\n{}\nthe drivers differ: {words}\n", screen(reference), screen(&self.finished)))
    }

    /// Removes what was kept of runs that are not as a right driver has them, and are as they must be.
    pub(super) fn forget(&self) {
        let both = self.reference.iter().chain(std::iter::once(&self.finished));
        both.filter_map(|finished| finished.verdict.run_folder.as_ref()).for_each(|it| _ = fs::remove_dir_all(it));
    }
}
