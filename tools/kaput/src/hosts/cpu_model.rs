// SPDX-License-Identifier: MIT OR Apache-2.0
//! The CPU that a guest of real hosts gets: their QEMUs are asked, none of them runs a guest for it.

use std::collections::BTreeMap;

use preflight::text::shell_word;
use serde_json::{Value, json};

use crate::hosts::ssh::{HostConnection, HostError};

/// CPU features without which a guest sees no crypto adapter: AP instructions, facility test, configuration
/// information, interruptions.
const AP_FEATURES: [&str; 4] = ["ap", "apft", "apqci", "apqi"];

/// What QEMU gets for KVM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kvm {
    /// The CPU model, with its features.
    pub cpu: String,
    /// The mediated device's folder where guests start.
    pub source: String,
    /// The same where they are migrated to.
    pub destination: String,
}

/// The CPU that guests of these hosts can have on each of them, with AP: `host` itself cannot be migrated. The first
/// host does the arithmetic.
///
/// # Errors
/// [`HostError`].
pub async fn baseline(hosts: &[&HostConnection]) -> Result<String, HostError> {
    let mut models = Vec::new();
    for connection in hosts {
        let arguments = json!({"type": "static", "model": {"name": "host"}});
        models.push(ask(connection, "expand its CPU model", "query-cpu-model-expansion", &arguments).await?);
    }
    let mut common = models.first().cloned().unwrap_or_default();
    if let (Some(connection), [one, other]) = (hosts.first(), &models[..]) {
        let arguments = json!({"modela": one, "modelb": other});
        common = ask(connection, "find a common CPU model", "query-cpu-model-baseline", &arguments).await?;
    }
    in_words(&common).ok_or_else(|| unfit(hosts.first(), format!("its QEMU answers with no CPU model: {common}")))
}

fn unfit(connection: Option<&&HostConnection>, reason: String) -> HostError {
    HostError::Unfit {
        host: connection.map_or(String::new(), |connection| connection.name().to_owned()),
        reason,
        fix: "is /dev/kvm there, and may it be used? --cpu names a model instead".to_owned(),
    }
}

/// Asks a QEMU without a machine about a CPU model.
async fn ask(connection: &HostConnection, doing: &str, command: &str, arguments: &Value) -> Result<Value, HostError> {
    let options = "-machine none,accel=kvm -nodefaults -display none -S -qmp stdio";
    let answer = qmp(connection, doing, options, command, arguments).await?;
    match answer.pointer("/return/model") {
        Some(model) => Ok(model.clone()),
        None => Err(unfit(Some(&connection), format!("its QEMU does not {doing}: {}", answer["error"]["desc"]))),
    }
}

/// Asks a QEMU that is started for it, with `options` as a shell reads them; its whole answer.
pub(crate) async fn qmp(
    connection: &HostConnection,
    doing: &str,
    options: &str,
    command: &str,
    arguments: &Value,
) -> Result<Value, HostError> {
    let lines = [
        json!({"execute": "qmp_capabilities"}),
        json!({"execute": command, "arguments": arguments, "id": "answer"}),
        json!({"execute": "quit"}),
    ];
    let words: Vec<String> = lines.iter().map(|line| shell_word(&line.to_string())).collect();
    let script =
        format!("printf '%s\\n' {} | timeout 20 {} {options}\n", words.join(" "), shell_word(&connection.hello.qemu),);
    let said = connection.script(doing, &script).await?;
    let answers = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let answer = answers.into_iter().find(|answer| answer["id"] == "answer");
    answer.ok_or_else(|| unfit(Some(&connection), format!("its QEMU does not {doing}")))
}

/// A model as QEMU's option takes it, AP switched on.
fn in_words(model: &Value) -> Option<String> {
    let word = |text: &&str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    let name = model["name"].as_str().filter(word)?;
    let mut features: BTreeMap<&str, bool> = BTreeMap::new();
    for (feature, on) in model["props"].as_object().into_iter().flatten() {
        features.insert(Some(feature.as_str()).filter(word)?, on.as_bool()?);
    }
    features.extend(AP_FEATURES.map(|feature| (feature, true)));
    let switches = features.iter().map(|(feature, on)| format!(",{feature}={}", if *on { "on" } else { "off" }));
    Some(name.to_owned() + &switches.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_gets_ap_whatever_its_hosts_had() {
        let model = json!({"name": "z14.2-base", "props": {"vx": true, "apqi": false, "bpb": false}});
        let expected = "z14.2-base,ap=on,apft=on,apqci=on,apqi=on,bpb=off,vx=on";
        assert_eq!(in_words(&model).as_deref(), Some(expected));
    }

    #[test]
    fn what_is_no_model_becomes_no_option() {
        for odd in [
            json!({}),
            json!({"name": "a,b"}),
            json!({"name": "a", "props": {"x": 1}}),
            json!({"name": "a", "props": {"x,y": true}}),
        ] {
            assert_eq!(in_words(&odd), None, "{odd}");
        }
    }
}
