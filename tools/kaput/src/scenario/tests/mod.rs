// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people see when a scenario file is wrong: each fault with its place and with what is allowed. And that the
//! shipped scenarios are not.

pub(crate) mod schema;

use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::load::{Loaded, ScenarioError, choose, find, names};
use super::*;

const GOOD: &str = r#"summary = "x"

[guest]
suites = ["presence", "migration-apcb"]

[hosts.A]
topology = "05=cex8a/33,3a"
mdev = { adapters = ["05"], domains = ["33"] }

[hosts.B]
topology = { adapters = { 05 = "cex8a" }, domains = ["33"] }

[[migrations]]
to = "B"
with = { write-chunk = 1 }

[expect]
result = "pass"
"#;

fn read(text: &str) -> Result<Loaded, ScenarioError> {
    Loaded::from_text(Path::new("mine.toml"), text.to_owned())
}

/// What a terminal without colours shows.
fn shown(error: &ScenarioError) -> String {
    let mut text = String::new();
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
    handler.render_report(&mut text, error).expect("a text");
    text
}

/// The message for a file in which `from` was replaced by `to`.
fn fault(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    shown(&read(&GOOD.replacen(from, to, 1)).expect_err("a fault that was not noticed"))
}

#[test]
fn a_good_scenario_reads_as_it_is_meant() {
    let scenario = read(GOOD).expect("good").scenario;
    assert_eq!((scenario.name.as_str(), scenario.start()), ("mine", "A"));
    let hops: Vec<_> =
        scenario.hops().iter().map(|hop| (hop.to, hop.with.write_chunk.map(NonZeroUsize::get))).collect();
    assert_eq!(hops, [("B", Some(1))]);
    assert_eq!(scenario.command_line(), "suites=presence,migration-apcb expect=05/33/");
    let config = scenario.host("A").expect("host A").config("A");
    assert_eq!((config.mdev.matrix().queue_count(), config.topology.matrix().queue_count()), (1, 2));
}

#[test]
fn the_driver_that_was_chosen_last_counts() {
    let mut scenario = read(GOOD).expect("good").scenario;
    for (name, expected) in [("model:v3", Some("v3")), ("model:later", Some("later")), ("lab", None)] {
        scenario.choose(name.parse().expect("a driver"));
        assert_eq!(scenario.host("A").expect("host A").config("A").profile.as_deref(), expected);
    }
}

#[test]
fn a_seed_reaches_every_host_that_has_none() {
    let own = GOOD.replace("domains = [\"33\"] }\n\n[[mig", "domains = [\"33\"], seed = 7 }\n\n[[mig");
    for (text, seeds) in [(GOOD, [Some(0x2a), Some(0x2b)]), (own.as_str(), [Some(0x2a), Some(7)])] {
        let mut scenario = read(text).expect("good").scenario;
        scenario.sow(0x2a);
        assert_eq!(["A", "B"].map(|name| scenario.host(name).expect("a host").topology.seed), seeds);
    }
}

#[test]
fn rounds_go_through_the_list_again_and_again() {
    let text = GOOD.replace("to = \"B\"", "to = [\"B\", \"A\"]\nrounds = 10");
    let scenario = read(&text).expect("good").scenario;
    let route: String = scenario.hops().iter().map(|hop| hop.to).collect();
    assert_eq!(route, "BA".repeat(10));
    assert!(scenario.command_line().contains("migrations=20"));
}

#[test]
fn a_refusal_is_of_the_last_migration_unless_it_says_which() {
    let refused = |which: &str, route: &str| {
        let expect = format!("result = \"refused\"\nrefused = {{ errno = \"EFAULT\"{which} }}");
        let text = GOOD.replace("to = \"B\"", route).replace("result = \"pass\"", &expect);
        read(&text).expect("good").scenario.refused_hop().map(|(hop, refusal)| (hop, refusal.errno))
    };
    assert_eq!(refused("", "to = [\"B\", \"A\"]"), Some((1, Errno::EFAULT)));
    assert_eq!(refused(", migration = 1", "to = [\"B\", \"B\"]"), Some((0, Errno::EFAULT)));
}

#[test]
fn an_unknown_key_is_shown_where_it_stands() {
    insta::assert_snapshot!("unknown-key", fault("summary", "colour = 1\nsummary"));
    insta::assert_snapshot!("unknown-key-of-a-migration", fault("write-chunk", "chunk"));
}

#[test]
fn a_domain_that_cannot_be_is_shown_where_it_stands() {
    insta::assert_snapshot!("domain-300-in-the-short-form", fault("/33,3a", "/33,300"));
    insta::assert_snapshot!(
        "domain-300-in-a-list",
        fault("domains = [\"33\"] }\n\n[hosts.B]", "domains = [\"300\"] }\n\n[hosts.B]")
    );
}

