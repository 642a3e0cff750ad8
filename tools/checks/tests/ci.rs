// SPDX-License-Identifier: MIT OR Apache-2.0
//! The files for the CI of others, and our own workflows, as a reader of YAML sees them: what their systems would
//! refuse before anything runs. The job that they start is tried where the package is installed.

use std::collections::BTreeSet;
use std::path::Path;

use checks::root;
use saphyr::{LoadableYamlNode, Yaml};

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn parsed<'a>(name: &str, text: &'a str) -> Vec<Yaml<'a>> {
    Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{name} is no YAML: {error}"))
}

fn get<'a>(yaml: &'a Yaml<'a>, path: &[&str]) -> &'a Yaml<'a> {
    path.iter().fold(yaml, |yaml, key| yaml.as_mapping_get(key).unwrap_or(&Yaml::BadValue))
}

fn text<'a>(yaml: &'a Yaml<'a>, path: &[&str]) -> &'a str {
    get(yaml, path).as_str().unwrap_or_default()
}

fn keys(yaml: &Yaml<'_>) -> BTreeSet<String> {
    let mapping = yaml.as_mapping().into_iter().flatten();
    mapping.filter_map(|(key, _)| key.as_str().map(str::to_owned)).collect()
}

/// The inputs that a file uses, by what stands before their names; comments are none.
fn used(file: &str, before: &str) -> BTreeSet<String> {
    let lines = file.lines().filter(|line| !line.trim_start().starts_with('#'));
    let names = lines.flat_map(|line| line.split(before).skip(1));
    names.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()).collect()
}

#[test]
fn the_action_is_composite_and_uses_each_of_its_inputs_and_no_other() {
    let file = read("ci/action.yml");
    let [action] = &parsed("ci/action.yml", &file)[..] else { panic!("an action is one document") };
    assert!(!text(action, &["name"]).is_empty() && !text(action, &["description"]).is_empty());
    assert_eq!(keys(get(action, &["inputs"])), used(&file, "${{ inputs."));
    assert_eq!(text(action, &["runs", "using"]), "composite");
    let steps: Vec<&Yaml<'_>> = get(action, &["runs", "steps"]).as_sequence().into_iter().flatten().collect();
    assert!(steps.len() >= 2);
    for step in steps {
        let (runs, uses) = (text(step, &["run"]), text(step, &["uses"]));
        assert!(runs.is_empty() != uses.is_empty(), "{step:?}");
        assert_eq!(runs.is_empty(), text(step, &["shell"]).is_empty(), "a composite step names its shell");
    }
}

#[test]
fn the_example_of_the_action_is_a_job_that_gives_it_inputs_that_it_has() {
    let file = read("ci/action.yml");
    let lines = file.lines().filter_map(|line| line.strip_prefix("#   "));
    let example = lines.collect::<Vec<_>>().join("\n");
    let [jobs] = &parsed("the example", &example)[..] else { panic!("an example") };
    let steps = get(jobs, &["judge", "steps"]).as_sequence().expect("steps");
    let with = get(steps.last().expect("a step"), &["with"]);
    let inputs = keys(get(&parsed("ci/action.yml", &file)[0], &["inputs"]));
    assert!(!keys(with).is_empty() && keys(with).is_subset(&inputs), "{with:?}");
}

#[test]
fn the_template_has_a_job_and_uses_each_of_its_inputs_and_no_other() {
    let file = read("ci/gitlab.yml");
    let [head, template] = &parsed("ci/gitlab.yml", &file)[..] else { panic!("a template is two documents") };
    assert_eq!(keys(get(head, &["spec", "inputs"])), used(&file, "$[[ inputs."));
    let job = get(template, &["kaput-lab"]);
    let script = get(job, &["script"]).as_sequence().expect("a script");
    assert!(script.iter().all(|line| line.as_str().is_some()), "a line with a colon is no text: {script:?}");
    assert!(!text(job, &["image"]).is_empty() && !text(job, &["artifacts", "reports", "junit"]).is_empty());
}

#[test]
fn our_own_workflows_have_jobs() {
    let folder = root().join(".github/workflows");
    for path in std::fs::read_dir(folder).expect("workflows").flatten().map(|entry| entry.path()) {
        let name = path.strip_prefix(root()).unwrap_or(Path::new("")).display().to_string();
        let file = read(&name);
        let jobs = keys(get(&parsed(&name, &file)[0], &["jobs"]));
        assert!(!jobs.is_empty(), "{name}");
    }
}
