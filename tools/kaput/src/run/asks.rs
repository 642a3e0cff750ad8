// SPDX-License-Identifier: MIT OR Apache-2.0
//! Hosts and bystanders are asked what the scenario wants to know of them; an answer that is not the scenario's ends
//! the story.

use std::time::Instant;

use serde_json::Value;
use vfio_mig::Errno;

use super::Run;
use super::blame::Ended;
use crate::machine::Machine;
use crate::machine::backoff::Pace;
use crate::machine::error::MachineError;
use crate::outcome::events::What;
use crate::outcome::verdict::{Kind, RunVerdict};
use crate::protocol::control::ControlError;
use crate::scenario::Moment;
use crate::scenario::ask::Ask;

impl Run<'_> {
    /// Asks everything that the scenario asks at this moment of a migration, in its order.
    pub(super) async fn ask_around(
        &self,
        moment: Moment,
        number: usize,
        source: &Machine,
        destination: &Machine,
    ) -> Result<(), Ended> {
        let now = |ask: &&Ask| ask.at == moment && ask.migration.get_ref().get() == number;
        for ask in self.scenario.asks.iter().filter(now) {
            let machine = [destination, source].into_iter().find(|machine| machine.host == *ask.host.get_ref());
            match machine {
                Some(machine) => self.ask_host(machine, ask).await?,
                None => return Err(absent(ask)),
            }
        }
        Ok(())
    }

    async fn ask_host(&self, machine: &Machine, ask: &Ask) -> Result<(), Ended> {
        let mut pace = Pace::until(Instant::now() + self.waits.answer());
        let request = ask.to_request().map_err(|reason| wrong(machine, ask, &reason))?;
        loop {
            let seen = match machine.call(|control| control.ask(request.clone())).await {
                Ok(answer) => Ok(ask.seen(answer)),
                Err(MachineError::Control(ControlError::Errno { errno, .. })) => Err(errno),
                Err(error) => {
                    return self.waits.done(machine, &format!("it was asked {ask}"), Err(error));
                }
            };
            let right = ask.is_right(&seen);
            if right || !ask.repeat || !pace.again().await {
                self.observed().event(Some(machine.index), What::Action { action: format!("{ask}: {}", words(&seen)) });
                return if right { Ok(()) } else { Err(wrong(machine, ask, &words(&seen))) };
            }
        }
    }
}

fn words(seen: &Result<Value, Errno>) -> String {
    match seen {
        Ok(Value::String(text)) => text.clone(),
        Ok(value) => value.to_string(),
        Err(errno) => errno.to_string(),
    }
}

fn wrong(machine: &Machine, ask: &Ask, seen: &str) -> Ended {
    let expected = match (&ask.error, &ask.answer) {
        (Some(errno), _) => errno.to_string(),
        (None, Some(answer)) => answer.to_string(),
        (None, None) => "any answer but an error".to_owned(),
    };
    RunVerdict::new(
        Kind::AnsweredOtherwise,
        format!("host {} answered otherwise than the scenario says: {ask}", machine.host),
    )
    .on(&machine.host)
    .expected(expected)
    .seen(seen)
    .ended()
}

fn absent(ask: &Ask) -> Ended {
    let host = ask.host.get_ref();
    RunVerdict::new(Kind::HarnessFailed, format!("host {host} has no QEMU at the moment in which it is asked {ask}"))
        .ended()
}
