// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput collect` and `kaput preflight`: what the hosts say, and what follows from it.

use std::path::PathBuf;

use clap::Args;
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use preflight::report::{fix, human, json, picture};
use preflight::{Host, Pair, RULES, Snapshot, foreign};

use super::fleet::{self, FleetOptions};
use super::print::print;
use super::reports::{Form, Reports, Target};
use crate::hosts::name::SshConfig;
use crate::hosts::snapshot::{SnapshotSource, device, load};
use crate::progress::busy_beside_a_question;
use crate::report::preflight as page;

pub(super) const COLLECT_HELP: &str = "\
Examples:
  kaput collect > here.json              this host
  kaput collect ssh:zhost2 -o there.json another one, by the system's ssh; nothing is installed there
  kaput collect ./copy-of-sys            a folder that looks like / or like /sys
  kaput collect --keys-from before.json  with the master keys' patterns of before vfio_ap got the queues
  kaput collect --script > collect.sh    the same as a shell script: sh collect.sh > host.json

Nothing is written on the host and no queue is changed. What cannot be read is recorded with the reason.
";

pub(super) const PREFLIGHT_HELP: &str = "\
Examples:
  kaput preflight here.json there.json
  kaput preflight local ssh:zhost2 --mdev 669d9b23-fe1b-4ecb-be08-a2fabca99b71
  kaput preflight here.json there.json --fix > fix.sh     commands for the destination; read, then run
  kaput preflight here.json there.json --matrix           both hosts as tables
  kaput preflight here.json there.json --report html=a.html    both hosts as a picture, and why
  kaput preflight --fleet hosts/                          every guest against every host; hosts/ has HOST.json files
  kaput preflight --fleet hosts/ --fix                    commands after which every guest can move
  kaput preflight --fleet hosts/ --empty zhost1,zhost2    where the guests of these hosts go, with the fewest commands

Exit status:
  0  yes: the migration succeeds and the guest keeps its queues; every guest of a fleet can go somewhere
  1  no: it is refused; a guest of the fleet has no host to go to
  2  usage, or a snapshot that cannot be read
  3  unknown: an input is missing
";

#[derive(Debug, Args)]
pub(super) struct CollectOptions {
    /// The host: local, ssh:HOST, or a folder that looks like / or like /sys
    #[arg(default_value = "local", value_name = "HOST")]
    host: SnapshotSource,
    /// Prints the shell script that does the same
    #[arg(long, conflicts_with_all = ["host", "monitor"])]
    script: bool,
    /// QMP socket of the guest's QEMU, to ask what blocks a migration
    #[arg(long, value_name = "SOCKET")]
    monitor: Option<PathBuf>,
    /// Takes the master keys' patterns of queues that vfio_ap has from a snapshot made before it got them
    #[arg(long, value_name = "OLDER", conflicts_with = "script")]
    keys_from: Option<SnapshotSource>,
    /// Prints this mediated device as mdevctl defines one, instead of the snapshot
    #[arg(long, value_name = "UUID", conflicts_with = "script", value_parser = super::print::device_name)]
    mdevctl: Option<String>,
    /// Where to write the snapshot; standard output if missing
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    ssh: SshConfig,
}

#[derive(Debug, Args)]
pub(super) struct PreflightOptions {
    /// The host the guest is on: a snapshot, a folder that looks like sysfs, local, or ssh:HOST
    #[arg(required_unless_present = "fleet")]
    source: Option<SnapshotSource>,
    /// The host it is to go to
    #[arg(required_unless_present = "fleet")]
    destination: Option<SnapshotSource>,
    /// The guest's mediated device on the source, if there is more than one; or a file that names it, a libvirt domain
    /// or mdevctl's definition
    #[arg(long, value_name = "UUID|FILE")]
    mdev: Option<String>,
    /// The device on the destination, if its UUID is another
    #[arg(long, value_name = "UUID|FILE")]
    destination_mdev: Option<String>,
    /// QMP socket of the guest's QEMU, to ask what blocks a migration
    #[arg(long, value_name = "SOCKET")]
    monitor: Option<PathBuf>,
    /// Answers no also where the kernel moves the guest and its crypto does not work afterwards
    #[arg(long)]
    strict: bool,
    /// Prints a shell script for the destination, instead of the report; runs nothing
    #[arg(long, conflicts_with = "matrix")]
    fix: bool,
    /// Draws both hosts as tables, instead of the report
    #[arg(long)]
    matrix: bool,
    /// How to report, and into which file: human, json, tap or html. May be given more than once; one of them may be
    /// without a file
    #[arg(long, value_name = "FORM[=FILE]", default_value = "human")]
    report: Vec<Target>,
    #[command(flatten)]
    ssh: SshConfig,
    #[command(flatten)]
    fleet: FleetOptions,
}

