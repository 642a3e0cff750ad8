// SPDX-License-Identifier: MIT OR Apache-2.0
//! AP hardware, in its short and its long form. What is accepted can be built.

use ap_machine::{Machine, Topology};

use super::{Target, kind_of};

pub(super) struct Topologies;

impl Target for Topologies {
    fn read(&mut self, input: &[u8]) -> Result<u64, String> {
        let text = String::from_utf8_lossy(input);
        let short = text.trim().parse::<Topology>().map_err(|error| error.to_string());
        let long = toml::from_str::<Topology>(&text).map_err(|error| error.message().to_owned());
        let mut kinds = 0_u64;
        for read in [short, long] {
            let answer = match read {
                Err(error) => error,
                Ok(topology) => built(&topology)?,
            };
            kinds = kinds.rotate_left(8) ^ kind_of(&answer);
        }
        Ok(kinds)
    }
}

fn built(topology: &Topology) -> Result<String, String> {
    match (topology.check(), Machine::new(topology)) {
        (Ok(()), Ok(_)) => Ok("built".to_owned()),
        (Err(error), Err(_)) => Ok(error.to_string()),
        (Ok(()), Err(error)) => Err(format!("found good, and cannot be built: {error}")),
        (Err(error), Ok(_)) => Err(format!("built, though found wrong: {error}")),
    }
}
