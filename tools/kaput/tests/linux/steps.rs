// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is done to a guest and what must come of it. Linux's own words are compared, not ours: `lszcrypt`, sysfs, the
//! kernel log, and the answers that its driver gives to a program.

use serde_json::{Value, json};

use crate::guest::Linux;

type Done = Result<(), String>;

fn demand(right: bool, what: impl FnOnce() -> String) -> Done {
    if right { Ok(()) } else { Err(what()) }
}

/// `lszcrypt -V` in the golden file of that name. How many requests there were is left out: random numbers are fetched
/// in the background.
fn cards(linux: &mut Linux, name: &str) -> Done {
    linux.until("cat /sys/bus/ap/bindings", |text| text.ends_with("(complete)"))?;
    linux.until(OPERATIONAL, str::is_empty)?;
    let table = linux.run("lszcrypt -V")?;
    insta::assert_snapshot!(name, without_counts(&table));
    Ok(())
}

/// The queues that are not ready for requests.
const OPERATIONAL: &str = "cat /sys/bus/ap/devices/*.*/reset | grep -v 'No Reset' || true";

/// The table with the columns REQUESTS and PENDING blanked.
fn without_counts(table: &str) -> String {
    let columns = |line: &str| Some((line.find("REQUESTS")?, line.find("PENDING")? + "PENDING".len()));
    let Some((from, to)) = table.lines().find_map(columns) else { return table.to_owned() };
    let blank = |line: &str| match (line.get(..from), line.get(from..to), line.get(to..)) {
        (Some(before), Some(counts), Some(after)) if counts.chars().all(|c| c == ' ' || c.is_ascii_digit()) => {
            format!("{before}{:>1$}{after}\n", "*", to - from)
        }
        _ => format!("{line}\n"),
    };
    table.lines().map(blank).collect()
}

pub(crate) fn polling_cards(linux: &mut Linux) -> Done {
    cards(linux, "polling")
}

pub(crate) fn interrupt_cards(linux: &mut Linux) -> Done {
    cards(linux, "interrupts")
}

pub(crate) fn without_cards(linux: &mut Linux) -> Done {
    cards(linux, "without")
}

/// Linux shows `sie` where SCLP says so of the CPU it booted on.
pub(crate) fn sie(linux: &mut Linux) -> Done {
    let says = linux.run("grep -m 1 ^features /proc/cpuinfo")?;
    demand(says.split_whitespace().any(|feature| feature == "sie"), || format!("there is no sie: {says}"))
}

pub(crate) fn no_interruptions(linux: &mut Linux) -> Done {
    let says = linux.run("cat /sys/bus/ap/ap_interrupts")?;
    demand(says.trim() == "0", || format!("ap_interrupts is {says}"))?;
    let queues = linux.run("cat /sys/bus/ap/devices/*.*/interrupt | sort -u")?;
    demand(queues.trim() == "Interrupts disabled.", || queues)
}

pub(crate) fn interruptions_enabled(linux: &mut Linux) -> Done {
    let says = linux.run("cat /sys/bus/ap/ap_interrupts")?;
    demand(says.trim() == "1", || format!("ap_interrupts is {says}"))?;
    linux.until("cat /sys/bus/ap/devices/*.*/interrupt | sort -u", |text| text == "Interrupts enabled.").map(drop)
}

/// Adapter interruptions of AP until now.
fn interruptions(linux: &mut Linux) -> Result<u64, String> {
    let line = linux.run("grep -m 1 API: /proc/interrupts || grep -m 1 APB: /proc/interrupts")?;
    let counts = line.split_whitespace().map_while(|word| match word.strip_suffix(':') {
        Some(_) => Some(0),
        None => word.parse::<u64>().ok(),
    });
    Ok(counts.sum())
}

pub(crate) fn interruptions_arrive(linux: &mut Linux) -> Done {
    let before = interruptions(linux)?;
    requests(linux, 100)?;
    let after = interruptions(linux)?;
    demand(after > before, || format!("{before} interruptions before, {after} after 100 requests"))
}

/// Makes requests from four threads; every answer must be right.
fn requests(linux: &mut Linux, count: u32) -> Done {
    let said = linux.run(&format!("/witness {count} 4"))?;
    demand(said.trim() == format!("witness: {count} right, 0 failed, 0 wrong, 4 threads"), || said)
}

/// How many requests the cards with a mode have had.
fn request_count(linux: &mut Linux, mode: &str) -> Result<u64, String> {
    let line = format!("lszcrypt -V | grep -E '^[0-9a-f]{{2}} .*{mode}'");
    let table = linux.run(&line)?;
    let counts = table.lines().filter_map(|line| line.split_whitespace().nth(4)?.parse::<u64>().ok());
    Ok(counts.sum())
}

