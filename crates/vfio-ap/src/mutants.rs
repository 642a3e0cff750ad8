// SPDX-License-Identifier: MIT OR Apache-2.0
//! Whether the conformance suite finds what it is there for: each defect alone, the profiles, and the correct model as
//! the control.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use vfio_mig::conformance::{Options, Verdict, run};

use crate::defect::Defect;
use crate::model::ModelFactory;
use crate::profile::Profile;

/// What the suite says of one imitated driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Name of the defect or of the profile.
    pub name: String,
    /// The one defect that is on; `None` for a profile.
    pub defect: Option<Defect>,
    /// Names of the cases that did not pass. The model has no licence to differ, so that counts as well.
    pub caught_by: Vec<String>,
    /// Those of them that name this defect.
    pub named_by: Vec<String>,
}

impl Mutant {
    /// Whether a case that names the defect caught it; for a profile, whether any case did.
    #[must_use]
    pub fn is_caught(&self) -> bool {
        if self.defect.is_some() { !self.named_by.is_empty() } else { !self.caught_by.is_empty() }
    }
}

/// Runs the suite on the correct model, which comes first and must be caught by nothing, on the model with each defect
/// alone, and on the profiles. Uses all processors.
#[must_use]
pub fn mutants(options: &Options) -> Vec<Mutant> {
    let profiles = [Profile::Format0, Profile::V3, Profile::Later];
    let mut drivers: Vec<(Option<Defect>, ModelFactory)> = vec![(None, ModelFactory::corrected())];
    drivers.extend(
        Defect::ALL
            .iter()
            .map(|defect| (Some(*defect), ModelFactory { profile: Profile::Corrected, defects: vec![*defect] })),
    );
    drivers.extend(profiles.map(|profile| (None, ModelFactory { profile, defects: Vec::new() })));
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((index, (defect, factory))) = take(&next, &drivers) {
                    let mutant = judge(*defect, factory, options);
                    done.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((index, mutant));
                }
            });
        }
    });
    let mut mutants = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    mutants.sort_by_key(|(index, _)| *index);
    mutants.into_iter().map(|(_, mutant)| mutant).collect()
}

fn take<'a, T>(next: &AtomicUsize, items: &'a [T]) -> Option<(usize, &'a T)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    items.get(index).map(|item| (index, item))
}

fn judge(defect: Option<Defect>, factory: &ModelFactory, options: &Options) -> Mutant {
    let name = defect.map_or_else(|| factory.profile.name(), Defect::name);
    let results = run(factory, options);
    let caught = results.iter().filter(|result| matches!(result.verdict, Verdict::Fail | Verdict::Differs));
    let named = caught.clone().filter(|result| result.covers.iter().any(|id| id == name));
    Mutant {
        name: name.to_owned(),
        defect,
        named_by: named.map(|result| result.case.clone()).collect(),
        caught_by: caught.map(|result| result.case.clone()).collect(),
    }
}
