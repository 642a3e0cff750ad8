// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compares `docs/generated/guest-cases.md` with the guest image's source: every case with what it asserts and which
//! section says so, every row of the AP reference's lists 1.3, 2.3 and 5.2 with the cases that ask it, and every case
//! with the rows and planted faults it is there for. The page is made from these; `KAPUT_WRITE_DOCS=1` writes it anew.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use textwrap::{WordSeparator, WordSplitter};

/// Columns of a page.
const WIDTH: usize = 118;
const PAGE: &str = "docs/generated/guest-cases.md";

/// A case as its source states it.
struct Case {
    suite: String,
    name: String,
    asserts: String,
    source: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The doc comment of a module or a function as one text.
fn comment(lines: &[&str], marker: &str) -> String {
    let words: Vec<&str> = lines.iter().filter_map(|line| line.trim().strip_prefix(marker)).map(str::trim).collect();
    words.join(" ")
}

/// Where a text says that what it states stands: all its mentions of the two documents.
fn source(text: &str) -> Option<String> {
    let mentions: Vec<&str> = ["AP reference", "vfio-ap migration spec"]
        .iter()
        .flat_map(|document| text.match_indices(document).map(|(at, _)| &text[at..]))
        .map(|rest| {
            let end = rest.find(". ").or_else(|| rest.find(':')).unwrap_or(rest.len());
            let end = end.min(rest.find(';').unwrap_or(end)).min(rest.find(')').unwrap_or(end));
            rest[..end].trim_end_matches('.').trim()
        })
        .collect();
    (!mentions.is_empty()).then(|| mentions.join("; "))
}

fn without_source(text: &str) -> String {
    let cut = ["AP reference", "vfio-ap migration spec"].iter().filter_map(|document| text.find(document)).min();
    let (kept, rest) = text.split_at(cut.unwrap_or(text.len()));
    // What follows the mention in the same comment belongs to the statement again.
    let after = rest.split_once(". ").map_or("", |(_, after)| after);
    format!("{} {}", kept.trim(), if after.contains("AP reference") { "" } else { after.trim() }).trim().to_owned()
}

/// The suites that the image lists, in the order in which they run.
fn suites() -> Vec<String> {
    let lists = read("src/suites/mod.rs");
    let mut modules: Vec<String> = Vec::new();
    for word in lists.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
        if let Some(module) = word.strip_suffix("::SUITE") {
            modules.push(module.to_owned());
        }
    }
    modules
}

fn cases() -> Vec<Case> {
    suites()
        .iter()
        .flat_map(|module| cases_of(&read(&format!("src/suites/{}.rs", module.replace("::", "/")))))
        .collect()
}

fn cases_of(text: &str) -> Vec<Case> {
    let lines: Vec<&str> = text.lines().collect();
    let head: Vec<&str> = lines.iter().copied().take_while(|line| line.starts_with("//")).collect();
    let of_suite = source(&comment(&head, "//!"));
    let (_, list) = text.split_once("cases!(\"").expect("a suite lists its cases");
    let (suite, list) = list.split_once('"').expect("a suite has a name");
    let (_, list) = list.split_once(':').expect("a suite has a subject");
    let (list, _) = list.split_once(");\n").expect("a list has an end");
    let mut cases = Vec::new();
    // What is said of a case stands above its name, or above its function.
    let mut here = Vec::new();
    for line in list.lines().map(str::trim) {
        if line.starts_with("///") {
            here.push(line);
            continue;
        }
        let Some(function) = line.split([':', ',']).next().filter(|name| !name.is_empty()) else { continue };
        let at = || lines.iter().position(|line| line.starts_with(&format!("fn {function}(")));
        let above = |at: usize| lines[..at].iter().rev().take_while(|line| line.starts_with("///")).count();
        let said = match std::mem::take(&mut here) {
            none if none.is_empty() => {
                let at = at().unwrap_or_else(|| panic!("{suite}: there is no function {function}"));
                lines[at - above(at)..at].to_vec()
            }
            said => said,
        };
        let text = comment(&said, "///");
        let name = function.replace('_', "-");
        let source = source(&text).or_else(|| of_suite.clone());
        let source = source.unwrap_or_else(|| panic!("{suite}/{name} names no source"));
        cases.push(Case { suite: suite.to_owned(), name, asserts: without_source(&text), source });
    }
    cases
}

