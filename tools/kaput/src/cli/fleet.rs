// SPDX-License-Identifier: MIT OR Apache-2.0
//! `kaput preflight --fleet`: every guest against every host, and where guests go when hosts are emptied.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use miette::{IntoDiagnostic, Result, miette};
use preflight::fleet::cell::Table;
use preflight::fleet::{Fleet, plan};

use super::print::print;
use super::reports::{Form, Reports, Target};
use crate::hosts::fleet::read;
use crate::progress::busy;
use crate::report::fleet::{Report, line, page, screen};

#[derive(Debug, Args)]
pub(super) struct FleetOptions {
    /// Every guest against every host: snapshots, or folders of them, a file HOST.json for each host
    #[arg(long, num_args = 1.., value_name = "DIR|FILE",
        conflicts_with_all = ["source", "destination", "mdev", "destination_mdev", "monitor", "matrix"])]
    pub(super) fleet: Vec<PathBuf>,
    /// Finds the cheapest host for every guest of these hosts, so that they become empty
    #[arg(long, value_delimiter = ',', value_name = "HOST", requires = "fleet")]
    empty: Vec<String>,
}

/// The positions of hosts, each once.
fn positions(fleet: &Fleet, names: &[String]) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for name in names {
        let there: Vec<&str> = fleet.members.iter().map(|member| member.name.as_str()).collect();
        let help = format!("a host is called as its snapshot's file is; there are {}", there.join(", "));
        let host = fleet.position(name).ok_or_else(|| miette!(help = help, "there is no host {name:?}"))?;
        if let Err(unknown) = &fleet.members[host].host.mdevs {
            let why = preflight::text::plain(&unknown.0);
            return Err(miette!("which guests {name} has is not known, so it cannot be emptied: {why}"));
        }
        found.push(host);
    }
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

pub(super) async fn preflight(options: &FleetOptions, strict: bool, fix: bool, targets: &[Target]) -> Result<u8> {
    let reports = Reports::open_of(targets, &[Form::Human, Form::Json, Form::Html])?;
    let paths = options.fleet.clone();
    let reading = tokio::task::spawn_blocking(move || read(&paths));
    let fleet = Arc::new(busy("snapshots are read", reading).await.into_diagnostic()??);
    let emptied = positions(&fleet, &options.empty)?;
    let what = format!("{} guests are compared with {} hosts", fleet.guests.len(), fleet.members.len());
    let (all, hosts) = (Arc::clone(&fleet), emptied.clone());
    let comparing = tokio::task::spawn_blocking(move || {
        let table = Table::new(&all, strict);
        let plan = if hosts.is_empty() { plan::movable(&all, &table) } else { plan::empty(&all, &table, &hosts) };
        (table, plan)
    });
    let (table, plan) = busy(what, comparing).await.into_diagnostic()?;
    let report = Report { fleet: &fleet, table: &table, plan: &plan, emptied: &emptied };
    if fix {
        print(report.script()).await?;
    } else {
        let render = |form| match form {
            Form::Json => line(report).into_diagnostic(),
            Form::Html => page(report).map_err(|error| miette!("the HTML report: {error}")),
            _ => Ok(screen(report)),
        };
        reports.deliver(render).await?;
    }
    Ok(report.verdict().exit_status())
}
