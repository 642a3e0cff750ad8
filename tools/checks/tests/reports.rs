// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reports of real runs (every shipped scenario, one that is not as it says, one whose QEMU is killed), read by strict
//! readers that other people wrote: a JSON schema validator, Perl's TAP::Parser, an XML schema validator, a browser's
//! HTML parser. And the exit status, which is a report too.

#[path = "reports/html.rs"]
mod html;
#[path = "reports/junit.rs"]
mod junit;
#[path = "reports/ktap.rs"]
mod ktap;
#[path = "reports/parse.rs"]
mod parse;
#[path = "reports/tap.rs"]
mod tap;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use checks::{Outcome, all, ensure, root, run, trial};
use libtest_mimic::Failed;
use serde_json::Value;

const FORMS: [&str; 5] = ["json", "tap", "ktap", "junit", "html"];

/// One invocation with every form of report, and its folder.
struct Made {
    folder: tempfile::TempDir,
    exit: i32,
}

impl Made {
    fn file(&self, form: &str) -> PathBuf {
        self.folder.path().join(form)
    }

    fn text(&self, form: &str) -> Result<String, Failed> {
        std::fs::read_to_string(self.file(form)).map_err(|error| format!("{form}: {error}").into())
    }

    /// The runs of the JSON report.
    fn runs(&self) -> Result<Vec<Value>, Failed> {
        let runs = serde_json::Deserializer::from_str(&self.text("json")?).into_iter().collect::<Result<_, _>>();
        runs.map_err(|error| format!("the JSON report: {error}").into())
    }
}

fn shipped() -> PathBuf {
    std::env::var_os("KAPUT_SCENARIOS").map_or_else(|| root().join("tools/kaput/scenarios"), PathBuf::from)
}

/// A shipped scenario whose expectation is turned round, and one whose destination is killed.
fn odd_ones(folder: &std::path::Path) -> Result<[String; 2], Failed> {
    let read = |name: &str| std::fs::read_to_string(shipped().join(name)).map_err(|error| format!("{name}: {error}"));
    let (defect, survive) = (read("control-domains-dropped.toml")?, read("survive.toml")?);
    let gone = ["failing = ", "findings = ", "result = "];
    let turned: String = defect
        .lines()
        .filter(|line| !gone.iter().any(|key| line.starts_with(key)))
        .fold(String::new(), |text, line| {
            text + line + "\n" + if line == "[expect]" { "result = \"pass\"\n" } else { "" }
        });
    let killed = survive + "\n[[actions]]\nat = \"handed-over\"\ndo = \"kill-destination\"\n";
    let write = |name: &str, text: String| -> Result<String, Failed> {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| format!("{name}: {error}"))?;
        Ok(path.display().to_string())
    };
    Ok([write("turned.toml", turned)?, write("killed.toml", killed)?])
}

fn make() -> Result<Made, Failed> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let mut arguments = vec!["run".to_owned(), "*".to_owned()];
    arguments.extend(odd_ones(folder.path())?);
    arguments.extend(["-j".to_owned(), "2".to_owned()]);
    for form in FORMS {
        arguments.extend(["--report".to_owned(), format!("{form}={}", folder.path().join(form).display())]);
    }
    let (exit, _, said) = run(&arguments)?;
    ensure(exit != 2, || said)?;
    Ok(Made { folder, exit })
}

/// The same for all tests.
fn made() -> Result<&'static Made, Failed> {
    static MADE: OnceLock<Result<Made, String>> = OnceLock::new();
    let made = MADE.get_or_init(|| make().map_err(|error| error.message().unwrap_or_default().to_owned()));
    made.as_ref().map_err(Into::into)
}

fn schema(what: &str) -> Result<jsonschema::Validator, Failed> {
    let file = root().join(format!("docs/generated/{what}.schema.json"));
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let schema: Value = serde_json::from_str(&text).map_err(|error| format!("the schema of {what}: {error}"))?;
    jsonschema::validator_for(&schema).map_err(|error| format!("the schema of {what}: {error}").into())
}

