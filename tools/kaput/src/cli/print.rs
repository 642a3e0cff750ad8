// SPDX-License-Identifier: MIT OR Apache-2.0
//! What several commands read and print alike.

use std::io::Write;
use std::time::Duration;

use miette::{IntoDiagnostic, Result, WrapErr};
use preflight::text::is_device_name;

/// How long somebody may take to hear what is said beside a report.
const SHORTLY: Duration = Duration::from_millis(500);

/// The name of a mediated device.
pub(super) fn device_name(text: &str) -> std::result::Result<String, &'static str> {
    is_device_name(text).then(|| text.to_owned()).ok_or("expected the UUID of a mediated device")
}

/// A seed as it is printed and given.
pub(super) fn seed(text: &str) -> Result<u64, String> {
    let digits = text.trim_start_matches("0x");
    u64::from_str_radix(digits, 16).map_err(|_| "a seed has 1 to 16 hex digits".to_owned())
}

/// A time as people write it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    seconds
        .or_else(|_| humantime::parse_duration(text))
        .map_err(|_| "expected a time such as 90s, 10m or 1h30m".to_owned())
}

/// Prints, and is content. A reader that went away wants no more, and is no reason to complain; one that does not read
/// is waited for on another thread.
pub(super) async fn print(text: impl Into<Vec<u8>>) -> Result<u8> {
    match write_to(std::io::stdout(), text.into()).await {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).into_diagnostic().wrap_err("cannot write to standard output")
        }
        _ => Ok(0),
    }
}

/// Says what went wrong, to whoever may hear it: a terminal that was closed takes nothing any more.
pub(super) async fn complain(error: impl std::fmt::Debug) {
    note(format!("{error:?}\n")).await;
}

/// Says something beside what is reported.
pub(super) async fn note(text: impl Into<Vec<u8>>) {
    _ = tokio::time::timeout(SHORTLY, write_to(std::io::stderr(), text.into())).await;
}

async fn write_to(mut place: impl Write + Send + 'static, text: Vec<u8>) -> std::io::Result<()> {
    let written = tokio::task::spawn_blocking(move || place.write_all(&text).and_then(|()| place.flush()));
    written.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        for (text, seconds) in [("600s", 600), ("10m", 600), ("600", 600), ("1h30m", 5400), ("1h 30min", 5400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for odd in ["", "s", "-1s", "1 parsec", "99999999999999999999s"] {
            assert!(duration(odd).is_err_and(|said| said.ends_with("90s, 10m or 1h30m")), "{odd}");
        }
    }
}