/// Fault, case and what is wrong, as `crates/ap-machine/src/fault.rs` lists them.
fn faults() -> Vec<[String; 3]> {
    let text = read("crates/ap-machine/src/fault.rs");
    let (_, list) = text.split_once("\nfaults! {\n").expect("there is a list of faults");
    let (list, _) = list.split_once("\n}\n").expect("the list has an end");
    let strings: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
    strings.chunks_exact(3).map(|three| [0, 1, 2].map(|index| three[index].to_owned())).collect()
}

/// The rows of the reference's tables and the cases that ask them.
const ROWS: &[(&str, &str, &[&str])] = &[
    ("1.3", "operation: AP not installed", &["presence/installed"]),
    (
        "1.3",
        "privileged operation: problem state",
        &[
            "privileged/tapq",
            "privileged/rapq",
            "privileged/zapq",
            "privileged/aqic",
            "privileged/qci",
            "privileged/nqap",
            "privileged/dqap",
        ],
    ),
    ("1.3", "PQAP: undefined function code", &["pqap-exceptions/undefined-functions"]),
    (
        "1.3",
        "PQAP: a bit of 41-47 that the function does not define",
        &[
            "pqap-exceptions/tapq-reserved-bits",
            "pqap-exceptions/rapq-reserved-bits",
            "pqap-exceptions/zapq-reserved-bits",
            "pqap-exceptions/aqic-reserved-bits",
            "pqap-exceptions/qci-reserved-bits",
        ],
    ),
    (
        "1.3",
        "PQAP: T without facility 15",
        &["pqap-exceptions/t-bit-without-facility-15", "presence/t-bit-follows-facility-15"],
    ),
    (
        "1.3",
        "PQAP: APQN beyond the limits without APXA",
        &["pqap-exceptions/adapter-without-apxa", "pqap-exceptions/domain-without-apxa"],
    ),
    (
        "1.3",
        "PQAP: APQN above Na or Nd with APXA",
        &["pqap-exceptions/adapter-above-na", "pqap-exceptions/domain-above-nd"],
    ),
    (
        "1.3",
        "PQAP: AQIC without facility 65, QCI without facility 12",
        &["pqap-exceptions/aqic-without-facility-65", "presence/qci-follows-facility-12"],
    ),
    (
        "1.3",
        "PQAP: QCI or function 6 with an operand that is not aligned",
        &["pqap-exceptions/qci-operand-not-aligned", "pqap-exceptions/best-ap-operand-not-aligned"],
    ),
    (
        "1.3",
        "NQAP and DQAP: odd registers",
        &[
            "nqap-exceptions/odd-identifier-register",
            "nqap-exceptions/odd-message-register",
            "nqap-exceptions/both-registers-odd",
            "dqap-exceptions/odd-identifier-register",
            "dqap-exceptions/odd-buffer-register",
            "dqap-exceptions/both-registers-odd",
        ],
    ),
    (
        "1.3",
        "NQAP and DQAP: a bit of GR0 that must be zero",
        &[
            "nqap-exceptions/bit-32",
            "nqap-exceptions/bit-34",
            "nqap-exceptions/bit-35",
            "nqap-exceptions/bit-40",
            "dqap-exceptions/bit-33",
            "dqap-exceptions/bit-34",
            "dqap-exceptions/bit-35",
            "dqap-exceptions/bit-40",
            "dqap-exceptions/bit-41",
        ],
    ),
    ("1.3", "NQAP and DQAP: length 0", &["nqap-exceptions/length-0", "dqap-exceptions/length-0"]),
    (
        "1.3",
        "NQAP and DQAP: length above the maximum, all 64 bits of it",
        &[
            "nqap-exceptions/length-above-the-maximum",
            "nqap-exceptions/length-with-high-bits",
            "dqap-exceptions/length-with-high-bits",
        ],
    ),
    (
        "1.3",
        "addressing: operands in storage",
        &[
            "nqap-exceptions/message-beyond-storage",
            "nqap-exceptions/message-across-the-end-of-storage",
            "dqap-exceptions/buffer-beyond-storage",
            "dqap-exceptions/buffer-across-the-end-of-storage",
            "pqap-exceptions/qci-operand-beyond-storage",
        ],
    ),
    (
        "1.3",
        "no exception: a bad notification address",
        &[
            "interrupts/byte-at-address-0-refused",
            "interrupts/byte-at-address-of-ones-refused",
            "interrupts/byte-beyond-storage-refused",
        ],
    ),
    (
        "2.3",
        "00 normal",
        &["queues/inside-the-matrix-available", "interrupts/enable-succeeds", "messages/every-request-has-its-reply"],
    ),
    (
        "2.3",
        "01 queue not available",
        &[
            "queues/outside-the-matrix-not-available",
            "queues/outside-the-matrix-refuses-resets",
            "queues/outside-the-matrix-refuses-aqic",
            "queues/outside-the-matrix-refuses-messages",
            "outside/every-reset-refused",
            "outside/every-aqic-refused",
            "outside/every-message-refused",
            "hot-unplug/gone-queues-not-available",
        ],
    ),
    (
        "2.3",
        "02 reset in progress",
        &["reset/rapq-ends", "reset/zapq-ends", "reset/information-during-a-reset", "reset/reset-during-a-reset"],
    ),
    ("2.3", "03 deconfigured, 04 checkstopped", &["messages/deconfigured-or-checkstopped-takes-nothing"]),
    ("2.3", "05 busy: never of a reset on top of a reset", &["reset/reset-during-a-reset"]),
    (
        "2.3",
        "06 invalid address",
        &["interrupts/byte-at-address-0-refused", "interrupts/byte-at-address-of-ones-refused"],
    ),
    ("2.3", "07 otherwise changed", &["interrupts/disable-while-disabled", "interrupts/enable-while-enabled"]),
    ("2.3", "10 queue full", &["messages/full-at-its-depth", "messages/room-after-a-reply"]),
    ("2.3", "10 no pending reply", &["messages/empty-queue-has-no-reply"]),
    ("2.3", "13 no first part", &["messages/continuation-without-a-beginning"]),
    ("2.3", "15 message too big", &["nqap-exceptions/length-above-the-maximum", "messages/longest-message-is-taken"]),
    ("2.3", "16 required facility not installed", &["card-info/special-command-needs-its-facility"]),
    (
        "5.2",
        "1: enable with a bad address",
        &[
            "interrupts/byte-at-address-0-refused",
            "interrupts/byte-at-address-of-ones-refused",
            "interrupts/refused-address-changes-nothing",
        ],
    ),
    ("5.2", "2: disable while disabled", &["interrupts/disable-while-disabled"]),
    ("5.2", "3: enable, and IR some time later", &["interrupts/enable-succeeds"]),
    (
        "5.2",
        "4: enable again",
        &["interrupts/enable-while-enabled", "interrupts/enable-again-keeps-the-first-registration"],
    ),
    (
        "5.2",
        "5: disable, and poll until IR is off",
        &["interrupts/disable-succeeds", "interrupts/nothing-while-disabled"],
    ),
    (
        "5.2",
        "6: off after RAPQ and ZAPQ, enable must be repeated",
        &["interrupts/off-after-rapq", "interrupts/off-after-zapq", "interrupts/usable-after-a-reset"],
    ),
];

