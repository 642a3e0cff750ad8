// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the driver reports to an administrator: every message, complete and in order. vfio-ap migration spec 5.5.
//!
//! Compared tolerantly where the posted texts are irregular: the colon after the device's name, "in" before "source"
//! and "target", and runs of spaces do not matter.

use ap_arch::stream::StreamFormat;
use ap_arch::{Apqn, HwInfo, Mask256, ResponseCode};

use super::super::fixture::{A, HostSetup, MdevSetup, mask, matrix, stream};
use super::{Answer, CCA8, Case, STOP, Script, Side, Stop, full, handmade, offer};
use crate::{Capability, QueueAnswer};

const SOURCE: &str = "vfio-ap migration spec 5.5";
const NEEDS: &[Capability] = &[Capability::Log, Capability::Hardware];
const QUEUE: Apqn = Apqn::new(4, 0x33);

/// Message id, facility bit, the words for the facility, and for having it.
const FACILITIES: [(&str, u64, &str, &str); 8] = [
    ("m-s", HwInfo::APSC, "APSC facility", "installed"),
    ("m-m", HwInfo::MEX4K, "mex4k facility", "installed"),
    ("m-c", HwInfo::CRT4K, "crt4k facility", "installed"),
    ("m-d", HwInfo::CCA, "Coprocessor-mode facility", "installed"),
    ("m-a", HwInfo::ACCELERATOR, "Accelerator-mode facility", "installed"),
    ("m-x", HwInfo::EP11, "XCP-mode facility", "installed"),
    ("m-n", HwInfo::APXA, "AP-extended-addressing (APXA) facility", "installed"),
    ("m-sl", HwInfo::SLCF, "Stateless-command-filtering (SLCF)", "available"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (id, bit, words, having) in FACILITIES {
        for source_has in [true, false] {
            let name = format!("message/{id}-source-{}", if source_has { "has" } else { "lacks" });
            let body = move |script: &Script<'_>| {
                let (with, without) = (HwInfo(CCA8.0 | bit), HwInfo(CCA8.0 & !bit));
                let (source, target) = if source_has { (with, without) } else { (without, with) };
                let not = |has: bool| if has { "" } else { "not " };
                let side = |has: bool, side: &str| format!("{words} {}{having} {side} queue 04.0033", not(has));
                explains(script, source, target, &[side(source_has, "source"), side(!source_has, "target")])
            };
            cases.push(Case::new(name, SOURCE, body).needs(NEEDS));
        }
    }
    cases.extend([
        Case::new("message/m1", "vfio-ap migration spec 2.7", m1)
            .needs(&[Capability::Log, Capability::SecureExecution]),
        Case::new("message/m2", SOURCE, |s| m2_m3(s, ResponseCode::Q_NOT_AVAIL)).needs(NEEDS),
        Case::new("message/m3", SOURCE, |s| m2_m3(s, ResponseCode(8))).needs(NEEDS),
        Case::new("message/m4-each-queue", SOURCE, m4).needs(&[Capability::Log]),
        Case::new("message/m5-each-queue", SOURCE, m5).needs(NEEDS),
        Case::new("message/m-at", SOURCE, m_at).needs(NEEDS),
        Case::new("message/m-bs", SOURCE, m_bs).needs(NEEDS).covers(&["bind-state-check-bypassed"]),
        Case::new("message/m-cl", SOURCE, m_cl).needs(NEEDS),
        Case::new("message/order", SOURCE, order).needs(NEEDS),
        Case::new("message/every-heading-has-a-detail", SOURCE, heading_has_detail)
            .needs(NEEDS)
            .covers(&["facility-word-equality-defeats-class-rule"]),
        Case::new("message/control-domain", SOURCE, control_domain).needs(&[Capability::Log]),
        Case::new("message/many-queues", SOURCE, many_queues)
            .needs(&[Capability::Log])
            .covers(&["l-limit-hides-queues"]),
        Case::new("message/dead-queue", "vfio-ap migration spec 5.3", dead_queue)
            .needs(NEEDS)
            .covers(&["x-dead-queue-accepted"]),
    ]);
    cases
}

