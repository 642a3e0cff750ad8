// SPDX-License-Identifier: MIT OR Apache-2.0
//! What is done to a run at a named moment: by an administrator, or by whatever makes things fail. Each kind takes
//! certain keys and no others; what an administrator does becomes one request of the control protocol.

use std::fmt;
use std::num::NonZeroUsize;

use ap_arch::{Apid, Apqi};
use ap_machine::AdapterSpec;
use serde::Deserialize;
use toml::Spanned;
use vfio_ap::control::{QueueName, Request};
use vfio_ap::defect::Defect;

use super::moment::Moment;

/// Something done to a run at a named moment.
#[derive(Clone, Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Action {
    /// When.
    pub at: Moment,
    /// In which migration, from 1. Of no meaning before the first one.
    #[serde(default = "super::moment::first")]
    #[cfg_attr(test, schemars(with = "NonZeroUsize"))]
    pub migration: Spanned<NonZeroUsize>,
    /// What.
    #[serde(rename = "do")]
    #[cfg_attr(test, schemars(with = "ActionKind"))]
    pub kind: Spanned<ActionKind>,
    /// On which host; without it where the guest is.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub host: Option<Spanned<String>>,
    /// The adapter it is about, in hex.
    #[serde(default)]
    adapter: Option<String>,
    /// The domain it is about, in hex.
    #[serde(default)]
    domain: Option<String>,
    /// The control domain it is about, in hex.
    #[serde(default)]
    control_domain: Option<String>,
    /// The queue it is about.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    queue: Option<QueueName>,
    /// What is plugged.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<serde_json::Value>"))]
    card: Option<AdapterSpec>,
    /// The defect it is about.
    #[serde(default)]
    defect: Option<String>,
    /// The mediated device it is about; without it the guest's.
    #[serde(default)]
    mdev: Option<String>,
}