/// Takes the cards with a mode off Linux's list, or puts them back.
fn set_online(linux: &mut Linux, mode: &str, online: u8) -> Done {
    let line = format!(
        "for card in $(lszcrypt -V | grep -E '^[0-9a-f]{{2}} .*{mode}' | cut -d ' ' -f 1); do \
         echo {online} > /sys/bus/ap/devices/card$card/online; done"
    );
    linux.run(&line).map(drop)
}

const ACCELERATOR: &str = "Accelerator";
const COPROCESSOR: &str = "CCA-Coproc";

fn requests_to(linux: &mut Linux, mode: &str, other: &str) -> Done {
    const COUNT: u32 = 1000;
    set_online(linux, other, 0)?;
    let before = request_count(linux, mode)?;
    requests(linux, COUNT)?;
    let after = request_count(linux, mode)?;
    set_online(linux, other, 1)?;
    demand(after - before >= COUNT.into(), || format!("the cards had {} requests", after - before))
}

pub(crate) fn accelerator_requests(linux: &mut Linux) -> Done {
    requests_to(linux, ACCELERATOR, COPROCESSOR)
}

pub(crate) fn coprocessor_requests(linux: &mut Linux) -> Done {
    requests_to(linux, COPROCESSOR, ACCELERATOR)
}

pub(crate) fn random_numbers(linux: &mut Linux) -> Done {
    let source = linux.run("cat /sys/class/misc/hw_random/rng_current")?;
    demand(source.trim() == "zcrypt", || format!("the current source is {source}"))?;
    let mut sums = Vec::new();
    for _ in 0..2 {
        linux.run("dd if=/dev/hwrng of=/tmp/random bs=4096 count=4 iflag=fullblock 2> /dev/null")?;
        // Random bytes do not become shorter.
        let size = linux.run("gzip -c /tmp/random | wc -c")?;
        demand(size.trim().parse::<u32>().is_ok_and(|size| size > 16384), || format!("compressed {size}"))?;
        sums.push(linux.run("sha256sum /tmp/random")?);
    }
    demand(sums[0] != sums[1], || "the same numbers twice".to_owned())
}

pub(crate) fn poll_thread(linux: &mut Linux) -> Done {
    linux.run("echo 1 > /sys/bus/ap/poll_thread")?;
    let says = linux.run("cat /sys/bus/ap/poll_thread")?;
    demand(says.trim() == "1", || format!("poll_thread is {says}"))?;
    requests(linux, 200)?;
    linux.run("echo 0 > /sys/bus/ap/poll_thread").map(drop)
}

/// Begins to make requests in the background, and returns when some are answered.
fn begin_load(linux: &mut Linux) -> Done {
    linux.run("rm -f /stop; /witness 0 4 > /tmp/load 2>&1 &")?;
    let before = total(linux)?;
    more_requests(linux, before)
}

/// Waits until many more requests were made than there were.
fn more_requests(linux: &mut Linux, before: u64) -> Done {
    linux.until(TOTAL, |text| text.parse::<u64>().is_ok_and(|now| now > before + 50)).map(drop)
}

const TOTAL: &str = "cat /sys/bus/ap/devices/card*/request_count | awk '{ n += $1 } END { print n }'";

fn total(linux: &mut Linux) -> Result<u64, String> {
    let text = linux.run(TOTAL)?;
    text.trim().parse().map_err(|_| format!("requests: {text}"))
}

/// Ends the requests in the background: all were answered, and every answer is right.
fn end_load(linux: &mut Linux) -> Done {
    let (said, failed) = stop_load(linux)?;
    demand(failed.is_empty(), || said)
}

/// Ends the requests in the background, of which none may have a wrong answer; what was said, and each request that
/// failed, by its error number.
fn stop_load(linux: &mut Linux) -> Result<(String, Vec<String>), String> {
    linux.run("touch /stop; wait")?;
    let said = linux.run("cat /tmp/load")?;
    let (failures, summary) = said.trim().rsplit_once('\n').unwrap_or(("", said.trim()));
    let failures: Vec<&str> = failures.lines().collect();
    demand(summary.ends_with(&format!(" right, {} failed, 0 wrong, 4 threads", failures.len())), || said.clone())?;
    let numbers = failures.iter().filter_map(|line| Some(line.rsplit_once(": error ")?.1.to_owned())).collect();
    Ok((said.clone(), numbers))
}

