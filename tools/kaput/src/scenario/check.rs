// SPDX-License-Identifier: MIT OR Apache-2.0
//! What no parser can see: names that must exist, parts that must go together. Each fault has its place in the file.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use vfio_ap::defect::Defect;

use super::{ActionKind, ExpectedOutcome, Moment, Scenario};
use crate::protocol::socket_path::{DIGITS, LONGEST, LONGEST_HOST};

/// What is wrong, where, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) message: String,
    /// Bytes of the file; none if the fault is that something is missing.
    pub(super) place: Option<Range<usize>>,
    /// What is allowed.
    pub(super) help: String,
}

fn fault(message: impl Into<String>, place: Option<Range<usize>>, help: impl Into<String>) -> Fault {
    Fault { message: message.into(), place, help: help.into() }
}

/// Migrations a scenario may have: each starts a QEMU.
const MOST_MIGRATIONS: usize = 1000;
const _: () = assert!(MOST_MIGRATIONS < 10_usize.pow(DIGITS as u32), "sockets have the number in their names");

/// The most CPUs of an s390x machine of QEMU's.
const MOST_CPUS: u8 = 248;

impl Scenario {
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.check_guest()?;
        self.check_length()?;
        self.check_hosts()?;
        self.check_migrations()?;
        self.check_actions()?;
        self.check_asks()?;
        self.check_expectation()
    }

    fn check_guest(&self) -> Result<(), Fault> {
        let cpus = &self.guest.cpus;
        if cpus.get_ref().get() > MOST_CPUS {
            let help = format!("1 to {MOST_CPUS} are possible; the image uses two");
            return Err(fault("a machine does not have so many CPUs", Some(cpus.span()), help));
        }
        Ok(())
    }

    /// Before anybody writes the migrations out one by one.
    fn check_length(&self) -> Result<(), Fault> {
        let of = |step: &super::Step| step.rounds.get().saturating_mul(step.to.len());
        let count = self.migrations.iter().map(of).fold(0, usize::saturating_add);
        if count > MOST_MIGRATIONS {
            let help = format!("a scenario has at most {MOST_MIGRATIONS}: `rounds` times the length of `to`");
            return Err(fault(format!("{count} migrations are too many"), None, help));
        }
        Ok(())
    }

    fn check_hosts(&self) -> Result<(), Fault> {
        let names = || self.hosts.keys().map(|name| name.get_ref().as_str()).collect::<Vec<_>>().join(", ");
        if self.hosts.is_empty() {
            return Err(fault("the scenario has no host", None, "add a table [hosts.A] with a topology"));
        }
        for name in self.hosts.keys() {
            let text = name.get_ref();
            if text.is_empty()
                || text.len() > LONGEST_HOST
                || !text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            {
                let help = format!(
                    "a host's name has 1 to {LONGEST_HOST} letters, digits and hyphens: it becomes a part of file names"
                );
                return Err(fault(format!("`{text}` cannot be a host's name"), Some(name.span()), help));
            }
        }
        let destinations = self.migrations.iter().flat_map(|step| &step.to);
        for name in destinations.chain(&self.guest.start) {
            if self.host(name.get_ref()).is_none() {
                let message = format!("there is no host `{}`", name.get_ref());
                return Err(fault(message, Some(name.span()), format!("the hosts of this scenario are {}", names())));
            }
        }
        for name in self.hosts.values().flat_map(|host| &host.defects) {
            if let Err(unknown) = Defect::from_name(name.get_ref()) {
                let help = "each is described in the catalogue of findings";
                return Err(fault(unknown.to_string(), Some(name.span()), help));
            }
        }
        let mut sockets = BTreeMap::new();
        for (name, host) in &self.hosts {
            let Some(path) = &host.control else { continue };
            if path.get_ref().is_empty() || path.get_ref().len() > LONGEST {
                let help =
                    format!("a socket's path has 1 to {LONGEST} bytes; leave `control` out for one in the run folder");
                return Err(fault("this cannot be a socket's path", Some(path.span()), help));
            }
            let visits = self.hops().iter().filter(|hop| hop.to == name.get_ref()).count();
            if visits + usize::from(self.start() == name.get_ref()) > 1 {
                let message = format!("host {} has more than one QEMU in this scenario", name.get_ref());
                let help = "each needs a socket of its own; leave `control` out for those in the run folder";
                return Err(fault(message, Some(path.span()), help));
            }
            if let Some(other) = sockets.insert(path.get_ref(), name.get_ref()) {
                let message = format!("hosts {other} and {} have the same socket path", name.get_ref());
                let help = "each host needs its own; leave `control` out for one in the run folder";
                return Err(fault(message, Some(path.span()), help));
            }
        }
        Ok(())
    }

    fn check_migrations(&self) -> Result<(), Fault> {
        let places = self.migrations.iter().flat_map(|step| (0..step.rounds.get()).flat_map(|_| &step.to));
        for (hop, to) in places.enumerate() {
            let at = self.home_before(hop);
            if to.get_ref() == at {
                let message = format!("the guest is on host {at} already");
                return Err(fault(message, Some(to.span()), "a migration goes to another host"));
            }
        }
        for step in &self.migrations {
            let Some(name) = &step.with.stream_of else { continue };
            if !self.hosts.values().any(|host| host.others.iter().any(|other| other.uuid == *name.get_ref())) {
                let message = format!("no host has a mediated device `{}` beside the guest's", name.get_ref());
                let help = "it stands under `others` of the host that the guest leaves, and is open";
                return Err(fault(message, Some(name.span()), help));
            }
        }
        if !self.plugin && !self.migrations.is_empty() {
            let help = "remove `plugin = false`, or the migrations";
            return Err(fault("without the plugin there is no AP device to migrate", None, help));
        }
        Ok(())
    }

    fn check_actions(&self) -> Result<(), Fault> {
        let migrations = self.hops().len();
        for action in &self.actions {
            let (kind, number) = (*action.kind.get_ref(), action.migration.get_ref().get());
            let place = Some(action.kind.span());
            if action.at >= Moment::Asked && number > migrations {
                let message = format!("there is no migration {number}, so this never happens");
                return Err(fault(message, place, format!("the scenario has {migrations}")));
            }
            if action.at < kind.first_moment() {
                let message = format!("`{kind}` is not possible so early");
                return Err(fault(message, place, format!("the first moment is `{}`", kind.first_moment())));
            }
            if let Err(reason) = action.check() {
                let help = "the actions and their keys stand in docs/scenarios.md";
                return Err(fault(reason, place, help));
            }
            if kind == ActionKind::CancelMigration && action.at == Moment::Over {
                return Err(fault(
                    "a migration that is over cannot be cancelled",
                    place,
                    "the last moment is `continued`",
                ));
            }
            if let Some(host) = &action.host {
                self.check_host_at(host, action.at, number)?;
            }
        }
        Ok(())
    }

    fn check_asks(&self) -> Result<(), Fault> {
        for ask in &self.asks {
            if let Err(reason) = ask.to_request() {
                let help = "the requests and their arguments stand in docs/control-protocol.md";
                let place = ask.request.as_ref().map_or(ask.host.span(), Spanned::span);
                return Err(fault(format!("this cannot be asked: {reason}"), Some(place), help));
            }
            self.check_host_at(&ask.host, ask.at, ask.migration.get_ref().get())?;
        }
        Ok(())
    }

    /// That there is such a host, and that it can be reached at that moment.
    fn check_host_at(&self, host: &Spanned<String>, at: Moment, migration: usize) -> Result<(), Fault> {
        let (name, place) = (host.get_ref(), Some(host.span()));
        if self.host(name).is_none() {
            let names = self.hosts.keys().map(|name| name.get_ref().as_str()).collect::<Vec<_>>().join(", ");
            return Err(fault(format!("there is no host `{name}`"), place, format!("the hosts are {names}")));
        }
        if !self.answers(name, at, migration) {
            let help = "from `suites` on the first host answers, from `asked` on both hosts of that migration";
            return Err(fault(format!("host {name} does not answer at that moment"), place, help));
        }
        Ok(())
    }

    fn check_expectation(&self) -> Result<(), Fault> {
        let expect = &self.expect;
        if (expect.outcome() == ExpectedOutcome::Refused) != expect.refused.is_some() {
            let help = "`result = \"refused\"` and a table [expect.refused] with errno and messages go together";
            return Err(fault("the expectation is incomplete", Some(expect.result.span()), help));
        }
        if (expect.outcome() == ExpectedOutcome::GuestFails) == expect.failing.is_empty() {
            let help = "`result = \"guest-fails\"` and a list `failing` of the cases that fail go together";
            return Err(fault("the expectation is incomplete", Some(expect.result.span()), help));
        }
        let migrations = self.hops().len();
        if let Some(number) = expect.refused.as_ref().and_then(|refusal| refusal.migration.as_ref())
            && number.get_ref().get() > migrations
        {
            let message = format!("there is no migration {}", number.get_ref());
            return Err(fault(message, Some(number.span()), format!("the scenario has {migrations}")));
        }
        if expect.outcome() == ExpectedOutcome::Refused && migrations == 0 {
            return Err(fault(
                "nothing can be refused without a migration",
                Some(expect.result.span()),
                "add a table [[migrations]]",
            ));
        }
        Ok(())
    }
}
