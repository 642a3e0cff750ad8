// SPDX-License-Identifier: MIT OR Apache-2.0
//! JSON schemas of what people write and programs read: the scenario file, and the JSON report. Both are files of the
//! tree, made from the types by a test. What the types do not tell by themselves stands here: texts of which only some
//! are good.

use ap_machine::Topology;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use vfio_mig::Errno;

use crate::report::json::Report;
use crate::scenario::Scenario;

pub(crate) fn one_or_more(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
}

pub(crate) fn errno(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<String> = Errno::NAMED.iter().map(ToString::to_string).collect();
    json_schema!({ "type": "string", "enum": names })
}

pub(crate) fn seconds(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "number", "exclusiveMinimum": 0, "maximum": 3600 })
}

/// Numbers of adapters or domains.
pub(crate) fn numbers(_: &mut SchemaGenerator) -> Schema {
    let item = json!({ "type": "string", "pattern": "^[0-9a-fA-F]{1,4}(-[0-9a-fA-F]{1,4})?$" });
    json_schema!({ "type": "array", "items": item })
}

/// The short form, or the table with the keys that a topology has.
pub(crate) fn topology(generator: &mut SchemaGenerator) -> Schema {
    let mut full: Topology = "05=cex8a/33/33".parse().expect("a topology");
    (full.segment, full.seed, full.faults) = (Some(1), Some(1), vec!["name".to_owned()]);
    let Value::Object(keys) = serde_json::to_value(full).expect("JSON") else { panic!("a table") };
    let of = |(key, value): (String, Value)| {
        let schema = match (key.as_str(), value) {
            ("domains" | "control-domains", _) => numbers(generator).to_value(),
            (_, Value::Bool(_)) => json!({ "type": "boolean" }),
            (_, Value::Number(_)) => json!({ "type": "integer", "minimum": 0 }),
            (_, Value::String(_)) => json!({ "type": "string" }),
            (_, Value::Array(_)) => json!({ "type": "array", "items": { "type": "string" } }),
            (_, _) => json!({ "type": "object" }),
        };
        (key, schema)
    };
    let keys: Map<String, Value> = keys.into_iter().map(of).collect();
    let table = json!({ "type": "object", "properties": keys, "additionalProperties": false });
    json_schema!({ "anyOf": [{ "type": "string", "pattern": "^[^/]*/[^/]*(/[^/]*)?$" }, table] })
}

fn text<T: JsonSchema>(title: &str) -> String {
    let mut schema = schemars::generate::SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), title.into());
    serde_json::to_string_pretty(&schema).expect("JSON") + "\n"
}

/// Asserts that the file has this text; writes it where golden files are to be renewed.
fn golden(name: &str, text: &str) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/generated").join(name);
    if std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always") {
        std::fs::write(&path, text).expect("written");
    }
    let there = std::fs::read_to_string(&path).expect("the golden file");
    assert_eq!(there, text, "docs/generated/{name} is not what the types say: run this with INSTA_UPDATE=always");
}

#[test]
fn the_schemas_are_those_of_the_types() {
    golden("scenario.schema.json", &text::<Scenario>("kaput scenario"));
    golden("report.schema.json", &text::<Report>("kaput report of one run"));
}