/// Rows of other tables and statements, of the AP reference and (with "migration") of the vfio-ap migration spec.
const MORE_ROWS: &[(&str, &str, &[&str])] = &[
    (
        "2.2",
        "E: nothing at all in the queue",
        &["queues/idle-queue-is-empty", "messages/not-empty-until-the-last-reply"],
    ),
    ("2.2", "R: a reply can be dequeued now", &["messages/reply-waiting-is-told"]),
    ("2.4", "the card-level part of the hardware information", &["queues/domains-of-a-card-agree"]),
    (
        "2.6",
        "all queued requests and replies are discarded",
        &[
            "reset/rapq-discards-requests",
            "reset/zapq-discards-requests",
            "reset/rapq-discards-replies",
            "reset/zapq-discards-replies",
        ],
    ),
    ("2.6", "interruption is off", &["reset/rapq-turns-interruption-off", "reset/zapq-turns-interruption-off"]),
    ("2.6", "over at some time, and nothing else changed", &["reset/usable-afterwards", "reset/information-unchanged"]),
    ("3", "Na and Nd", &["config-info/masks-within-the-maxima"]),
    ("3", "apm, aqm, adm", &["config-info/same-answer-again", "config-info/matrix-as-expected"]),
    ("5.3", "an interruption means that a reply came", &["interrupts/nothing-without-a-reply"]),
    ("6.1", "message identifier", &["messages/identifier-of-64-bits"]),
    ("6.1", "the message's own length", &["rsa/length-in-the-message-wrong-refused"]),
    ("6.2", "replies of the queue itself", &["messages/queues-do-not-mix"]),
    (
        "7.1",
        "which mode accepts which request",
        &[
            "card-info/type-of-another-mode-refused",
            "card-info/unknown-type-refused",
            "card-info/agent-of-another-mode-refused",
        ],
    ),
    ("7.2", "MEB1: modular exponentiation to 1024 bits", &["rsa/mex-1024", "rsa/mex-1024-public"]),
    ("7.2", "MEB2: to 2048 bits", &["rsa/mex-2048", "rsa/mex-2048-public"]),
    ("7.2", "MEB3: to 4096 bits", &["rsa/mex-4096-public"]),
    ("7.2", "CRB1, CRB2, CRB3: by the Chinese remainder theorem", &["rsa/crt-1024", "rsa/crt-2048", "rsa/crt-4096"]),
    ("7.4", "29 format field", &["rsa/unknown-format-refused"]),
    (
        "7.4",
        "82 operand invalid, 85 even modulus",
        &["rsa/number-not-below-the-modulus-refused", "rsa/even-modulus-refused"],
    ),
    ("7.8", "RL: as many bytes as were asked for", &["random/one-byte", "random/as-many-as-linux-asks-for"]),
    ("7.9", "FQ with STATICSA", &["card-info/cca-static-a", "card-info/same-serial-number-in-every-domain"]),
    ("7.9", "FQ with STATICSB", &["card-info/cca-static-b"]),
    ("7.10", "PK", &["rsa/pk-1024", "rsa/pk-2048", "rsa/pk-4096"]),
    ("7.10", "PD", &["rsa/pd-1024", "rsa/pd-2048", "rsa/pd-4096"]),
    ("7.11", "module info", &["card-info/ep11-module"]),
    ("7.11", "domain info", &["card-info/ep11-domain"]),
    ("7.11", "return value of what is not supported", &["card-info/ep11-function-not-supported"]),
    (
        "9.4",
        "queues vanish between two instructions, and nothing else changes",
        &[
            "hot-unplug/something-goes",
            "hot-unplug/nothing-is-gained",
            "hot-unplug/only-masks-change",
            "hot-unplug/others-keep-their-replies",
            "hot-unplug/others-work",
        ],
    ),
    (
        "9.5",
        "not in the guest's configuration: 01",
        &[
            "reset/outside-the-matrix-not-available",
            "messages/nqap-outside-the-matrix",
            "messages/dqap-outside-the-matrix",
            "interrupts/outside-the-matrix-not-available",
            "hot-unplug/gone-queues-refuse-resets",
        ],
    ),
    (
        "9.6",
        "a system reset resets all queues and turns interruption off",
        &["reipl/byte-stays-zero", "reipl/interruption-off", "reipl/nothing-left-in-the-queues", "reipl/queues-work"],
    ),
    (
        "1.3",
        "operand storage: logical addresses, keys; EXECUTE",
        &["limits/execute", "limits/execute-relative-long", "limits/storage-key", "limits/secondary-space"],
    ),
    ("migration 5.4", "compatibility of one queue pair", &["migration-queues/compatible", "migration-queues/usable"]),
    (
        "migration 10",
        "QCI returns the same apm, aqm and adm",
        &[
            "migration-apcb/adapters-unchanged",
            "migration-apcb/domains-unchanged",
            "migration-apcb/control-domains-unchanged",
            "migration-apcb/extended-addressing-unchanged",
        ],
    ),
    ("migration 10", "TAPQ on each queue gives 00", &["migration-queues/available"]),
    ("migration 10", "TAPQ on any other queue gives 01", &["migration-queues/outside-not-available"]),
    (
        "migration 10",
        "queues are empty",
        &[
            "migration-queues/empty",
            "migration-messages/all-gone-or-all-intact",
            "migration-messages/nothing-else-came",
            "migration-messages/empty-bit-is-true",
        ],
    ),
    (
        "migration 10",
        "with interruption disabled",
        &[
            "migration-queues/interruption-off",
            "migration-interrupts/off-if-migrated",
            "migration-interrupts/nothing-for-the-old-registration",
            "migration-interrupts/new-reply-told-as-the-state-says",
        ],
    ),
    ("migration 10", "AQIC works again", &["migration-interrupts/can-be-turned-on-again"]),
    (
        "migration 10",
        "the guest runs, and its crypto works",
        &[
            "migration-messages/queues-work",
            "migration-rsa/right-before",
            "migration-rsa/right-on-the-way",
            "migration-rsa/right-after",
            "migration-continuous/no-wrong-answer",
            "migration-continuous/none-missing",
            "migration-continuous/went-on-meanwhile",
            "migration-continuous/goes-on-afterwards",
        ],
    ),
    (
        "migration 10",
        "after a failure the guest has everything it had",
        &[
            "migration-refused/configuration-unchanged",
            "migration-refused/queues-unchanged",
            "migration-refused/messages-intact",
            "migration-refused/interruption-still-on",
            "migration-refused/replies-still-interrupt",
        ],
    ),
    ("migration 11", "master keys are the same on both hosts", &["migration-keys/same-master-keys"]),
];

