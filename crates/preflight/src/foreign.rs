// SPDX-License-Identifier: MIT OR Apache-2.0
//! What people have at hand besides snapshots, taken for what is in it: the table of `lszcrypt -V` is a host of which
//! little is known, mdevctl's definition a guest's wanted matrix, a libvirt domain the names of its mediated devices.

use std::borrow::Cow;
use std::collections::BTreeMap;

use ap_arch::{Apid, Apqi, Apqn, HwInfo, Matrix};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value, json};

use crate::attribute::Attribute;
use crate::snapshot::{Attributes, FORMAT, Section, Snapshot, SnapshotError, VERSION};
use crate::text::is_device_name;

/// What a text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// A host: a snapshot, or what a table of `lszcrypt -V` says of one.
    Host(Box<Snapshot>),
    /// Guests that are wanted, by mdevctl: a name, if the text has one, and what is assigned.
    Guests(Vec<(Option<String>, Matrix)>),
    /// The mediated devices of a libvirt domain.
    Domain(Vec<String>),
}

/// What a device without a name is called here: mdevctl keeps a definition in a file that has the UUID as its name.
pub(crate) const UNNAMED: &str = "wanted";

/// Reads a text of any of these forms.
///
/// # Errors
/// What is wrong with a snapshot, and for everything else what it is and how a snapshot is taken.
pub fn read(text: &str) -> Result<Document, SnapshotError> {
    let start = text.trim_start();
    if start.starts_with('<') {
        return domain(start).map(Document::Domain);
    }
    if !start.starts_with(['{', '[']) {
        return match lszcrypt(text) {
            Some(host) => Ok(Document::Host(Box::new(host))),
            None => Err(SnapshotError::Other("it is none of the texts that are known here")),
        };
    }
    match serde_json::from_str::<Value>(text) {
        Ok(value) if is_mdevctl(&value) => Ok(Document::Guests(definitions(&value)?)),
        _ => Snapshot::from_json(text).map(|snapshot| Document::Host(Box::new(snapshot))),
    }
}

impl Document {
    /// It as a host; `name` is that of its file, where mdevctl has the UUID.
    ///
    /// # Errors
    /// A libvirt domain says nothing of a host.
    pub fn into_host(self, name: &str) -> Result<Snapshot, SnapshotError> {
        match self {
            Self::Host(snapshot) => Ok(*snapshot),
            Self::Guests(guests) => {
                let named = |(uuid, matrix): (Option<String>, Matrix)| (uuid.unwrap_or_else(|| usual(name)), matrix);
                Ok(wanted(guests.into_iter().map(named)))
            }
            Self::Domain(_) => {
                Err(SnapshotError::Other("it is a libvirt domain: --mdev takes it, for the device that is in it"))
            }
        }
    }

    /// The names of the mediated devices in it.
    #[must_use]
    pub fn devices(&self, name: &str) -> Vec<String> {
        match self {
            Self::Host(snapshot) => snapshot.mdevs.entries().map(|(uuid, _)| uuid.clone()).collect(),
            Self::Guests(guests) => {
                guests.iter().map(|(uuid, _)| uuid.clone().unwrap_or_else(|| usual(name))).collect()
            }
            Self::Domain(devices) => devices.clone(),
        }
    }
}

fn usual(name: &str) -> String {
    if is_uuid(name) { name.to_owned() } else { UNNAMED.to_owned() }
}

fn is_uuid(name: &str) -> bool {
    is_device_name(name) && name.len() == 36 && name.matches('-').count() == 4
}

/// A host of which nothing is known.
fn unknown(taken_by: &str) -> Snapshot {
    let nothing = || Section::Unreadable(format!("{taken_by} does not say it"));
    Snapshot {
        format: FORMAT.to_owned(),
        version: VERSION,
        taken_by: taken_by.to_owned(),
        host: Attributes::new(),
        bus: Attributes::new(),
        vfio_ap: Attributes::new(),
        drivers: Section::Unreadable(format!("{taken_by} does not say it")),
        cards: nothing(),
        queues: nothing(),
        mdevs: nothing(),
        qemu: None,
    }
}

