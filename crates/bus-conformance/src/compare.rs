// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where a real bus and the model part, and the fewest steps that lead there.

use std::fmt;

use crate::{Administrator, Seen, Step, Watch};

/// Steps that are carried out before the two are compared: what comes after a difference is for nothing.
const BATCH: usize = 100;

/// The first step after which the two are not equal.
#[derive(Clone, Debug)]
pub struct Parting {
    /// Which one it is, from 0.
    pub index: usize,
    /// The step.
    pub step: Step,
    /// What differs, in words.
    pub differences: Vec<String>,
}

impl fmt::Display for Parting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "after step {}, {}:", self.index, self.step)?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
    }
}

/// Has both carry out the steps; where they part, if they do. What comes after that step may be carried out or not.
///
/// # Errors
/// Why one of them could not be asked.
pub fn first_difference(
    watch: &Watch,
    steps: &[Step],
    real: &mut dyn Administrator,
    model: &mut dyn Administrator,
) -> Result<Option<Parting>, String> {
    for (batch, begin) in steps.chunks(BATCH).zip((0..).step_by(BATCH)) {
        let (real, model) = (real.carry_out(watch, batch)?, model.carry_out(watch, batch)?);
        if real.len() != batch.len() || model.len() != batch.len() {
            return Err(format!("{} steps have {} and {} answers", batch.len(), real.len(), model.len()));
        }
        let mut seen = real.iter().zip(&model);
        if let Some(index) = seen.position(|(real, model)| real != model) {
            let differences = differences(watch, &real[index], &model[index]);
            return Ok(Some(Parting { index: begin + index, step: batch[index].clone(), differences }));
        }
    }
    Ok(None)
}

fn differences(watch: &Watch, real: &Seen, model: &Seen) -> Vec<String> {
    let mut found = Vec::new();
    if real.outcome != model.outcome {
        found.push(format!("{} real, {} modelled", real.outcome, model.outcome));
    }
    found.extend(real.state.differences(&model.state, watch));
    found
}

/// Leaves steps out as long as `fails` says of the rest that it still fails, asking at most so many times: halves
/// first, then smaller and smaller parts.
///
/// # Errors
/// What `fails` says.
pub fn shrink(
    mut steps: Vec<Step>,
    mut tries: usize,
    mut fails: impl FnMut(&[Step]) -> Result<bool, String>,
) -> Result<Vec<Step>, String> {
    let mut part = steps.len().div_ceil(2);
    while part > 0 {
        let mut begin = 0;
        while begin < steps.len() {
            if tries == 0 {
                return Ok(steps);
            }
            tries -= 1;
            let end = steps.len().min(begin + part);
            let rest: Vec<Step> = steps[..begin].iter().chain(&steps[end..]).cloned().collect();
            if !rest.is_empty() && fails(&rest)? {
                steps = rest;
            } else {
                begin = end;
            }
        }
        part = if part == 1 { 0 } else { part.div_ceil(2) };
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_needed_is_left_out() {
        let steps: Vec<Step> = (0..1000).map(|number| Step::write("apmask", number.to_string())).collect();
        let needed = [&steps[17], &steps[400], &steps[999]];
        let fails = |rest: &[Step]| Ok(needed.iter().all(|step| rest.contains(step)));
        assert_eq!(shrink(steps.clone(), usize::MAX, fails).unwrap().iter().collect::<Vec<_>>(), needed);
        assert!(shrink(steps.clone(), 10, fails).unwrap().len() < 1000, "ten tries leave something out");
        assert_eq!(shrink(steps, 9, |_| Err("lost".to_owned())), Err("lost".to_owned()));
    }
}
