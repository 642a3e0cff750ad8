// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an emulation of the AP instructions may not be able to do. A case passes where the architecture is kept and
//! also where the known limit is met, and an INFO line says which; anything else fails. Runs only where the command
//! line names it. AP reference 1.3.

use crate::ap::guest::Guest;
use crate::ap::instructions::Answer;
use crate::ap::unusual::Stored;
use crate::case::outcome::{Outcome, failed, require};
use crate::case::report;
use crate::case::suite::cases;
use crate::machine::trap::ProgramInterruption;
use ap_arch::{Apqn, ProgramCode};
use s390x_asm::asm::Under;

cases!("limits" for Guest:
    /// TAPQ as the target of EXECUTE answers as it does elsewhere, or is an operation exception.
    execute: |guest| under(guest, "EXECUTE", Under::Execute),
    /// TAPQ as the target of EXECUTE RELATIVE LONG answers as it does elsewhere, or is an operation exception.
    execute_relative_long: |guest| under(guest, "EXECUTE RELATIVE LONG", Under::ExecuteRelativeLong),
    storage_key,
    secondary_space,
);

fn under(guest: &Guest, what: &str, under: Under) -> Outcome {
    let ap = guest.ap()?;
    for (apqn, direct) in guest.queues()? {
        match ap.tapq_under(under, apqn) {
            Ok(answer) => require_same(apqn, &direct, &answer)?,
            Err(ProgramInterruption { code: ProgramCode::OPERATION, .. }) => {
                report::info(format_args!("limit: {what} of an AP instruction is an operation exception"));
                return Ok(());
            }
            Err(ended) => return Err(failed!("{apqn}: program interruption {}", ended.code)),
        }
    }
    report::info(format_args!("no limit: {what} of an AP instruction works"));
    Ok(())
}

fn require_same(apqn: Apqn, direct: &Answer, answer: &Answer) -> Outcome {
    require!(direct == answer, "{apqn} answered {} when executed directly, {} here", direct.status, answer.status);
    Ok(())
}

/// QCI with an access key that does not match that of its operand is a protection exception, or keys are not looked at.
fn storage_key(guest: &Guest) -> Outcome {
    guest.configuration()?;
    match guest.ap()?.qci_with_wrong_key() {
        Ok(true) => report::info(format_args!("limit: storage keys are not looked at")),
        Ok(false) => return Err(failed!("QCI stored nothing, and there was no exception")),
        Err(ProgramInterruption { code: ProgramCode::PROTECTION, .. }) => {
            report::info(format_args!("no limit: storage keys are looked at"));
        }
        Err(ended) => return Err(failed!("program interruption {}", ended.code)),
    }
    Ok(())
}

/// In secondary-space mode QCI stores into the secondary space.
fn secondary_space(guest: &Guest) -> Outcome {
    guest.configuration()?;
    let stored = guest.ap()?.qci_in_secondary_space();
    let stored = stored.map_err(|ended| failed!("program interruption {}", ended.code))?;
    require!(stored == Stored::InTheSecondarySpace, "QCI stored {stored:?}");
    Ok(())
}