pub(super) async fn collect(options: &CollectOptions) -> Result<u8> {
    if options.script {
        return print(preflight::collect::SCRIPT).await;
    }
    let loading = load(&options.host, options.ssh.file(), options.monitor.as_deref());
    let mut snapshot = busy_beside_a_question(format!("{} is asked", options.host), loading).await?;
    if let Some(older) = &options.keys_from {
        let older = load(older, options.ssh.file(), None).await?;
        if foreign::take_keys(&mut snapshot, &older) == 0 {
            eprintln!("no queue of this host has patterns in the older snapshot and none now");
        }
    }
    let text = match &options.mdevctl {
        None => snapshot.to_json().into_diagnostic()?,
        Some(uuid) => defined(&snapshot, uuid)?,
    };
    match &options.output {
        None => print(text).await,
        Some(file) => {
            std::fs::write(file, text)
                .into_diagnostic()
                .wrap_err_with(|| format!("cannot write {}", file.display()))?;
            Ok(0)
        }
    }
}

/// A mediated device as mdevctl defines it.
fn defined(snapshot: &Snapshot, uuid: &str) -> Result<String> {
    let host = Host::new(snapshot).into_diagnostic()?;
    let mdevs = host.mdevs.as_ref().map_err(|unknown| miette!("its mediated devices are not known: {}", unknown.0))?;
    let mdev = mdevs.iter().find(|(name, _)| name.eq_ignore_ascii_case(uuid)).map(|(_, mdev)| mdev);
    let mdev = mdev.ok_or_else(|| miette!("there is no mediated device {uuid}"))?;
    let matrix = mdev.assigned.as_ref().map_err(|unknown| miette!("what is assigned is not known: {}", unknown.0))?;
    Ok(foreign::to_mdevctl(matrix))
}

pub(super) async fn preflight(options: &PreflightOptions) -> Result<u8> {
    let (Some(source_place), Some(destination_place)) = (&options.source, &options.destination) else {
        return fleet::preflight(&options.fleet, options.strict, options.fix, &options.report).await;
    };
    let reports = Reports::open_of(&options.report, &[Form::Human, Form::Json, Form::Tap, Form::Html])?;
    let read = async |place: &SnapshotSource, monitor| -> Result<Host> {
        let snapshot =
            busy_beside_a_question(format!("{place} is asked"), load(place, options.ssh.file(), monitor)).await?;
        Host::new(&snapshot).into_diagnostic().wrap_err_with(|| place.to_string())
    };
    let source = read(source_place, options.monitor.as_deref()).await?;
    let destination = read(destination_place, None).await?;
    let named = |option: &Option<String>| option.as_deref().map(device).transpose();
    let (mdev, destination_mdev) = (named(&options.mdev)?, named(&options.destination_mdev)?);
    let pair = Pair::new(&source, &destination, mdev.as_deref(), destination_mdev.as_deref())
        .into_diagnostic()
        .wrap_err_with(|| source_place.to_string())?;
    let judgement = preflight::judge(&pair, RULES, options.strict);
    let (from, to) = (source_place.to_string(), destination_place.to_string());
    if options.fix {
        print(fix(&judgement)).await?;
    } else if options.matrix {
        print(picture::tables(&pair, &judgement)).await?;
    } else {
        let render = |form| match form {
            Form::Json => json::line(&pair, &judgement, &from, &to).into_diagnostic(),
            Form::Tap => Ok(page::tap(&judgement)),
            Form::Html => {
                page::page(&pair, &judgement, &from, &to).map_err(|error| miette!("the HTML report: {error}"))
            }
            _ => Ok(human::screen(&judgement, &from, &to)),
        };
        reports.deliver(render).await?;
    }
    Ok(judgement.verdict().exit_status())
}