fn valid(schema: &jsonschema::Validator, value: &Value, name: &str) -> Outcome {
    let faults: Vec<String> =
        schema.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    ensure(faults.is_empty(), || format!("{name}: {}", faults.join("\n")))
}

fn json_follows_its_schema() -> Outcome {
    let schema = schema("report")?;
    let runs = made()?.runs()?;
    ensure(runs.len() > 20, || format!("{} runs", runs.len()))?;
    for run in &runs {
        valid(&schema, run, &run["scenario"].to_string())?;
    }
    // What is damaged must be noticed, or the above says nothing.
    for (place, wrong) in [("/verdict/kind", "no-such-kind".into()), ("/version", (-1).into()), ("/events", 0.into())] {
        let mut damaged = runs[0].clone();
        *damaged.pointer_mut(place).ok_or("there is no such member")? = wrong;
        ensure(!schema.is_valid(&damaged), || format!("a wrong {place} is valid"))?;
    }
    Ok(())
}

fn scenarios_follow_their_schema() -> Outcome {
    let schema = schema("scenario")?;
    let folder = std::fs::read_dir(shipped()).map_err(|error| error.to_string())?;
    let mut count = 0;
    for entry in folder.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "toml")) {
        let text = std::fs::read_to_string(entry.path()).map_err(|error| error.to_string())?;
        let table: toml::Table = toml::from_str(&text).map_err(|error| error.to_string())?;
        let value = serde_json::to_value(table).map_err(|error| error.to_string())?;
        valid(&schema, &value, &entry.path().display().to_string())?;
        for (key, wrong) in [("colour", Value::from("blue")), ("hosts", 1.into()), ("guest", serde_json::json!({}))] {
            let mut damaged = value.clone();
            damaged[key] = wrong;
            ensure(!schema.is_valid(&damaged), || format!("a wrong `{key}` is valid"))?;
        }
        count += 1;
    }
    ensure(count > 20, || format!("{count} scenarios"))
}

/// A JSON report holds everything: whatever is made of it later is what the run itself wrote.
fn a_report_told_again_is_the_same() -> Outcome {
    let made = made()?;
    let json = made.file("json").display().to_string();
    for form in FORMS {
        let (exit, text, said) = run(&["report", &json, "--report", form])?;
        ensure(exit == made.exit, || format!("{exit}, not {}: {said}", made.exit))?;
        // The time at which a JUnit report was written is not part of what it says.
        ensure(text == made.text(form)?, || format!("the {form} report is another one when made again"))?;
    }
    Ok(())
}

fn exit_status_tells_how_it_went() -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let [turned, killed] = odd_ones(folder.path())?;
    for (scenario, expected) in [("survive", 0), (&turned, 1), ("no-such-scenario", 2), (&killed, 3)] {
        let (exit, told, said) = run(&["run", scenario])?;
        ensure(exit == expected, || format!("{scenario}: {exit}, not {expected}\n{told}{said}"))?;
    }
    let (exit, ..) = run(&["run", "survive", &turned, &killed])?;
    ensure(exit == 3, || format!("of several the highest counts, not {exit}"))
}

fn main() -> ExitCode {
    let mut trials = vec![
        trial("json_follows_its_schema", json_follows_its_schema),
        trial("scenarios_follow_their_schema", scenarios_follow_their_schema),
        trial("a_report_told_again_is_the_same", a_report_told_again_is_the_same),
        trial("exit_status_tells_how_it_went", exit_status_tells_how_it_went),
        trial("html_has_no_parse_error", html::has_no_parse_error),
        trial("html_refers_only_to_itself", html::refers_only_to_itself),
    ];
    trials.extend([tap::trial(), ktap::trial_of_ktap(), junit::trial()]);
    all(trials)
}
