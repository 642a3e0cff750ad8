// SPDX-License-Identifier: MIT OR Apache-2.0
//! Judges a migration between two hosts of which one has copies of `/sys`:
//! `cargo run -p preflight --example two_hosts -- HERE THERE`
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::Path;

use preflight::report::human;
use preflight::{Directory, Host, Pair, RULES, collect, judge};

fn main() -> Result<(), Box<dyn Error>> {
    let mut folders = std::env::args().skip(1);
    let (Some(here), Some(there)) = (folders.next(), folders.next()) else {
        return Err("name two folders that look like / of a host".into());
    };
    print!("{}", screen(here.as_ref(), there.as_ref())?);
    Ok(())
}

fn screen(here: &Path, there: &Path) -> Result<String, Box<dyn Error>> {
    let host = |folder| -> Result<Host, Box<dyn Error>> { Ok(Host::new(&collect::collect(&Directory::new(folder)?))?) };
    let (source, destination) = (host(here)?, host(there)?);
    let judgement = judge(&Pair::new(&source, &destination, None, None)?, RULES, false);
    Ok(human::screen(&judgement, "here", "there"))
}

#[test]
fn a_guest_whose_card_is_not_there_does_not_survive() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let put = |file: &str, text: &str| {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(folder.path())).and_then(|()| std::fs::write(path, text))
    };
    let matrix = "devices/vfio_ap/matrix/669d9b23-fe1b-4ecb-be08-a2fabca99b71";
    for host in ["here/sys", "there/sys"] {
        put(&format!("{host}/bus/ap/ap_max_domain_id"), "255\n")?;
    }
    put("here/sys/bus/ap/devices/card05/hwtype", "14\n")?;
    put("here/sys/bus/ap/devices/05.0033/config", "1\n")?;
    for file in ["matrix", "guest_matrix"] {
        put(&format!("here/sys/{matrix}/{file}"), "05.0033\n")?;
    }
    put(&format!("here/sys/{matrix}/control_domains"), "\n")?;
    let said = screen(&folder.path().join("here"), &folder.path().join("there"))?;
    assert!(said.contains("05.0033"), "{said}");
    assert!(screen(folder.path(), &folder.path().join("nowhere")).is_err());
    Ok(())
}
