// SPDX-License-Identifier: MIT OR Apache-2.0
//! A plan as one shell script: first what is to be done on each host, which takes nothing that is in use, and when all
//! of that is done the migrations. In this order no guest arrives where something is still missing, and nothing is
//! taken from a device that a guest has come to. Printed, never run here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Fleet;
use super::cell::steps;
use super::plan::Plan;
use crate::fix::{self, Fix};

/// How hosts are reached; a host is called as its snapshot's file is.
const ON: &str = r#"
# How a script is run on a host. Change it if a host is reached otherwise than by the name of its snapshot's file.
on() { ssh -T -- "root@$1" sh -s || { echo "host $1 is not ready, and nothing was migrated" >&2; exit 1; }; }
"#;

/// How a guest is migrated.
const MIGRATE: &str = r#"
# How the guest of a mediated device is migrated: by libvirt, with the options that your guests need.
migrate() {
    for domain in $(virsh -q -c "qemu+ssh://root@$2/system" list --uuid); do
        if virsh -q -c "qemu+ssh://root@$2/system" dumpxml "$domain" | grep -qi -e "uuid=.$1."; then
            virsh -q -c "qemu+ssh://root@$2/system" migrate --live --p2p "$domain" "qemu+ssh://root@$3/system"
            return
        fi
    done
    echo "no guest of libvirt on $2 has mediated device $1" >&2
    exit 1
}
"#;

/// What is to be done on each host that a guest goes to, by position; hosts where nothing is are left out.
#[must_use]
pub fn by_host(fleet: &Fleet, plan: &Plan) -> BTreeMap<usize, Vec<Fix>> {
    let mut hosts: BTreeMap<usize, Vec<Fix>> = BTreeMap::new();
    for each in plan.moves.iter().filter(|each| each.cost.commands > 0) {
        hosts.entry(each.to).or_default().extend(steps(fleet, &fleet.guests[each.guest], each.to));
    }
    hosts
}

/// How many lines of the script change something.
#[must_use]
pub fn lines(hosts: &BTreeMap<usize, Vec<Fix>>) -> usize {
    hosts.values().map(fix::commands).sum()
}

/// The script; with the migrations themselves, if `moves`.
#[must_use]
pub fn script(fleet: &Fleet, plan: &Plan, title: &str, moves: bool) -> String {
    let hosts = by_host(fleet, plan);
    let mut text = format!(
        "#!/bin/sh\n# What kaput preflight proposes: {title}\n# Read it before you run it, where every host is reached \
         as root.\n"
    );
    let has_moves = moves && !plan.moves.is_empty();
    if hosts.is_empty() && !has_moves {
        return text + "# Nothing is to be done.\n";
    }
    text.push_str("set -eu\n");
    text.push_str(if hosts.is_empty() { "" } else { ON });
    text.push_str(if has_moves { MIGRATE } else { "" });
    for (host, steps) in &hosts {
        let name = fleet.name(*host);
        _ = writeln!(text, "\n# Host {name}\non {name} <<'END'\n{}END", fix::body(steps));
    }
    if has_moves {
        text.push('\n');
    }
    for each in plan.moves.iter().filter(|_| has_moves) {
        let guest = &fleet.guests[each.guest];
        _ = writeln!(text, "migrate {} {} {}", guest.mdev, fleet.name(guest.home), fleet.name(each.to));
    }
    text
}