/// A host with these guests, each of which has what is wanted for it.
fn wanted(guests: impl Iterator<Item = (String, Matrix)>) -> Snapshot {
    let files = |matrix: &Matrix| {
        let lines = match (matrix.adapters.is_empty(), matrix.domains.is_empty()) {
            (_, true) => matrix.adapters.iter().map(|n| format!("{}.", Apid(n))).collect::<Vec<_>>(),
            (true, _) => matrix.domains.iter().map(|n| format!(".{}", Apqi(n))).collect(),
            _ => matrix.queues().map(|queue| queue.to_string()).collect(),
        };
        let control = matrix.control_domains.iter().map(|n| Apqi(n).to_string()).collect::<Vec<_>>();
        let config = format!("{},{},{}", matrix.adapters, matrix.domains, matrix.control_domains);
        let text = |text: String| Attribute::Text(text);
        Attributes::from([
            ("matrix".into(), text(lines.join("\n"))),
            ("guest_matrix".into(), text(lines.join("\n"))),
            ("control_domains".into(), text(control.join("\n"))),
            ("ap_config".into(), text(config)),
        ])
    };
    let mdevs = guests.map(|(uuid, matrix)| (uuid, files(&matrix))).collect();
    Snapshot { mdevs: Section::Listed(mdevs), ..unknown("an mdevctl definition") }
}

fn is_mdevctl(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.contains_key("mdev_type") || map.values().any(|v| v.is_array() && is_mdevctl(v)),
        Value::Array(list) => list.iter().any(|item| match item {
            Value::Object(map) => map.values().any(is_mdevctl),
            _ => false,
        }),
        _ => false,
    }
}

/// One definition, or the list that `mdevctl list -d --dumpjson` prints, of which only AP devices count.
fn definitions(value: &Value) -> Result<Vec<(Option<String>, Matrix)>, SnapshotError> {
    let mut found = Vec::new();
    collect(value, None, &mut found)?;
    if found.is_empty() { Err(SnapshotError::Other("mdevctl defines no vfio_ap device in it")) } else { Ok(found) }
}

fn collect(value: &Value, name: Option<&str>, found: &mut Vec<(Option<String>, Matrix)>) -> Result<(), SnapshotError> {
    match value {
        Value::Array(list) => list.iter().try_for_each(|item| collect(item, None, found)),
        Value::Object(map) if map.contains_key("mdev_type") => {
            if map.get("mdev_type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("vfio_ap-")) {
                found.push((name.filter(|name| is_uuid(name)).map(str::to_owned), matrix_of(map)?));
            }
            Ok(())
        }
        Value::Object(map) => map.iter().try_for_each(|(name, value)| collect(value, Some(name), found)),
        _ => Ok(()),
    }
}

/// What the attributes come to, written in their order.
fn matrix_of(definition: &Map<String, Value>) -> Result<Matrix, SnapshotError> {
    const ODD: SnapshotError = SnapshotError::Other("an attribute of mdevctl's definition is none of vfio_ap's");
    let mut matrix = Matrix::EMPTY;
    let attributes = definition.get("attrs").and_then(Value::as_array);
    for (name, value) in attributes.into_iter().flatten().filter_map(Value::as_object).flatten() {
        let value = value.as_str().ok_or(ODD)?.trim();
        if name == "ap_config" {
            matrix = crate::parse::ap_config(value).map_err(|_| ODD)?;
            continue;
        }
        let (on, what) = match name.strip_prefix("un") {
            Some(what) => (false, what),
            None => (true, name.as_str()),
        };
        let mask = match what {
            "assign_adapter" => &mut matrix.adapters,
            "assign_domain" => &mut matrix.domains,
            "assign_control_domain" => &mut matrix.control_domains,
            _ => return Err(ODD),
        };
        let number = number(value).ok_or(ODD)?;
        if on { mask.insert(number) } else { mask.remove(number) }
    }
    Ok(matrix)
}