/// Rows of 2.3 that no guest of these suites can bring about, and why.
const OUT_OF_REACH: &[(&str, &str)] = &[
    ("08 invalid GISA", "only a hypervisor names a GISA"),
    ("09, 0A, 0B, 30 to 36: bind and associate", "only in a Secure Execution guest; the machine's own tests ask them"),
    ("11 index too big", "nothing but the name is known"),
    (
        "42 invalid domain",
        "needs a message for a foreign domain, which might reach somebody else's; the machine's own tests ask it",
    ),
    ("FF", "never from hardware"),
];

/// The suite that judges nothing.
const MEASURES: &str = "bench";

/// What a case is there for.
struct Reasons {
    rows: Vec<String>,
    /// Faults that it notices and no case of another suite does.
    faults: Vec<String>,
}

fn reasons(name: &str) -> Reasons {
    let mine = |(section, row, cases): &(&str, &str, &[&str])| {
        cases.contains(&name).then(|| format!("{section} {}", row.split(": ").next().unwrap_or(row)))
    };
    let rows = ROWS.iter().chain(MORE_ROWS).filter_map(mine).collect();
    let suite = |case: &str| case.split('/').next().unwrap_or_default().to_owned();
    let alone =
        |cases: &[String]| cases.iter().any(|case| case == name) && cases.iter().all(|case| suite(case) == suite(name));
    let faults = noticed().into_iter().filter(|(_, cases)| alone(cases)).map(|(fault, _)| fault).collect();
    Reasons { rows, faults }
}