#[test]
fn two_hosts_with_one_socket_path_are_refused_at_the_second() {
    let one = GOOD.replacen("topology = \"05", "control = \"/tmp/one\"\ntopology = \"05", 1);
    let both = one.replacen("topology = {", "control = \"/tmp/one\"\ntopology = {", 1);
    insta::assert_snapshot!("one-socket-path", shown(&read(&both).expect_err("two hosts, one socket")));
    insta::assert_snapshot!(
        "long-socket-path",
        shown(&read(&one.replace("/tmp/one", &"x".repeat(200))).expect_err("too long"))
    );
}

#[test]
fn names_that_are_not_there_are_shown_with_those_that_are() {
    insta::assert_snapshot!("unknown-host", fault("to = \"B\"", "to = \"C\""));
    insta::assert_snapshot!("already-there", fault("to = \"B\"", "to = \"A\""));
    let defect = fault("[hosts.B]\n", "[hosts.B]\ndefects = [\"rust\"]\n");
    assert!(defect.contains("no defect is called `rust`") && defect.contains("control-domains-dropped"), "{defect}");
    let errno = fault("result = \"pass\"", "result = \"refused\"\nrefused = { errno = \"EWHAT\" }");
    assert!(errno.contains("`EWHAT` is no error name") && errno.contains("EFAULT"), "{errno}");
}

#[test]
fn a_machine_has_as_many_cpus_as_it_can_have() {
    let cpus = |number: &str| GOOD.replacen("[guest]", &format!("[guest]\ncpus = {number}"), 1);
    assert_eq!(read(&cpus("2")).expect("good").scenario.guest.cpus.get_ref().get(), 2);
    let error = shown(&read(&cpus("249")).expect_err("too many"));
    assert!(error.contains("1 to 248 are possible") && error.contains("mine.toml:4:8"), "{error}");
    assert!(read(&cpus("0")).is_err());
}

#[test]
fn an_action_must_be_possible_at_its_moment() {
    let action = |at: &str, kind: &str| format!("[[actions]]\nat = \"{at}\"\ndo = \"{kind}\"\n\n[expect]");
    insta::assert_snapshot!("action-too-early", fault("[expect]", &action("boot", "kill-destination")));
    insta::assert_snapshot!("action-without-its-keys", fault("[expect]", &action("asked", "plug")));
    let late = action("active", "kill-source").replace("do =", "migration = 2\ndo =");
    insta::assert_snapshot!("action-too-late", fault("[expect]", &late));
    assert!(read(&GOOD.replace("[expect]", &action("asked", "kill-destination"))).is_ok());
}

#[test]
fn a_guest_whose_migration_is_cancelled_or_refused_is_where_it_was() {
    let again = GOOD.replace("[expect]", "[[migrations]]\nto = \"B\"\n\n[expect]");
    assert!(shown(&read(&again).expect_err("there already")).contains("the guest is on host B already"));
    let cancelled = again.replace("[expect]", "[[actions]]\nat = \"active\"\ndo = \"cancel-migration\"\n\n[expect]");
    let scenario = read(&cancelled).expect("good").scenario;
    assert_eq!([0, 1, 2].map(|hop| scenario.home_before(hop)), ["A", "A", "B"]);
    let refused = again.replace("\"pass\"", "\"refused\"\nrefused = { errno = \"EFAULT\", migration = 1 }");
    assert_eq!(read(&refused).expect("good").scenario.home_before(1), "A");
}

#[test]
fn an_action_on_a_host_that_does_not_answer_is_shown_where_it_stands() {
    let action = "[[actions]]\nat = \"suites\"\ndo = \"unplug\"\nadapter = \"05\"\nhost = \"B\"\n\n[expect]";
    insta::assert_snapshot!("action-on-a-host-too-early", fault("[expect]", action));
}

#[test]
fn what_is_asked_must_be_possible_and_known() {
    let ask = |ask: &str| fault("[expect]", &format!("[[asks]]\n{ask}\n\n[expect]"));
    insta::assert_snapshot!("ask-nobody", ask("at = \"suites\"\nhost = \"B\"\nguest = \"b\"\ncall = \"test 05.0033\""));
    insta::assert_snapshot!("ask-nothing", ask("at = \"asked\"\nhost = \"B\""));
    let unknown = "at = \"asked\"\nhost = \"B\"\nrequest = { execute = \"query-log\", arguments = { from = 1 } }";
    insta::assert_snapshot!("ask-unknown-argument", ask(unknown));
    insta::assert_snapshot!(
        "ask-unknown-call",
        ask("at = \"asked\"\nhost = \"B\"\nguest = \"b\"\ncall = \"look 05.0033\"")
    );
}

#[test]
fn migrations_without_end_are_refused_before_they_are_counted_out() {
    let error = fault("to = \"B\"", "to = [\"B\", \"A\"]\nrounds = 999999999999999");
    assert!(error.contains("1999999999999998 migrations are too many"), "{error}");
}

#[test]
fn an_expectation_must_be_whole() {
    insta::assert_snapshot!("refused-without-how", fault("\"pass\"", "\"refused\""));
    insta::assert_snapshot!("failing-without-what", fault("\"pass\"", "\"guest-fails\""));
    insta::assert_snapshot!("unknown-result", fault("\"pass\"", "\"fine\""));
    insta::assert_snapshot!("deadline", fault("[expect]", "[deadlines]\nguest = 0\n\n[expect]"));
}

