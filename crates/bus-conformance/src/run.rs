// SPDX-License-Identifier: MIT OR Apache-2.0
//! A whole comparison: seed by seed, and the fewest steps to the first difference.

use std::env;
use std::ops::RangeInclusive;

use crate::{Administrator, Kernel, Step, Universe, Watch, first_difference, generate, shrink};

/// How often a failing run is tried with fewer steps; each try is a boot.
const TRIES: usize = 40;

/// Which seeds, and how many steps of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    seeds: RangeInclusive<u64>,
    steps: usize,
}

impl Plan {
    /// Seed 1 with so many steps, or what `KAPUT_BUS_SEEDS`, such as `7` or `1-20`, and `KAPUT_BUS_STEPS` say.
    ///
    /// # Errors
    /// What these say is not understood.
    pub fn from_environment(steps: usize) -> Result<Self, String> {
        let named = |name| env::var(name).ok();
        Self::new(named("KAPUT_BUS_SEEDS").as_deref(), named("KAPUT_BUS_STEPS").as_deref(), steps)
    }

    fn new(seeds: Option<&str>, count: Option<&str>, usual: usize) -> Result<Self, String> {
        let text = seeds.unwrap_or("1");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |number: &str| number.parse().map_err(|_| format!("KAPUT_BUS_SEEDS={text}: expected 7 or 1-20"));
        let seeds = number(first)?..=number(last)?;
        if seeds.is_empty() {
            return Err(format!("KAPUT_BUS_SEEDS={text} is no seed at all"));
        }
        let steps = count.map_or(Some(usual), |text| text.parse().ok()).filter(|steps| *steps > 0);
        let wrong =
            || format!("KAPUT_BUS_STEPS={}: expected a number of steps, such as 1000", count.unwrap_or_default());
        Ok(Self { seeds, steps: steps.ok_or_else(wrong)? })
    }

    /// Has both carry out every seed's steps, each seed from a restart on.
    ///
    /// # Errors
    /// The first difference with the fewest steps that lead there, or why one of them cannot be asked.
    pub fn carry_out(
        &self,
        kernel: Kernel,
        universe: &Universe,
        watch: &Watch,
        real: &mut dyn Administrator,
        model: &mut dyn Administrator,
    ) -> Result<(), String> {
        for seed in self.seeds.clone() {
            if seed != *self.seeds.start() {
                real.restart()?;
                model.restart()?;
            }
            let steps = generate(seed, self.steps, universe);
            let Some(parting) = first_difference(watch, &steps, real, model)? else {
                println!("seed {seed}: {} steps on {kernel}, no difference", steps.len());
                continue;
            };
            eprintln!("seed {seed} on {kernel}: {parting}");
            let mut last = parting.to_string();
            let few = shrink(steps[..=parting.index].to_vec(), TRIES, |steps: &[Step]| {
                real.restart()?;
                model.restart()?;
                let parting = first_difference(watch, steps, real, model)?;
                last = parting.as_ref().map_or_else(|| last.clone(), ToString::to_string);
                Ok(parting.is_some())
            })?;
            let list = few.iter().fold(String::new(), |list, step| list + "\n  " + &step.to_string());
            return Err(format!("seed {seed} on {kernel}: {last}\nthe fewest steps found:{list}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_number_or_a_range_and_steps_a_number() {
        let plan = |seeds, steps| Plan::new(seeds, steps, 300);
        assert_eq!(plan(None, None), Ok(Plan { seeds: 1..=1, steps: 300 }));
        assert_eq!(plan(Some("7"), Some("10")), Ok(Plan { seeds: 7..=7, steps: 10 }));
        assert_eq!(plan(Some("1-20"), None), Ok(Plan { seeds: 1..=20, steps: 300 }));
        for (seeds, steps) in [(Some("x"), None), (Some("3-1"), None), (None, Some("0")), (None, Some("many"))] {
            assert!(plan(seeds, steps).is_err_and(|why| why.starts_with("KAPUT_BUS_")));
        }
    }
}