/// Each fault with the cases that notice it, as `docs/generated/planted-faults.md` tells, which running them has
/// written.
fn noticed() -> Vec<(String, Vec<String>)> {
    let page = read("docs/generated/planted-faults.md");
    let of = |section: &str| {
        let cases = section.lines().filter_map(|line| line.strip_prefix("* ")).map(str::to_owned).collect();
        Some((section.lines().next()?.to_owned(), cases))
    };
    page.split("\n## ").skip(1).filter_map(of).collect()
}

/// Adds an entry of a list, wrapped.
fn entry(page: &mut String, text: &str) {
    let options = textwrap::Options::new(WIDTH).initial_indent("* ").subsequent_indent("  ").break_words(false);
    let options = options.word_splitter(WordSplitter::NoHyphenation).word_separator(WordSeparator::AsciiSpace);
    let _ = writeln!(page, "{}", textwrap::fill(text, options));
}

fn page(cases: &[Case]) -> String {
    let mut page = String::from(
        "# What the guest asks\n\nMade from the source by `crates/ap-arch/tests/guest_cases.rs`; \
         `KAPUT_WRITE_DOCS=1 cargo test -p ap-arch --test\nguest_cases` makes it anew. Each case has the sections \
         that say what is right: of the [AP reference](../ap-reference.md)\nor of the \
         [migration specification](../migration-specification.md).\n\nSuites `migration-...`, `hot-unplug`, `outside`, \
         `limits`, `reipl` and `bench` run only where the command line names\nthem.\n",
    );
    let mut suite = "";
    for case in cases {
        if case.suite != suite {
            suite = &case.suite;
            let _ = write!(page, "\n## {suite}\n\n");
        }
        entry(&mut page, &format!("{}: {} {}", case.name, case.asserts, case.source));
    }
    page.push_str("\n## Rows of the AP reference\n\n");
    for (section, row, cases) in ROWS {
        entry(&mut page, &format!("{section}, {row}: {}", cases.join(", ")));
    }
    page.push_str("\nOut of a guest's reach in 2.3:\n\n");
    for (row, why) in OUT_OF_REACH {
        entry(&mut page, &format!("{row}: {why}"));
    }
    page.push_str(
        "\n## What each case is there for\n\nRows of the AP reference or, with \"migration\", of the vfio-ap \
         migration spec that it covers, and\n[faults](planted-faults.md) that no other suite notices. The cases of \
         `bench` judge nothing: they measure.\n\n",
    );
    for case in cases.iter().filter(|case| case.suite != MEASURES) {
        let Reasons { rows, faults } = reasons(&format!("{}/{}", case.suite, case.name));
        let faults = if faults.is_empty() { String::new() } else { format!("; faults: {}", faults.join(", ")) };
        entry(&mut page, &format!("{}/{}: {}{faults}", case.suite, case.name, rows.join("; ")));
    }
    page
}

