// SPDX-License-Identifier: MIT OR Apache-2.0
//! One connection of the control protocol. It speaks to the host that everybody shares, until it asks for one of its
//! own: so one process has as many hosts as a test needs, and no test sees another's.

use std::sync::Arc;

use ap_machine::{Clock, ManualClock};

use crate::control::{Reply, Request, RequestFrame};
use crate::{Host, HostConfig};

type Sink = Arc<dyn Fn(&str) + Send + Sync>;

/// What one connection speaks to.
pub struct Session {
    host: Arc<Host>,
    /// The time of the connection's own host.
    clock: Option<Arc<ManualClock>>,
    events: Sink,
}

impl Session {
    /// A connection to the shared host; `events` gets the event lines of the connection's own host, should it get one.
    #[must_use]
    pub fn new(host: Arc<Host>, events: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { host, clock: None, events: Arc::new(events) }
    }

    /// Answers one line. Never panics, whatever it holds.
    #[must_use]
    pub fn line(&mut self, line: &str) -> String {
        RequestFrame::from_line(line).map_or_else(|reply| reply, |frame| self.reply(frame)).to_line()
    }

    fn reply(&mut self, frame: RequestFrame) -> Reply {
        match (frame.request, &self.clock) {
            (Request::HostCreate { config }, _) => self.create(*config).with_id(frame.id),
            (Request::TimePass { nanoseconds }, Some(clock)) => {
                pass_time(&self.host, clock, nanoseconds);
                Reply::success().with_id(frame.id)
            }
            (request, _) => self.host.reply(RequestFrame { request, id: frame.id }),
        }
    }

    fn create(&mut self, config: HostConfig) -> Reply {
        let clock = Arc::new(ManualClock::default());
        match Host::with_clock(config, Arc::clone(&clock) as _) {
            Ok(host) => {
                let events = Arc::clone(&self.events);
                host.on_event(move |line| events(line));
                (self.host, self.clock) = (host, Some(clock));
                Reply::success()
            }
            Err(error) => Reply::bad_request(error.to_string()),
        }
    }
}

/// Lets time of a host pass; time that would run over stands at its end.
pub(crate) fn pass_time(host: &Host, clock: &ManualClock, nanoseconds: u64) {
    clock.advance(nanoseconds.min(u64::MAX - clock.now_ns()));
    host.machine().run_due();
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::fixture::*;

    fn session() -> Session {
        Session::new(host(), |_| {})
    }

    fn ask(session: &mut Session, execute: &str, arguments: Value) -> Value {
        let line = json!({"execute": execute, "arguments": arguments, "id": 1}).to_string();
        let reply: Value = serde_json::from_str(&session.line(&line)).unwrap();
        assert_eq!(reply["id"], 1);
        reply
    }

    #[test]
    fn a_connection_has_the_shared_host_until_it_asks_for_its_own() {
        let shared = host();
        let (mut first, mut second) = (Session::new(Arc::clone(&shared), |_| {}), Session::new(shared, |_| {}));
        let config = serde_json::to_value(destination_config()).unwrap();
        assert_eq!(ask(&mut first, "host-create", json!({"config": config}))["return"], json!({}));
        assert_eq!(ask(&mut first, "device-close", json!({}))["return"], json!({}));
        assert_eq!(ask(&mut second, "query-host", json!({}))["return"]["mdevs"][0]["open"], true);
        assert_eq!(ask(&mut first, "query-host", json!({}))["return"]["mdevs"][0]["open"], false);
    }

    #[test]
    fn time_passes_on_a_host_of_ones_own_only() {
        let mut session = session();
        assert_eq!(ask(&mut session, "time-pass", json!({"nanoseconds": 1}))["error"]["class"], "unsupported");
        let config = serde_json::to_value(config()).unwrap();
        assert_eq!(ask(&mut session, "host-create", json!({"config": config}))["return"], json!({}));
        for nanoseconds in [1, u64::MAX, u64::MAX] {
            assert_eq!(ask(&mut session, "time-pass", json!({"nanoseconds": nanoseconds}))["return"], json!({}));
        }
    }

    #[test]
    fn a_host_that_cannot_be_leaves_the_connection_as_it_was() {
        let mut session = session();
        let mut config = config();
        config.profile = Some("v4".to_owned());
        let reply = ask(&mut session, "host-create", json!({"config": config}));
        assert_eq!(reply["error"]["class"], "bad-request");
        assert_eq!(ask(&mut session, "query-host", json!({}))["return"]["name"], "host");
    }
}
