// SPDX-License-Identifier: MIT OR Apache-2.0
//! Scenario files. What is accepted can be told to the image and to the plugin, and has a bounded number of migrations.

use std::path::Path;

use kaput::scenario::load::Loaded;
use vfio_ap::HostConfig;

use super::{Target, kind_of};

pub(super) struct Scenarios;

impl Target for Scenarios {
    fn read(&mut self, input: &[u8]) -> Result<u64, String> {
        let text = String::from_utf8_lossy(input).into_owned();
        let loaded = match Loaded::from_text(Path::new("fuzz.toml"), text) {
            Err(error) => return Ok(kind_of(&error.to_string())),
            Ok(loaded) => loaded,
        };
        let scenario = &loaded.scenario;
        for (name, host) in &scenario.hosts {
            let config = serde_json::to_string(&host.config(name.get_ref())).map_err(|error| error.to_string())?;
            HostConfig::from_json(&config).map_err(|error| format!("the plugin does not read its host: {error}"))?;
        }
        let line = scenario.command_line();
        Ok(kind_of(&line) ^ scenario.hops().len() as u64)
    }
}
