// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two equal hosts with a guest, and ways to spoil them: CEX8 CCA coprocessors 05 and 06, domains 0033 and 003a.

use std::collections::BTreeMap;

use ap_arch::Mask256;
use preflight::judge::Judgement;
use preflight::snapshot::{Attributes, FORMAT, Section, Snapshot, VERSION};
use preflight::{Attribute, Host, Pair, RULES, judge};

pub(crate) const SOURCE: usize = 0;
pub(crate) const DESTINATION: usize = 1;
pub(crate) const UUID: &str = "669d9b23-fe1b-4ecb-be08-a2fabca99b71";
const QUEUES: [&str; 4] = ["05.0033", "05.003a", "06.0033", "06.003a"];
const FUNCTIONS: u32 = 0x9280_0000;

fn mask(numbers: &[u8]) -> Mask256 {
    numbers.iter().copied().collect()
}

/// The text of `ap_config`.
pub(crate) fn config(adapters: &[u8], domains: &[u8], control: &[u8]) -> String {
    format!("{},{},{}", mask(adapters), mask(domains), mask(control))
}

fn files(of: &[(&'static str, &str)]) -> Attributes {
    of.iter().map(|(name, text)| ((*name).into(), Attribute::Text((*text).to_owned()))).collect()
}

fn mdev(queues: &str, config: &str) -> Attributes {
    files(&[
        ("matrix", queues),
        ("guest_matrix", queues),
        ("control_domains", "0033\n003a"),
        ("ap_config", config),
        ("status", "in use"),
    ])
}

fn host(is_source: bool) -> Snapshot {
    let card = [
        ("hwtype", "14"),
        ("raw_hwtype", "14"),
        ("ap_functions", "0x92800000"),
        ("config", "1"),
        ("chkstop", "0"),
        ("serialnr", "KAPUT005"),
    ];
    let queue = [
        ("config", "1"),
        ("chkstop", "0"),
        ("driver_override", ""),
        ("ap_functions", "0x92800000"),
        ("mkvps", "AES CUR: valid 0x01\nAPKA CUR: valid 0x01"),
    ];
    let zero = Mask256::EMPTY.to_string();
    let control = mask(&[0x33, 0x3a, 0x44]).to_string();
    let whole = config(&[5, 6], &[0x33, 0x3a], &[0x33, 0x3a]);
    let empty = config(&[], &[], &[]);
    Snapshot {
        format: FORMAT.to_owned(),
        version: VERSION,
        taken_by: "test".to_owned(),
        host: files(&[("osrelease", "6.18.0"), ("facilities", "0 1 12 15 65 158"), ("prot_virt_guest", "0")]),
        bus: files(&[
            ("apmask", &zero),
            ("aqmask", &zero),
            ("ap_control_domain_mask", &control),
            ("ap_max_adapter_id", "255"),
            ("ap_max_domain_id", "255"),
        ]),
        vfio_ap: files(&[("features", "guest_matrix hotplug ap_config migratable")]),
        drivers: Section::Listed([("vfio_ap".to_owned(), QUEUES.map(str::to_owned).into())].into()),
        cards: Section::Listed(["05", "06"].map(|n| (n.to_owned(), files(&card))).into()),
        queues: Section::Listed(QUEUES.map(|n| (n.to_owned(), files(&queue))).into()),
        mdevs: Section::Listed(
            [(UUID.to_owned(), if is_source { mdev(&QUEUES.join("\n"), &whole) } else { mdev("", &empty) })].into(),
        ),
        qemu: None,
    }
}

/// Both hosts, and how to spoil them.
pub(crate) struct Hosts {
    pub(crate) snapshots: [Snapshot; 2],
    destination_mdev: Option<&'static str>,
}

fn entries<T>(section: &mut Section<T>) -> &mut BTreeMap<String, T> {
    match section {
        Section::Listed(entries) => entries,
        Section::Unreadable(_) => panic!("hidden already"),
    }
}

fn hidden() -> Attribute {
    Attribute::unreadable("Permission denied")
}

impl Hosts {
    pub(crate) fn new() -> Self {
        Self { snapshots: [host(true), host(false)], destination_mdev: None }
    }

    fn judged(&self, strict: bool) -> Result<Judgement, String> {
        let [source, destination] = &self.snapshots;
        let read = |snapshot| Host::new(snapshot).map_err(|error| error.to_string());
        let (source, destination) = (read(source)?, read(destination)?);
        let pair = Pair::new(&source, &destination, None, self.destination_mdev).map_err(|error| error.to_string())?;
        Ok(judge(&pair, RULES, strict))
    }

    pub(crate) fn judge(&self) -> Judgement {
        self.judged(false).expect("two readable hosts")
    }

    pub(crate) fn judge_strictly(&self) -> Judgement {
        self.judged(true).expect("two readable hosts")
    }

    pub(crate) fn error(&self) -> String {
        self.judged(false).expect_err("an error")
    }

    fn files(&mut self, side: usize, group: &str) -> &mut Attributes {
        let snapshot = &mut self.snapshots[side];
        match group {
            "host" => &mut snapshot.host,
            "bus" => &mut snapshot.bus,
            "vfio-ap" => &mut snapshot.vfio_ap,
            _ => entries(&mut snapshot.mdevs).get_mut(UUID).expect("the device"),
        }
    }

    pub(crate) fn put(&mut self, side: usize, group: &str, file: &'static str, attribute: Attribute) {
        self.files(side, group).insert(file.into(), attribute);
    }

    pub(crate) fn set(&mut self, side: usize, group: &str, file: &'static str, text: &str) {
        self.put(side, group, file, Attribute::Text(text.to_owned()));
    }

    pub(crate) fn hide(&mut self, side: usize, group: &str, file: &'static str) {
        self.put(side, group, file, hidden());
    }

    pub(crate) fn mdev(&mut self, side: usize, file: &'static str, text: &str) {
        self.set(side, "mdev", file, text);
    }

    pub(crate) fn hide_mdev(&mut self, side: usize, file: &'static str) {
        self.hide(side, "mdev", file);
    }

    pub(crate) fn nothing_known_of_the_guest(&mut self) {
        ["matrix", "guest_matrix", "ap_config"].into_iter().for_each(|file| self.hide_mdev(SOURCE, file));
    }

    pub(crate) fn nothing_known_of_the_target(&mut self) {
        ["matrix", "ap_config"].into_iter().for_each(|file| self.hide_mdev(DESTINATION, file));
    }

    pub(crate) fn guest_without_domains(&mut self) {
        self.mdev(SOURCE, "guest_matrix", "05.\n06.");
        self.mdev(SOURCE, "ap_config", &config(&[5, 6], &[], &[0x33, 0x3a]));
    }

    pub(crate) fn rename_mdev(&mut self, name: &str) {
        let mdevs = entries(&mut self.snapshots[DESTINATION].mdevs);
        let device = mdevs.remove(UUID).expect("the device");
        mdevs.insert(name.to_owned(), device);
    }

    pub(crate) fn go_to_another_uuid(&mut self) {
        self.rename_mdev("another");
        self.destination_mdev = Some("another");
    }

    pub(crate) fn add_mdev(&mut self, side: usize, name: &str, queues: &str) {
        let mut files = mdev(queues, "");
        files.insert("ap_config".into(), Attribute::MISSING);
        entries(&mut self.snapshots[side].mdevs).insert(name.to_owned(), files);
    }

    pub(crate) fn other_mdev(&mut self, queues: &str) {
        self.add_mdev(DESTINATION, "other", queues);
    }

    pub(crate) fn other_mdev_hidden(&mut self) {
        self.other_mdev("");
        let other = entries(&mut self.snapshots[DESTINATION].mdevs).get_mut("other").expect("the device");
        other.insert("matrix".into(), hidden());
    }

    pub(crate) fn without_the_driver(&mut self, side: usize) {
        self.put(side, "vfio-ap", "features", Attribute::MISSING);
        self.snapshots[side].mdevs = Section::Listed(BTreeMap::new());
        entries(&mut self.snapshots[side].drivers).remove("vfio_ap");
    }

    pub(crate) fn hide_mdevs(&mut self, side: usize) {
        self.snapshots[side].mdevs = Section::Unreadable("Permission denied".to_owned());
    }

    pub(crate) fn hide_queues(&mut self, side: usize) {
        self.snapshots[side].queues = Section::Unreadable("Permission denied".to_owned());
    }

    pub(crate) fn hide_drivers(&mut self, side: usize) {
        self.snapshots[side].drivers = Section::Unreadable("Permission denied".to_owned());
    }

    pub(crate) fn drop_queue(&mut self, side: usize, name: &str) {
        entries(&mut self.snapshots[side].queues).remove(name);
    }

    pub(crate) fn unbind(&mut self, side: usize, name: &str) {
        entries(&mut self.snapshots[side].drivers)
            .get_mut("vfio_ap")
            .expect("the driver")
            .retain(|queue| queue != name);
    }

    /// The first byte of `apmask`, and every byte of `aqmask`.
    pub(crate) fn masks(&mut self, side: usize, first: &str, all: &str) {
        self.set(side, "bus", "apmask", &format!("0x{first}{}", "0".repeat(62)));
        self.set(side, "bus", "aqmask", &format!("0x{}", all.repeat(32)));
    }

    pub(crate) fn masks_full(&mut self, side: usize) {
        ["apmask", "aqmask"].into_iter().for_each(|file| self.set(side, "bus", file, &Mask256::FULL.to_string()));
    }

    /// One file of one queue.
    pub(crate) fn queue_file(&mut self, side: usize, queue: &str, file: &'static str, text: &str) {
        let files = entries(&mut self.snapshots[side].queues).entry(queue.to_owned()).or_default();
        files.insert(file.into(), Attribute::Text(text.to_owned()));
    }

    pub(crate) fn unbind_of(&mut self, side: usize, driver: &str) {
        entries(&mut self.snapshots[side].drivers).remove(driver);
    }

    /// As a kernel before 6.19.
    pub(crate) fn without_overrides(&mut self, side: usize) {
        self.each_queue(side, "driver_override", &Attribute::MISSING);
    }

    /// Which driver has a queue.
    pub(crate) fn bind(&mut self, side: usize, queue: &str, driver: &str) {
        let drivers = entries(&mut self.snapshots[side].drivers);
        drivers.values_mut().for_each(|queues| queues.retain(|bound| bound != queue));
        drivers.entry(driver.to_owned()).or_default().push(queue.to_owned());
    }

    /// The lines of `--fix` that write.
    pub(crate) fn fix(&self) -> Vec<String> {
        let script = preflight::report::fix(&self.judge());
        script.lines().filter(|line| line.starts_with("put ")).map(str::to_owned).collect()
    }

    /// What the terminal shows.
    pub(crate) fn screen(&self) -> String {
        preflight::report::human::screen(&self.judge(), "here", "there")
    }

    pub(crate) fn named(&self, mdev: &str) -> Result<Judgement, String> {
        let read = |snapshot| Host::new(snapshot).map_err(|error| error.to_string());
        let (source, destination) = (read(&self.snapshots[SOURCE])?, read(&self.snapshots[DESTINATION])?);
        let pair = Pair::new(&source, &destination, Some(mdev), None).map_err(|error| error.to_string())?;
        Ok(judge(&pair, RULES, false))
    }

    pub(crate) fn control_mask(&mut self, side: usize, numbers: &[u8]) {
        self.set(side, "bus", "ap_control_domain_mask", &mask(numbers).to_string());
    }

    fn each_queue(&mut self, side: usize, file: &'static str, attribute: &Attribute) {
        for files in entries(&mut self.snapshots[side].queues).values_mut() {
            files.insert(file.into(), attribute.clone());
        }
    }

    fn each_card(&mut self, side: usize, file: &'static str, attribute: &Attribute) {
        for files in entries(&mut self.snapshots[side].cards).values_mut() {
            files.insert(file.into(), attribute.clone());
        }
    }

    /// A file of a group, of every card or queue.
    pub(crate) fn each_of(&mut self, side: usize, group: &str, file: &'static str, attribute: &Attribute) {
        match group {
            "card" => self.each_card(side, file, attribute),
            "queue" => self.each_queue(side, file, attribute),
            _ => self.put(side, group, file, attribute.clone()),
        }
    }

    pub(crate) fn queue(&mut self, side: usize, file: &'static str, text: &str) {
        self.each_queue(side, file, &Attribute::Text(text.to_owned()));
    }

    pub(crate) fn hide_state(&mut self, side: usize, file: &'static str) {
        self.each_queue(side, file, &hidden());
        self.each_card(side, file, &hidden());
    }

    /// Turns one bit of every function word.
    pub(crate) fn flip(&mut self, side: usize, bit: u32) {
        let word = Attribute::Text(format!("0x{:08X}", FUNCTIONS ^ 1 << (31 - bit)));
        self.each_queue(side, "ap_functions", &word);
        self.each_card(side, "ap_functions", &word);
    }

    pub(crate) fn hide_functions(&mut self, side: usize) {
        self.hide_state(side, "ap_functions");
    }

    pub(crate) fn only_the_card(&mut self, side: usize) {
        self.each_queue(side, "ap_functions", &Attribute::MISSING);
    }

    pub(crate) fn only_the_card_of_an_unknown_host(&mut self, side: usize) {
        self.only_the_card(side);
        self.hide(side, "host", "prot_virt_guest");
    }

    pub(crate) fn only_a_masked_word(&mut self, side: usize) {
        self.only_the_card(side);
        self.set(side, "host", "osrelease", "6.12.41");
    }

    pub(crate) fn card_type(&mut self, side: usize, number: &str) {
        self.each_card(side, "raw_hwtype", &Attribute::Text(number.to_owned()));
    }

    pub(crate) fn hide_type(&mut self, side: usize) {
        self.each_card(side, "raw_hwtype", &hidden());
        self.each_card(side, "hwtype", &hidden());
    }

    fn qemu(&mut self, attribute: Attribute) {
        self.snapshots[SOURCE].qemu = Some([("blocked-reasons".into(), attribute)].into());
    }

    pub(crate) fn blocked(&mut self, reason: &str) {
        self.qemu(Attribute::Text(reason.to_owned()));
    }

    pub(crate) fn blocked_unreadable(&mut self) {
        self.qemu(hidden());
    }
}
