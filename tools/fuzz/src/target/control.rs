// SPDX-License-Identifier: MIT OR Apache-2.0
//! Lines of the control socket, several in an input. Each has one reply, which is a value or an error.

use std::sync::Arc;

use serde_json::Value;
use vfio_ap::{Host, HostConfig, Session};

use super::{Target, kind_of};

/// Inputs after which the host is made anew: what it has become is a part of what is tested, but not for ever.
const INPUTS: u32 = 500;

const HOST: &str = r#"{"name": "A", "topology": {"adapters": {"05": "cex8a", "06": "cex8c"}, "domains": ["33", "3a"],
    "facilities": {"apqi": true}}, "mdev": {"uuid": "a", "adapters": ["05"], "domains": ["33"]},
    "others": [{"uuid": "b", "adapters": ["06"], "domains": ["33"], "open": true}]}"#;

pub(super) struct Control {
    host: Arc<Host>,
    inputs: u32,
}

impl Control {
    pub(super) fn new() -> Self {
        Self { host: host(), inputs: 0 }
    }
}

fn host() -> Arc<Host> {
    match HostConfig::from_json(HOST).and_then(Host::new) {
        Ok(host) => host,
        Err(reason) => unreachable!("the usual host can be made: {reason}"),
    }
}

impl Target for Control {
    fn read(&mut self, input: &[u8]) -> Result<u64, String> {
        self.inputs += 1;
        if self.inputs.is_multiple_of(INPUTS) {
            self.host = host();
        }
        let mut session = Session::new(Arc::clone(&self.host), |_| {});
        let mut kind = 0;
        for line in input.split(|byte| *byte == b'\n').take(16) {
            let reply = session.line(String::from_utf8_lossy(line).trim());
            let reply: Value =
                serde_json::from_str(&reply).map_err(|error| format!("a reply that is no JSON: {error}"))?;
            let error = reply.get("error");
            if error.is_some() == reply.get("return").is_some() {
                return Err(format!("a reply with both or neither: {reply}"));
            }
            let text = error.map_or_else(|| members(&reply["return"]), |error| error["desc"].to_string());
            kind = kind_of(&text) ^ u64::rotate_left(kind, 1);
        }
        Ok(kind)
    }
}

fn members(value: &Value) -> String {
    value.as_object().map_or(String::new(), |object| object.keys().cloned().collect::<Vec<_>>().join(" "))
}