#[test]
fn the_shipped_scenarios_are_good_and_say_what_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    for name in names(&folder).expect("a folder") {
        let loaded = find(&folder, &name).unwrap_or_else(|error| panic!("{name}: {}", shown(&error)));
        assert!(loaded.text.starts_with("# "), "{name} begins with the reason why it exists");
        assert!(!loaded.scenario.tags.is_empty(), "{name} has no tag");
    }
}

#[test]
fn a_guest_that_survives_under_load_is_seen_at_work_while_pages_move() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let loaded = choose(&folder, &["tag:load".to_owned()]).expect("scenarios under load");
    for loaded in loaded {
        let proved = loaded.scenario.migrations.iter().all(|step| step.with.mid_run);
        assert!(proved, "{}: each migration needs `mid-run`", loaded.scenario.name);
    }
}

#[test]
fn an_unknown_scenario_is_answered_with_those_there_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let error = find(&folder, "surive").expect_err("no such scenario");
    assert!(shown(&error).contains("survive"), "{}", shown(&error));
    assert!(matches!(find(&folder, "./nowhere.toml"), Err(ScenarioError::Io { .. })));
}

#[test]
fn the_reference_in_the_documentation_reads_as_a_scenario() {
    let reference = include_str!("../../../../../docs/scenarios.md");
    let examples = reference.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut count = 0;
    for example in examples {
        read(example).unwrap_or_else(|error| panic!("{}", shown(&error)));
        count += 1;
    }
    assert!(count >= 2, "the reference has {count} whole examples");
}

#[test]
fn the_reference_names_every_key() {
    let reference = include_str!("../../../../../docs/scenarios.md");
    for table in [
        "",
        "[guest]\n",
        "[hosts.A]\n",
        "[hosts.A.mdev]\n",
        "[[migrations]]\n",
        "[[migrations]]\n[migrations.with]\n",
        "[[migrations]]\n[migrations.with]\n[migrations.with.flip]\n",
        "[[actions]]\n",
        "[[asks]]\n",
        "[expect]\n",
        "[expect.refused]\n",
        "[deadlines]\n",
    ] {
        let text = format!("{table}nonsense-key = 1\n");
        let message = match toml::from_str::<Scenario>(&text) {
            Err(error) => error.message().to_owned(),
            Ok(_) => panic!("a nonsense key was read"),
        };
        let keys = message.split("expected one of ").nth(1).unwrap_or_default();
        for key in keys.split(", ").map(|key| key.trim_matches('`')) {
            assert!(reference.contains(&format!("`{key}`")), "docs/scenarios.md does not name `{key}` of `{table}`");
        }
    }
}

/// A folder with three scenarios, two of which have the tag `refusal`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, tags) in [("older-card", "[\"refusal\"]"), ("missing-queue", "[\"refusal\"]"), ("survive", "[]")] {
        let text = format!("tags = {tags}\n{GOOD}");
        std::fs::write(folder.path().join(name).with_extension("toml"), text).expect("written");
    }
    folder
}

fn chosen(words: &[&str]) -> Result<Vec<String>, ScenarioError> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    Ok(choose(folder().path(), &words)?.into_iter().map(|loaded| loaded.scenario.name).collect())
}

#[test]
fn scenarios_are_chosen_by_name_pattern_and_tag_each_once() {
    assert_eq!(chosen(&["survive", "*-card"]).expect("there"), ["survive", "older-card"]);
    assert_eq!(chosen(&["older-card", "tag:refusal"]).expect("there"), ["older-card", "missing-queue"]);
    assert_eq!(chosen(&["*"]).expect("there").len(), 3);
}

#[test]
fn a_word_that_nothing_answers_to_is_told_with_what_there_is() {
    for (word, known) in [("x*", "survive"), ("tag:x", "refusal"), ("[", "no pattern"), ("nobody", "missing-queue")] {
        let told = shown(&chosen(&[word]).expect_err("nothing"));
        assert!(told.contains(word) && told.contains(known), "{told}");
    }
}

#[test]
fn the_reference_names_every_deed_and_every_moment() {
    let reference = include_str!("../../../../../docs/scenarios.md");
    for kind in ActionKind::ALL {
        assert!(reference.contains(&format!("`{kind}`")), "docs/scenarios.md does not name `{kind}`");
    }
    let moments = [Moment::Boot, Moment::Suites, Moment::Waiting, Moment::Asked, Moment::Active, Moment::PreSwitchover];
    for moment in moments.into_iter().chain([Moment::HandedOver, Moment::Continued, Moment::Over]) {
        let row = format!("\n| `{moment}` |");
        assert!(reference.contains(&row), "docs/scenarios.md does not explain `{moment}`");
        assert_eq!(serde_json::from_value::<Moment>(moment.to_string().into()).expect("a moment"), moment);
    }
}