/// Declares the kinds: what a scenario calls each, when it is possible first, and the sets of keys it takes.
macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident = $name:literal from $first:ident, [$([$($key:literal),*]),+];)*) => {
        /// What can be done to a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        #[serde(rename_all = "kebab-case")]
        pub enum ActionKind { $($(#[$meta])* $kind,)* }

        impl ActionKind {
            /// Every kind, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$kind),*];

            const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            /// The first moment at which it is possible.
            pub(super) const fn first_moment(self) -> Moment {
                match self { $(Self::$kind => Moment::$first,)* }
            }

            /// The sets of keys it takes, one of which an action must have.
            const fn keys(self) -> &'static [&'static [&'static str]] {
                match self { $(Self::$kind => &[$(&[$($key),*]),+],)* }
            }
        }
    };
}

kinds! {
    /// Ends the QEMU the guest is leaving, as a crash would.
    KillSource = "kill-source" from Boot, [[]];
    /// Ends the QEMU the guest is going to.
    KillDestination = "kill-destination" from Asked, [[]];
    /// Cuts the QMP connection to a host's QEMU.
    CutQmp = "cut-qmp" from Suites, [[]];
    /// Cuts the connection to a host's plugin.
    CutControl = "cut-control" from Suites, [[]];
    /// Cancels QEMU's migration, as somebody at the source's monitor would.
    CancelMigration = "cancel-migration" from Active, [[]];
    /// Stops the guest's CPUs without telling anybody.
    StopGuest = "stop-guest" from Suites, [[]];
    /// Puts bytes on the console that are no text.
    GarbageOnConsole = "garbage-on-console" from Suites, [[]];
    /// Assigns to a mediated device.
    Assign = "assign" from Suites, [["adapter"], ["domain"], ["control-domain"]];
    /// Takes away from a mediated device.
    Unassign = "unassign" from Suites, [["adapter"], ["domain"], ["control-domain"]];
    /// Puts a card or a domain into the host.
    Plug = "plug" from Suites, [["adapter", "card"], ["domain"], ["control-domain"]];
    /// Takes a card or a domain out of the host.
    Unplug = "unplug" from Suites, [["adapter"], ["domain"], ["control-domain"]];
    /// Configures a card again, or brings a checkstopped queue back.
    Configure = "configure" from Suites, [["adapter"], ["queue"]];
    /// Deconfigures a card.
    Deconfigure = "deconfigure" from Suites, [["adapter"]];
    /// Checkstops a card or one queue.
    Checkstop = "checkstop" from Suites, [["adapter"], ["queue"]];
    /// Changes the master keys of a queue's domain on its card.
    ChangeMasterKey = "change-master-key" from Suites, [["queue"]];
    /// Switches a defect of the driver on.
    DefectOn = "defect-on" from Suites, [["defect"]];
    /// Switches it off.
    DefectOff = "defect-off" from Suites, [["defect"]];
}

impl fmt::Display for ActionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Action {
    /// The kind and what it is about: `unplug adapter 05`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.get_ref())?;
        for (key, value) in self.given() {
            match key {
                "card" => {}
                "queue" => write!(f, " {value}")?,
                _ => write!(f, " {key} {value}")?,
            }
        }
        Ok(())
    }
}

impl Action {
    /// The keys that this action has, besides those of every action, with their values.
    fn given(&self) -> Vec<(&'static str, String)> {
        let text = |value: &Option<String>| value.clone();
        let all = [
            ("adapter", text(&self.adapter)),
            ("card", self.card.as_ref().map(|card| card.kind.to_string())),
            ("domain", text(&self.domain)),
            ("control-domain", text(&self.control_domain)),
            ("queue", self.queue.map(|queue| queue.0.to_string())),
            ("defect", text(&self.defect)),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// What is wrong with its keys, and what is allowed.
    pub(super) fn check(&self) -> Result<(), String> {
        let kind = *self.kind.get_ref();
        let given: Vec<&str> = self.given().into_iter().map(|(key, _)| key).collect();
        if !kind.keys().contains(&given.as_slice()) {
            let words = |keys: &&[&str]| keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(" and ");
            let allowed: Vec<String> = kind.keys().iter().map(words).collect();
            return Err(match allowed.join(", or ") {
                none if none.is_empty() => format!("`{kind}` takes none of {}", given.join(", ")),
                some => format!("`{kind}` takes {some}"),
            });
        }
        if self.mdev.is_some() && !matches!(kind, ActionKind::Assign | ActionKind::Unassign) {
            return Err(format!("`{kind}` takes no `mdev`"));
        }
        let fixed = [
            ActionKind::KillSource,
            ActionKind::KillDestination,
            ActionKind::CancelMigration,
            ActionKind::GarbageOnConsole,
        ];
        if self.host.is_some() && fixed.contains(&kind) {
            return Err(format!("`{kind}` takes no `host`"));
        }
        if let Some(adapter) = &self.adapter {
            adapter.parse::<Apid>().map_err(|error| format!("adapter `{adapter}`: {error}"))?;
        }
        for domain in self.domain.iter().chain(&self.control_domain) {
            domain.parse::<Apqi>().map_err(|error| format!("domain `{domain}`: {error}"))?;
        }
        match &self.defect {
            Some(defect) => Defect::from_name(defect).map(|_| ()).map_err(|unknown| unknown.to_string()),
            None => Ok(()),
        }
    }

    /// What an administrator asks of the host, where the guest's mediated device is `mdev`; `None` for kinds of another
    /// kind.
    #[must_use]
    pub fn request(&self, mdev: &str) -> Option<Request> {
        let adapter = self.adapter.clone();
        let domain = self.domain.clone().map(|domain| (domain, false));
        let domain = domain.or_else(|| self.control_domain.clone().map(|domain| (domain, true)));
        Some(match (*self.kind.get_ref(), adapter, domain, self.queue) {
            (ActionKind::Assign, ..) => self.sysfs("assign", mdev)?,
            (ActionKind::Unassign, ..) => self.sysfs("unassign", mdev)?,
            (ActionKind::Plug, Some(adapter), ..) => Request::AdapterPlug { adapter, card: self.card.clone()? },
            (ActionKind::Plug, _, Some((domain, control_only)), _) => Request::DomainPlug { domain, control_only },
            (ActionKind::Unplug, Some(adapter), ..) => Request::AdapterUnplug { adapter },
            (ActionKind::Unplug, _, Some((domain, control_only)), _) => Request::DomainUnplug { domain, control_only },
            (ActionKind::Configure, Some(adapter), ..) => Request::AdapterConfigure { adapter },
            (ActionKind::Configure, .., Some(queue)) => Request::QueueCheckstop { queue, on: false },
            (ActionKind::Deconfigure, Some(adapter), ..) => Request::AdapterDeconfigure { adapter },
            (ActionKind::Checkstop, Some(adapter), ..) => Request::AdapterCheckstop { adapter },
            (ActionKind::Checkstop, .., Some(queue)) => Request::QueueCheckstop { queue, on: true },
            (ActionKind::ChangeMasterKey, .., Some(queue)) => Request::MasterKeyChange { queue },
            (ActionKind::DefectOn, ..) => Request::DefectSet { name: self.defect.clone()?, on: true },
            (ActionKind::DefectOff, ..) => Request::DefectSet { name: self.defect.clone()?, on: false },
            _ => return None,
        })
    }

    /// Writing to an attribute of a mediated device.
    fn sysfs(&self, verb: &str, mdev: &str) -> Option<Request> {
        let what = [("adapter", &self.adapter), ("domain", &self.domain), ("control_domain", &self.control_domain)];
        let (kind, number) = what.into_iter().find_map(|(kind, number)| Some((kind, number.as_ref()?)))?;
        let mdev = self.mdev.as_deref().unwrap_or(mdev);
        let path = format!("/sys/devices/vfio_ap/matrix/{mdev}/{verb}_{kind}");
        Some(Request::SysfsWrite { path, value: format!("0x{}", number.trim_start_matches("0x")) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(keys: &str) -> Action {
        toml::from_str(&format!("at = \"asked\"\n{keys}")).expect("an action")
    }

    #[test]
    fn every_deed_is_called_in_a_file_as_it_is_shown() {
        for kind in ActionKind::ALL {
            assert_eq!(*action(&format!("do = \"{kind}\"")).kind.get_ref(), *kind);
        }
    }

    #[test]
    fn what_an_administrator_does_is_one_request() {
        let line = |keys: &str| {
            let action = action(keys);
            action.check().expect(keys);
            let request = action.request("m").map(|request| serde_json::to_value(request).expect("JSON"));
            request.map(|request| request.to_string()).unwrap_or_default()
        };
        let write = |file: &str, value: &str| {
            let path = format!("/sys/devices/vfio_ap/matrix/{file}");
            serde_json::json!({"execute": "sysfs-write", "arguments": {"path": path, "value": value}}).to_string()
        };
        assert_eq!(line("do = \"unassign\"\ndomain = \"3a\""), write("m/unassign_domain", "0x3a"));
        assert_eq!(
            line("do = \"assign\"\ncontrol-domain = \"0x44\"\nmdev = \"b\""),
            write("b/assign_control_domain", "0x44")
        );
        assert!(line("do = \"plug\"\nadapter = \"07\"\ncard = \"cex8c\"").contains("adapter-plug"));
        assert!(line("do = \"unplug\"\ncontrol-domain = \"44\"").contains(r#""control-only":true"#));
        assert!(line("do = \"checkstop\"\nqueue = \"05.0033\"").contains(r#""on":true"#));
        assert!(line("do = \"configure\"\nqueue = \"05.0033\"").contains(r#""on":false"#));
        assert!(line("do = \"change-master-key\"\nqueue = \"06.0033\"").contains("master-key-change"));
        assert!(line("do = \"defect-on\"\ndefect = \"control-domains-dropped\"").contains("defect-set"));
        assert_eq!(line("do = \"kill-source\""), "");
    }

    #[test]
    fn every_administrators_deed_has_a_request_for_each_of_its_sets_of_keys() {
        let value = |key: &&str| match *key {
            "queue" => "queue = \"05.0033\"".to_owned(),
            "card" => "card = \"cex8a\"".to_owned(),
            "defect" => "defect = \"control-domains-dropped\"".to_owned(),
            key => format!("{key} = \"05\""),
        };
        for kind in ActionKind::ALL {
            for keys in kind.keys().iter().filter(|keys| !keys.is_empty()) {
                let text = keys.iter().map(value).collect::<Vec<_>>().join("\n");
                let action = action(&format!("do = \"{kind}\"\n{text}"));
                assert_eq!((action.check(), action.request("m").is_some()), (Ok(()), true), "{action}");
            }
        }
    }

    #[test]
    fn a_key_too_many_or_too_few_is_named() {
        for (keys, says) in [
            ("do = \"plug\"\nadapter = \"07\"", "`plug` takes `adapter` and `card`, or `domain`, or `control-domain`"),
            ("do = \"kill-source\"\nadapter = \"07\"", "`kill-source` takes none of adapter"),
            ("do = \"unplug\"\nadapter = \"07\"\ndomain = \"33\"", "`unplug` takes `adapter`, or"),
            ("do = \"unplug\"\nadapter = \"700\"", "an adapter number in hex"),
            ("do = \"defect-on\"\ndefect = \"rust\"", "no defect is called `rust`"),
            ("do = \"checkstop\"\nadapter = \"05\"\nmdev = \"b\"", "takes no `mdev`"),
            ("do = \"cancel-migration\"\nhost = \"A\"", "takes no `host`"),
        ] {
            let reason = action(keys).check().expect_err(keys);
            assert!(reason.contains(says), "{reason}");
        }
    }
}