/// The first accelerator, as two digits.
fn accelerator(linux: &mut Linux) -> Result<String, String> {
    let text = linux.run("lszcrypt -V | grep -m 1 -E '^[0-9a-f]{2} .*Accelerator' | cut -d ' ' -f 1")?;
    Ok(text.trim().to_owned())
}

/// `ENODEV`.
const NO_DEVICE: &str = "19";

/// Something of the hardware that goes away and comes back.
struct Part {
    /// The requests that take it away and bring it back.
    requests: [(&'static str, Value); 2],
    /// A line of shell that says how Linux sees it, and what it says while it is away and once it is back.
    status: String,
    says: [&'static str; 2],
    /// Its folder below that of the AP bus's devices.
    device: String,
    /// How many queues it has.
    queues: usize,
}

/// Takes it away under load and gives it back; Linux must see both, and use the other queues meanwhile. Its driver
/// refuses a request that has chosen a queue which fails before the request gets there: one a thread and queue at most,
/// since the next request finds the queue gone.
fn away_and_back(linux: &mut Linux, part: Part) -> Done {
    let Part { requests: [away, back], status, says: [gone, there], device, queues } = part;
    begin_load(linux)?;
    linux.control(away.0, away.1)?;
    linux.run("echo 1 > /sys/bus/ap/scans")?;
    linux.until(&status, |text| text == gone)?;
    let before = total(linux)?;
    more_requests(linux, before)?;
    linux.control(back.0, back.1)?;
    linux.run("echo 1 > /sys/bus/ap/scans")?;
    linux.until(&status, |text| text == there)?;
    let count = format!("cat /sys/bus/ap/devices/{device}/request_count");
    let before: u64 = linux.run(&count)?.trim().parse().map_err(|_| "no count".to_owned())?;
    linux.until(&count, |text| text.parse::<u64>().is_ok_and(|now| now > before + 50))?;
    let (said, failures) = stop_load(linux)?;
    demand(failures.len() <= 4 * queues && failures.iter().all(|number| number == NO_DEVICE), || said)
}

/// The first accelerator.
fn card_away_and_back(linux: &mut Linux, away: &'static str, says: &'static str) -> Done {
    let card = accelerator(linux)?;
    let queues = linux.run(&format!("ls -d /sys/bus/ap/devices/{card}.* | wc -l"))?;
    let adapter = json!({"adapter": card});
    away_and_back(
        linux,
        Part {
            requests: [(away, adapter.clone()), ("adapter-configure", adapter)],
            status: format!("lszcrypt -V | grep '^{card} ' | awk '{{ print $4 }}'"),
            says: [says, "online"],
            device: format!("card{card}"),
            queues: queues.trim().parse().unwrap_or_default(),
        },
    )
}

pub(crate) fn deconfigured_card(linux: &mut Linux) -> Done {
    card_away_and_back(linux, "adapter-deconfigure", "deconfig")
}

pub(crate) fn checkstopped_card(linux: &mut Linux) -> Done {
    card_away_and_back(linux, "adapter-checkstop", "chkstop")
}

/// One queue of the first accelerator; the card's other queues work on.
pub(crate) fn checkstopped_queue(linux: &mut Linux) -> Done {
    let card = accelerator(linux)?;
    let queue = linux.run(&format!("basename $(ls -d /sys/bus/ap/devices/{card}.* | head -n 1)"))?;
    let queue = queue.trim();
    let request = |on: bool| ("queue-checkstop", json!({"queue": queue, "on": on}));
    away_and_back(
        linux,
        Part {
            requests: [request(true), request(false)],
            status: format!("cat /sys/bus/ap/devices/{queue}/chkstop"),
            says: ["1", "0"],
            device: queue.to_owned(),
            queues: 1,
        },
    )
}

pub(crate) fn queue_reset(linux: &mut Linux) -> Done {
    let card = accelerator(linux)?;
    begin_load(linux)?;
    for _ in 0..3 {
        linux.run(&format!("for queue in /sys/bus/ap/devices/{card}.*; do echo 1 > $queue/reset; done"))?;
        let before = total(linux)?;
        more_requests(linux, before)?;
    }
    end_load(linux)
}

pub(crate) fn device_reset(linux: &mut Linux) -> Done {
    begin_load(linux)?;
    for _ in 0..3 {
        linux.control("device-reset", json!({}))?;
        let before = total(linux)?;
        more_requests(linux, before)?;
    }
    end_load(linux)
}

pub(crate) fn migration(linux: &mut Linux) -> Done {
    linux.run("echo 1 > /sys/bus/ap/poll_thread")?;
    begin_load(linux)?;
    linux.migrate()?;
    let before = total(linux)?;
    more_requests(linux, before)?;
    end_load(linux)
}

/// What an emulated CPU does to a kernel that knows real ones only: none of it is about AP.
const EXPECTED: [&str; 3] = ["KASLR disabled", "hrtimer: interrupt took", "sched_clock"];

pub(crate) fn quiet_kernel(linux: &mut Linux) -> Done {
    let log = linux.run("dmesg -r")?;
    demand(log.lines().count() > 20, || format!("that is no kernel log: {log}"))?;
    let loud = |line: &&str| {
        let level = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        level.and_then(|(number, _)| number.parse::<u32>().ok()).is_some_and(|number| number & 7 <= 4)
    };
    let complaints: Vec<&str> =
        log.lines().filter(loud).filter(|line| !EXPECTED.iter().any(|known| line.contains(known))).collect();
    demand(complaints.is_empty(), || complaints.join("\n"))
}

/// All queues of the guest: how often each was reset, and which are enabled for interruptions or hold messages.
fn queues(linux: &mut Linux) -> Result<(Vec<u64>, Vec<Value>), String> {
    let queues = linux.control("query-queues", json!({}))?;
    let queues = queues["queues"].as_array().cloned().unwrap_or_default();
    let resets = queues.iter().map(|queue| queue["resets"].as_u64().unwrap_or_default()).collect();
    let busy = |queue: &Value| {
        let activity = &queue["activity"];
        !activity["interruption"].is_null() || activity["messages"].as_u64().unwrap_or_default() > 0
    };
    Ok((resets, queues.into_iter().filter(busy).collect()))
}

/// Every queue was reset and none is armed or holds a message: asked at the guest's reset, seconds before Linux gets to
/// AP.
fn reset_and_disarmed(linux: &mut Linux, before: &[u64]) -> Done {
    let (resets, busy) = queues(linux)?;
    demand(busy.is_empty(), || format!("{busy:?}"))?;
    demand(resets.iter().zip(before).all(|(now, before)| now > before), || format!("{before:?} became {resets:?}"))
}

pub(crate) fn reboot(linux: &mut Linux) -> Done {
    begin_load(linux)?;
    let (before, armed) = queues(linux)?;
    demand(!armed.is_empty(), || "no queue is armed".to_owned())?;
    linux.type_line("reboot -f")?;
    linux.qmp().event("RESET", |_| true)?;
    reset_and_disarmed(linux, &before)?;
    linux.until_booted()?;
    interruptions_enabled(linux)
}

pub(crate) fn system_reset(linux: &mut Linux) -> Done {
    begin_load(linux)?;
    let (before, armed) = queues(linux)?;
    demand(!armed.is_empty(), || "no queue is armed".to_owned())?;
    linux.qmp().ask("system_reset", json!({}))?;
    linux.qmp().event("RESET", |_| true)?;
    reset_and_disarmed(linux, &before)?;
    linux.until_booted()?;
    interruptions_enabled(linux)
}

/// Requests that Linux has sent and has no reply to.
const WAITING: &str = "cat /sys/bus/ap/devices/*.*/pendingq_count | awk '{ n += $1 } END { print n }'";

/// A migration carries neither a queue's messages nor where it is to announce replies (finding
/// `x-aqic-registration-not-migrated`). Linux that waits for the interruption of a reply waits in vain (15 minutes):
/// the destination's queue is empty and disarmed. A reset of the queue makes Linux send the request again.
pub(crate) fn lost_registration(linux: &mut Linux) -> Done {
    const MIGRATIONS: u32 = 20;
    linux.run("rm -f /stop; /witness 0 1 > /tmp/load 2>&1 &")?;
    // A migration that finds no request under way loses nothing that is missed.
    for _ in 0..MIGRATIONS {
        let before = total(linux)?;
        more_requests(linux, before)?;
        let carried = linux.migrate()?;
        if !carried {
            continue;
        }
        linux.run("echo 1 > /sys/bus/ap/scans")?;
        let waiting = linux.run(WAITING)?;
        let (_, busy) = queues(linux)?;
        if !busy.is_empty() {
            // It was about to look at the queue anyway, found it empty, sent the request again and armed it.
            continue;
        }
        demand(waiting.trim() == "1", || format!("{waiting} requests wait, expected is the lost one"))?;
        let before = total(linux)?;
        linux.run("for queue in /sys/bus/ap/devices/*.*; do echo 1 > $queue/reset; done")?;
        more_requests(linux, before)?;
        linux.run("touch /stop; wait")?;
        let said = linux.run("cat /tmp/load")?;
        return demand(said.trim().ends_with(" right, 0 failed, 0 wrong, 1 threads"), || said);
    }
    Err(format!("none of {MIGRATIONS} migrations met a request under way"))
}
