// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which way a guest's memory goes from host to host, as the user says it.

use std::fmt;
use std::str::FromStr;

use preflight::text::plain;

/// The way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Through the connections that there are: forwarded by ssh where a host is reached by it.
    #[default]
    Ssh,
    /// From host to host, by TCP.
    Tcp(Tcp),
}

/// Where a destination listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tcp {
    /// An address of the destination that the source reaches; `None`: the one that ssh reached it by.
    pub address: Option<String>,
    /// The first and the last port that may be used; `None`: any that is free.
    pub ports: Option<(u16, u16)>,
}

const FORM: &str = "expected ssh, tcp, tcp:ADDRESS or tcp:ADDRESS:FIRST-LAST, an IPv6 address with ports in brackets";

impl FromStr for Transport {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "ssh" => Ok(Self::Ssh),
            None if text == "tcp" => Ok(Self::Tcp(Tcp::default())),
            Some(("tcp", rest)) => rest.parse().map(Self::Tcp),
            _ => Err(FORM),
        }
    }
}

impl FromStr for Tcp {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, ports) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            Some((address, "")) => (address, None),
            Some((address, ports)) => (address, Some(ports.strip_prefix(':').ok_or(FORM)?)),
            // More than one colon is an address of IPv6.
            None => match text.split_once(':') {
                Some((address, ports)) if !ports.contains(':') => (address, Some(ports)),
                _ => (text, None),
            },
        };
        // What QEMU reads an option from.
        let is_address = |b: u8| b.is_ascii_alphanumeric() || b".-:%_".contains(&b);
        if address.is_empty() || !address.bytes().all(is_address) {
            return Err(FORM);
        }
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port != 0).ok_or(FORM);
        let ports = match ports.map(|ports| ports.split_once('-').unwrap_or((ports, ports))) {
            Some((first, last)) => Some((port(first)?, port(last)?)),
            None => None,
        };
        if ports.is_some_and(|(first, last)| first > last) {
            return Err(FORM);
        }
        Ok(Self { address: Some(address.to_owned()), ports })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh => f.write_str("ssh"),
            Self::Tcp(Tcp { address: None, .. }) => f.write_str("tcp"),
            Self::Tcp(Tcp { address: Some(address), ports }) => {
                write!(f, "tcp:{}", plain(&bracketed(address)))?;
                ports.map_or(Ok(()), |(first, last)| write!(f, ":{first}-{last}"))
            }
        }
    }
}

/// An address as it stands before a port.
#[must_use]
pub fn bracketed(address: &str) -> String {
    if address.contains(':') { format!("[{address}]") } else { address.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_says_what_it_looks_like() {
        let tcp = |address: Option<&str>, ports| Ok(Transport::Tcp(Tcp { address: address.map(str::to_owned), ports }));
        assert_eq!("ssh".parse(), Ok(Transport::Ssh));
        assert_eq!("tcp".parse(), tcp(None, None));
        assert_eq!("tcp:10.0.0.2".parse(), tcp(Some("10.0.0.2"), None));
        assert_eq!("tcp:two:49152-49215".parse(), tcp(Some("two"), Some((49152, 49215))));
        assert_eq!("tcp:two:4444".parse(), tcp(Some("two"), Some((4444, 4444))));
        assert_eq!("tcp:fd00::2".parse(), tcp(Some("fd00::2"), None));
        assert_eq!("tcp:[fd00::2]:1-2".parse(), tcp(Some("fd00::2"), Some((1, 2))));
        for way in ["ssh", "tcp", "tcp:two:1-2", "tcp:[fd00::2]:1-2"] {
            assert_eq!(way.parse::<Transport>().expect("a way").to_string(), way);
        }
    }

    #[test]
    fn what_is_no_way_is_refused() {
        for odd in ["", "udp", "tcp:", "tcp:a,b", "tcp:a:0", "tcp:a:9-8", "tcp:a:x", "tcp:[::1]4", "tcp:a b", "ssh:a"] {
            assert_eq!(odd.parse::<Transport>(), Err(FORM), "{odd}");
        }
    }
}