/// A message without what may be spelt otherwise.
fn plain(line: &str) -> String {
    let words = line.replace(" in source", " source").replace(" in target", " target").replace(':', " ");
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn with_device(text: &str) -> String {
    plain(&format!("vfio_ap_mdev {A}: {text}"))
}

/// The errors logged must be these, in this order.
fn expect_lines(side: &Side<'_>, expected: &[String]) -> Result<(), Stop> {
    let seen: Vec<String> = side.errors()?.iter().map(|line| plain(line)).collect();
    let expected: Vec<String> = expected.iter().map(|text| with_device(text)).collect();
    side.record.expect("lines of the log", seen.join(" | "), &expected.join(" | "), &[])
}

/// Offers one queue with `source` to a host whose queue has `target`; it must be refused.
fn refused_pair<'s>(script: &'s Script<'s>, source: HwInfo, target: HwInfo) -> Result<Side<'s>, Stop> {
    let side = script.destination()?;
    let format = side.format()?;
    let answer = QueueAnswer { response: ResponseCode::NORMAL, asynchronous: false, hw_info: Some(target) };
    side.host_call(
        &format!("TAPQ of {QUEUE} := GR2 {:016x}", target.0),
        side.host.set_queue_answer(QUEUE, Some(answer)),
    )?;
    side.errors()?;
    let (_, answer) = offer(&side, &stream(format, &[(QUEUE, source)], Mask256::EMPTY))?;
    script.expect("write of an incompatible stream", answer, "EFAULT", &["EINVAL"])?;
    Ok(side)
}

fn heading(apqn: Apqn) -> String {
    format!("Migration failed: Source and target queue ({apqn}) not compatible")
}

fn explains(script: &Script<'_>, source: HwInfo, target: HwInfo, details: &[String]) -> Result<(), Stop> {
    let side = refused_pair(script, source, target)?;
    let lines: Vec<String> = std::iter::once(heading(QUEUE)).chain(details.iter().cloned()).collect();
    expect_lines(&side, &lines)
}

fn m1(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.source()?;
    side.host_call("Secure Execution on", side.host.set_secure_execution(true, false))?;
    let answer = side.set(STOP)?;
    script.expect("request of stop", &answer, "EPERM", &["ENOTTY"])?;
    if answer == Answer::Refused(crate::Errno::EPERM) {
        let lines = side.errors()?;
        let said = lines.iter().any(|line| line.contains("Migration not allowed from or to a Secure Execution guest"));
        script.require(
            "the log",
            said,
            "Migration not allowed from or to a Secure Execution guest",
            lines.join(" | "),
        )?;
    }
    Ok(())
}

fn m2_m3(script: &Script<'_>, response: ResponseCode) -> Result<(), Stop> {
    let bytes = full(script)?;
    let side = script.destination()?;
    let answer = QueueAnswer { response, asynchronous: false, hw_info: None };
    let call = format!("TAPQ of {QUEUE} := rc {:02x}", response.0);
    side.host_call(&call, side.host.set_queue_answer(QUEUE, Some(answer)))?;
    side.errors()?;
    offer(&side, &bytes)?;
    let lines = side.errors()?;
    let core = format!("Failed to get hwinfo for queue {QUEUE}");
    let said = lines.iter().filter(|line| line.contains(&core)).count();
    let rc = lines.iter().any(|line| line.contains(&format!("TAPQ rc={}", response.0)));
    script.require(
        "the log",
        said == 1 && rc,
        &format!("one line with \"{core}\" and the response code"),
        lines.join(" | "),
    )
}

fn not_available(apqn: Apqn) -> String {
    format!("Queue {apqn} not available to vfio_ap driver on target host")
}

fn m4(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = full(script)?;
    let unbound = vec![Apqn::new(4, 0x33), Apqn::new(5, 0x3a)];
    let side = script.host("destination", &HostSetup { unbound: unbound.clone(), ..HostSetup::destination() })?;
    side.errors()?;
    offer(&side, &bytes)?;
    expect_lines(&side, &unbound.into_iter().map(not_available).collect::<Vec<_>>())
}

fn m5(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    let format = side.format()?;
    let queues = [QUEUE, Apqn::new(4, 0x3a)];
    for apqn in queues {
        let answer = QueueAnswer { response: ResponseCode::NORMAL, asynchronous: false, hw_info: Some(CCA8) };
        side.host_call(&format!("TAPQ of {apqn} := {CCA8}"), side.host.set_queue_answer(apqn, Some(answer)))?;
    }
    let lacking = HwInfo(CCA8.0 & !HwInfo::APSC);
    side.errors()?;
    offer(&side, &stream(format, &queues.map(|apqn| (apqn, lacking)), Mask256::EMPTY))?;
    let lines: Vec<String> = queues
        .into_iter()
        .flat_map(|apqn| {
            let detail = |side: &str, not: &str| format!("APSC facility {not}installed {side} queue {apqn}");
            [heading(apqn), detail("source", "not "), detail("target", "")]
        })
        .collect();
    expect_lines(&side, &lines)
}

fn m_at(script: &Script<'_>) -> Result<(), Stop> {
    let older = HwInfo(0xf380_0000_0d00_0000);
    explains(script, CCA8, older, &["AP type of source (0e) not compatible with target (0d)".to_owned()])
}

fn m_bs(script: &Script<'_>) -> Result<(), Stop> {
    let bound = HwInfo(0xf380_4000_0e00_0000);
    let text = "Bind/associate state for source (1) and target (1) queue 04.0033 must be 0";
    explains(script, bound, bound, &[text.to_owned()])
}

fn m_cl(script: &Script<'_>) -> Result<(), Stop> {
    let stateless = HwInfo(0xf340_0000_0e00_0000);
    let lines = [
        "Full native card function available on source queue 04.0033",
        "Only stateless functions available on target queue 04.0033",
    ];
    explains(script, CCA8, stateless, &lines.map(str::to_owned))
}

/// Everything that can differ, at once.
fn order(script: &Script<'_>) -> Result<(), Stop> {
    let source = HwInfo(0xf3 << 56 | HwInfo::NATIVE | 0x0e00_0000);
    let target = HwInfo(0x0c << 56 | HwInfo::STATELESS | 1 << 46 | 0x0d00_0000);
    let mut lines = Vec::new();
    for (_, bit, words, having) in FACILITIES {
        let line =
            |has: bool, side: &str| format!("{words} {}{having} {side} queue 04.0033", if has { "" } else { "not " });
        lines.extend([line(source.has(bit), "source"), line(target.has(bit), "target")]);
    }
    lines.push("AP type of source (0e) not compatible with target (0d)".to_owned());
    lines.push("Bind/associate state for source (0) and target (1) queue 04.0033 must be 0".to_owned());
    lines.push("Full native card function available on source queue 04.0033".to_owned());
    lines.push("Only stateless functions available on target queue 04.0033".to_owned());
    explains(script, source, target, &lines)
}

/// Pairs that must be accepted, and so need no explanation; a driver that refuses one must at least say why.
fn heading_has_detail(script: &Script<'_>) -> Result<(), Stop> {
    for source in [0xf340_0000_0e00_0000, 0xf380_0001_0d00_0000] {
        let side = script.destination()?;
        let format = side.format()?;
        side.errors()?;
        offer(&side, &stream(format, &[(QUEUE, HwInfo(source))], Mask256::EMPTY))?;
        let lines = side.errors()?;
        let headings = lines.iter().filter(|line| line.contains("not compatible") && line.contains("queue (")).count();
        let explained = headings == 0 || lines.len() > headings;
        script.require("a heading in the log", explained, "at least one detail after it", lines.join(" | "))?;
    }
    Ok(())
}

fn control_domain(script: &Script<'_>) -> Result<(), Stop> {
    let side = script.destination()?;
    if side.format()? == StreamFormat::Posted {
        return Err(Stop::Skip("the device's stream has no control domains".to_owned()));
    }
    side.errors()?;
    offer(&side, &stream(StreamFormat::Vfap, &[(QUEUE, CCA8)], mask(&[0x33, 0x45, 0x46])))?;
    let seen: Vec<String> = side.errors()?.iter().map(|line| plain(line)).collect();
    let line = |domain: &str, host: &str| with_device(&format!("Control domain {domain} not available on {host}"));
    let both = |host: &str| [line("0045", host), line("0046", host)].join(" | ");
    script.expect("lines of the log", seen.join(" | "), &both("target host"), &[&both("the destination host")])
}

fn many_queues(script: &Script<'_>) -> Result<(), Stop> {
    let domains: Vec<u8> = (0x40..0x50).collect();
    let host = matrix(&[4], &domains, &[]);
    let queues: Vec<Apqn> = host.queues().collect();
    let mdevs = vec![MdevSetup { name: A.to_owned(), matrix: matrix(&[], &[], &[]) }];
    let setup = HostSetup { host, mdevs, unbound: queues.clone(), ..HostSetup::destination() };
    let side = script.host("destination", &setup)?;
    let format = side.format()?;
    side.errors()?;
    let entries: Vec<_> = queues.iter().map(|apqn| (*apqn, CCA8)).collect();
    offer(&side, &stream(format, &entries, Mask256::EMPTY))?;
    let lines = side.errors()?;
    let named = queues.iter().filter(|apqn| lines.iter().any(|line| line.contains(&not_available(**apqn)))).count();
    let suppressed = lines.iter().any(|line| line.contains("callbacks suppressed"));
    if named >= 10 && suppressed {
        script.note("not every queue is named; the others are counted");
        return Ok(());
    }
    script.expect("queues named in the log", named, "16", &[])
}

fn dead_queue(script: &Script<'_>) -> Result<(), Stop> {
    let bytes = handmade(script, &[QUEUE], Mask256::EMPTY)?;
    for response in [ResponseCode::DECONFIGURED, ResponseCode::CHECKSTOPPED] {
        let side = script.destination()?;
        let answer = QueueAnswer { response, asynchronous: false, hw_info: None };
        let call = format!("TAPQ of {QUEUE} := rc {:02x}", response.0);
        side.host_call(&call, side.host.set_queue_answer(QUEUE, Some(answer)))?;
        let mark = side.host.log(0).map_err(|error| Stop::Broken(error.to_string()))?.len();
        let (_, answer) = offer(&side, &bytes)?;
        let lines = side.host.log(0).map_err(|error| Stop::Broken(error.to_string()))?;
        let said = lines.iter().skip(mark).any(|line| line.text.contains("04.0033"));
        let what = "a queue that does not work is accepted";
        script.require(what, !answer.is_done() || said, "a line in the log", "no line")?;
    }
    Ok(())
}