/// A number as the driver reads it: decimal, octal with a leading zero, or hex.
fn number(text: &str) -> Option<u8> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    u8::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with('+'))
}

/// A device as mdevctl defines it: `mdevctl define --uuid UUID --parent matrix --jsonfile FILE` takes it.
#[must_use]
pub fn to_mdevctl(matrix: &Matrix) -> String {
    let attribute = |what: &str, n: u8| json!({ format!("assign_{what}"): format!("{n:#04x}") });
    let all = [("adapter", matrix.adapters), ("domain", matrix.domains), ("control_domain", matrix.control_domains)];
    let attributes: Vec<Value> = all.iter().flat_map(|(what, mask)| mask.iter().map(|n| attribute(what, n))).collect();
    let definition = json!({"mdev_type": "vfio_ap-passthrough", "start": "manual", "attrs": attributes});
    serde_json::to_string_pretty(&definition).unwrap_or_default() + "\n"
}

/// The UUIDs of a domain's mediated devices for AP.
fn domain(text: &str) -> Result<Vec<String>, SnapshotError> {
    const DAMAGED: SnapshotError = SnapshotError::Other("it is XML that is damaged");
    let value = |element: &BytesStart<'_>, name: &str| -> Result<Option<String>, SnapshotError> {
        let attribute = element.try_get_attribute(name).map_err(|_| DAMAGED)?;
        Ok(attribute.and_then(|attribute| String::from_utf8(attribute.value.into_owned()).ok()))
    };
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let (mut is_domain, mut is_ap, mut uuids) = (false, false, Vec::new());
    loop {
        match reader.read_event().map_err(|_| DAMAGED)? {
            Event::Start(element) => match element.name().as_ref() {
                b"domain" => is_domain = true,
                b"hostdev" => is_ap = value(&element, "model")?.as_deref() == Some("vfio-ap"),
                b"address" if is_ap => uuids.extend(value(&element, "uuid")?.filter(|uuid| is_uuid(uuid))),
                _ => {}
            },
            Event::End(element) if element.name().as_ref() == b"hostdev" => is_ap = false,
            Event::Eof => break,
            _ => {}
        }
    }
    if !is_domain {
        return Err(SnapshotError::Other("it is XML, but no libvirt domain"));
    }
    if uuids.is_empty() {
        return Err(SnapshotError::Other("it is a libvirt domain without a mediated device of vfio-ap"));
    }
    Ok(uuids)
}

/// The columns of `lszcrypt -V`, by the names in its first line.
fn lszcrypt(text: &str) -> Option<Snapshot> {
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with("CARD.DOM"));
    let heads: Vec<(&str, usize)> = columns(lines.next()?);
    let column = |line: &str, name: &str| -> Option<String> {
        let at = heads.iter().position(|(head, _)| head.starts_with(name))?;
        let begin = heads[at].1;
        let end = heads.get(at + 1).map_or(line.len(), |(_, next)| *next);
        // A number may begin left of its head, so a column ends where its text does.
        Some(line.get(begin..end.min(line.len()))?.trim().to_owned())
    };
    let (mut cards, mut queues, mut drivers) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::<String, Vec<String>>::new());
    for line in lines.filter(|line| line.starts_with(|c: char| c.is_ascii_hexdigit())) {
        let name = line.split_whitespace().next()?;
        let status = column(line, "STATUS").unwrap_or_default();
        let mut files = Attributes::new();
        let mut say = |file: &'static str, text: String| _ = files.insert(Cow::Borrowed(file), Attribute::Text(text));
        say("config", u8::from(!status.starts_with("deconfig")).to_string());
        say("chkstop", u8::from(status.starts_with("chkstop")).to_string());
        let driver = column(line, "DRIVER").filter(|driver| !matches!(driver.as_str(), "" | "-"));
        if let Ok(apqn) = name.parse::<Apqn>() {
            if driver.as_deref() != Some("vfio_ap") {
                say("online", u8::from(status == "online").to_string());
            }
            if let Some(driver) = driver {
                drivers.entry(driver).or_default().push(apqn.to_string());
            }
            queues.insert(apqn.to_string(), files);
        } else if name.parse::<Apid>().is_ok() {
            if let Some(word) = column(line, "FUNCTIONS").as_deref().and_then(functions) {
                say("ap_functions", format!("0x{word:08X}"));
            }
            if let Some(number) = column(line, "TYPE").and_then(|kind| kind.get(3..4)?.parse::<u8>().ok()) {
                // CEX4 is type 10.
                say("hwtype", (number + 6).to_string());
            }
            cards.insert(name.to_owned(), files);
        }
    }
    if cards.is_empty() && queues.is_empty() {
        return None;
    }
    let drivers = if heads.iter().any(|(head, _)| *head == "DRIVER") {
        Section::Listed(drivers)
    } else {
        Section::Unreadable("this lszcrypt prints no drivers".to_owned())
    };
    let (cards, queues) = (Section::Listed(cards), Section::Listed(queues));
    Some(Snapshot { drivers, cards, queues, ..unknown("a table of lszcrypt -V") })
}