#[test]
fn the_page_of_cases_is_what_the_source_says() {
    let made = page(&cases());
    let path = root().join(PAGE);
    if std::env::var_os("KAPUT_WRITE_DOCS").is_some() {
        fs::write(&path, &made).expect("the page can be written");
    }
    let stands = fs::read_to_string(&path).unwrap_or_default();
    assert!(stands == made, "{PAGE} is not what the source says; KAPUT_WRITE_DOCS=1 writes it anew");
}

#[test]
fn every_row_of_the_reference_has_a_case_that_exists() {
    let known: Vec<String> = cases().iter().map(|case| format!("{}/{}", case.suite, case.name)).collect();
    for (section, row, cases) in ROWS.iter().chain(MORE_ROWS) {
        assert!(!cases.is_empty(), "{section}, {row}: no case");
        for case in *cases {
            assert!(known.iter().any(|known| known == case), "{section}, {row}: there is no {case}");
        }
    }
}

#[test]
fn there_are_at_least_150_cases_and_each_says_what_it_asserts() {
    let cases = cases();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    for case in cases {
        assert!(!case.asserts.is_empty(), "{}/{} says nothing", case.suite, case.name);
    }
}

#[test]
fn every_case_covers_a_row_or_notices_a_fault_that_no_other_suite_does() {
    for case in cases().iter().filter(|case| case.suite != MEASURES) {
        let name = format!("{}/{}", case.suite, case.name);
        let Reasons { rows, faults } = reasons(&name);
        assert!(!rows.is_empty() || !faults.is_empty(), "{name} is there for nothing");
    }
}

#[test]
fn every_planted_fault_is_on_its_page_with_the_case_that_notices_it() {
    let told = noticed();
    for [name, case, _] in faults() {
        let cases = told.iter().find(|(fault, _)| *fault == name).map(|(_, cases)| cases.as_slice());
        assert!(cases.unwrap_or_default().contains(&case), "{name}: the page of planted faults does not name {case}");
    }
}

#[test]
fn every_planted_fault_names_a_case_that_exists() {
    let known: Vec<String> = cases().iter().map(|case| format!("{}/{}", case.suite, case.name)).collect();
    for [name, case, _] in faults() {
        assert!(known.contains(&case), "{name}: there is no {case}");
    }
}