fn columns(head: &str) -> Vec<(&str, usize)> {
    let start = |word: &str| word.as_ptr() as usize - head.as_ptr() as usize;
    head.split_whitespace().map(|word| (word, start(word))).collect()
}

/// The letters of the functions: one for each bit from bit 0 on, a dash where it is off.
fn functions(letters: &str) -> Option<u32> {
    let fits = (8..=32).contains(&letters.len()) && letters.bytes().all(|b| b == b'-' || b.is_ascii_uppercase());
    if !fits {
        return None;
    }
    let bit = |(index, letter): (usize, u8)| if letter == b'-' { 0 } else { 0x8000_0000_u32 >> index };
    let word = letters.bytes().enumerate().map(bit).fold(0, |word, bit| word | bit);
    // A word without a mode is none.
    HwInfo(u64::from(word) << 32).mode().map(|_| word)
}

/// Takes the registers of master keys from an older snapshot of the same host, made while its own drivers had the
/// queues. Returns for how many queues.
pub fn take_keys(snapshot: &mut Snapshot, older: &Snapshot) -> usize {
    let Section::Listed(queues) = &mut snapshot.queues else { return 0 };
    let is_text = |files: &Attributes| matches!(files.get("mkvps"), Some(Attribute::Text(_)));
    let mut taken = 0;
    for (name, files) in queues.iter_mut().filter(|(_, files)| !is_text(files)) {
        let keys = older.queues.entries().find(|(queue, _)| *queue == name).filter(|(_, files)| is_text(files));
        if let Some(keys) = keys.and_then(|(_, files)| files.get("mkvps")) {
            files.insert(Cow::Borrowed("mkvps"), keys.clone());
            taken += 1;
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0f0e1d2c-0000-4000-8000-00000000abcd";

    fn mask(numbers: &[u8]) -> ap_arch::Mask256 {
        numbers.iter().copied().collect()
    }

    const TABLE: &str = "\
CARD.DOM TYPE  MODE        STATUS     REQUESTS  PENDING HWTYPE QDEPTH FUNCTIONS  DRIVER     \n\
--------------------------------------------------------------------------------------------\n\
05       CEX7C CCA-Coproc  online            3        0     13     08 S--D--N-F- cex4card   \n\
05.0033  CEX7C CCA-Coproc  in use            -        -     13     08 S--D--N-F- vfio_ap    \n\
05.0034  CEX7C CCA-Coproc  deconfig          0        0     13     08 S--D--N-F- cex4queue  \n";

    #[test]
    fn a_table_of_lszcrypt_is_a_host_of_which_little_is_known() {
        let Ok(Document::Host(host)) = read(TABLE) else { panic!("{:?}", read(TABLE)) };
        let host = crate::Host::new(&host).unwrap();
        let queue: Apqn = "05.0033".parse().unwrap();
        assert_eq!(host.driver(queue), Ok(Some("vfio_ap")));
        assert_eq!(host.bit(queue, HwInfo::CCA), Ok(true));
        assert!(host.bit(queue, HwInfo::SLCF).is_err(), "an older kernel may hide it");
        let card = host.card(Apid(5)).unwrap().unwrap();
        assert_eq!(card.ap_type, Ok(ap_arch::ApType(13)));
        let other = host.queue("05.0034".parse().unwrap()).unwrap().unwrap();
        assert_eq!((&other.configured, &other.online), (&Ok(false), &Ok(false)));
        assert!(host.apmask.is_err() && host.mdevs.is_err() && host.vfio_ap.is_err());
    }

    #[test]
    fn a_definition_of_mdevctl_is_a_wanted_guest_and_is_written_again() {
        let text = r#"{"mdev_type": "vfio_ap-passthrough", "start": "auto", "attrs": [
            {"assign_adapter": "5"}, {"assign_adapter": "0x06"}, {"assign_domain": "063"}, {"unassign_adapter": "6"},
            {"assign_control_domain": "0x33"}]}"#;
        let matrix = Matrix { adapters: mask(&[5]), domains: mask(&[0o63]), control_domains: mask(&[0x33]) };
        assert_eq!(read(text).unwrap(), Document::Guests(vec![(None, matrix)]));
        assert_eq!(read(&to_mdevctl(&matrix)).unwrap(), Document::Guests(vec![(None, matrix)]));
        let host = read(text).unwrap().into_host(UUID).unwrap();
        let (name, _) = host.mdevs.entries().next().unwrap();
        assert_eq!(name, UUID);
        let listed = format!(r#"[{{"matrix": [{{"{UUID}": {text}}}]}}]"#);
        assert_eq!(read(&listed).unwrap().devices(""), [UUID]);
        for bad in [r#"{"mdev_type": "i915-GVTg_V5_4", "attrs": []}"#, &text.replace("\"5\"", "\"256\"")] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_domain_names_its_mediated_devices() {
        let device = |model: &str, uuid: &str| {
            format!(
                "<hostdev mode='subsystem' type='mdev' model='{model}'><source><address uuid='{uuid}'/></source>\
                 </hostdev>"
            )
        };
        let text =
            format!("<?xml version='1.0'?><domain>{}{}</domain>", device("vfio-ccw", "x"), device("vfio-ap", UUID));
        assert_eq!(read(&text).unwrap().devices("a.xml"), [UUID]);
        assert!(read(&text).unwrap().into_host("a.xml").unwrap_err().to_string().contains("--mdev"));
        let commented = text.replace("<source>", "<!-- <hostdev model='x'> --><source >");
        assert_eq!(read(&commented).unwrap().devices("a.xml"), [UUID]);
        for other in ["<html></html>", "<domain", "<domain></hostdev>", &text.replace("vfio-ap", "vfio-pci")] {
            assert!(read(other).unwrap_err().to_string().contains("kaput collect"), "{other}");
        }
    }

    #[test]
    fn keys_are_taken_from_before_where_there_are_none_now() {
        let snapshot = |mkvps: Option<&str>| {
            let mut snapshot = unknown("test");
            let text = mkvps.map_or(Attribute::MISSING, |text| Attribute::Text(text.to_owned()));
            let files = Attributes::from([("mkvps".into(), text)]);
            snapshot.queues = Section::Listed([("05.0033".to_owned(), files)].into());
            snapshot
        };
        let mut now = snapshot(None);
        assert_eq!(take_keys(&mut now, &snapshot(Some("AES CUR: valid 0x01"))), 1);
        assert_eq!(now, snapshot(Some("AES CUR: valid 0x01")));
        assert_eq!(take_keys(&mut now, &snapshot(Some("AES CUR: valid 0x02"))), 0, "what is there is newer");
    }
}
