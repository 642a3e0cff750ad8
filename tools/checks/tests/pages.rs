// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every page in a real browser: at a desktop, on a phone, in the dark, on paper. Nothing may be wider than the screen
//! but what scrolls by itself, nothing may be blank, the dark page must be dark. The pictures stay in the target
//! folder.

#[path = "pages/book.rs"]
mod book;
#[path = "pages/browser.rs"]
mod browser;
#[path = "reports/parse.rs"]
mod parse;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use checks::{Outcome, all, ensure, in_path, run, skipped, trial};
use libtest_mimic::Failed;

use browser::Browser;

const PAGES: [&str; 5] = ["runs", "mutants", "soak", "fleet", "preflight"];
/// Width of a phone and of a sheet of paper, in CSS pixels.
const PHONE: u32 = 360;
const SHEET: u32 = 720;

/// Makes a page with the harness, once.
fn made(folder: &Path, name: &str) -> Result<PathBuf, Failed> {
    let path = folder.join(format!("{name}.html"));
    if path.is_file() {
        return Ok(path);
    }
    let target = format!("html={}", path.display());
    let host = |name: &str, text: &str| sysfs(&folder.join(name), text).map_err(|error| error.to_string());
    let (exit, _, said) = match name {
        "runs" => run(&["run", "survive", "older-card", "continuous", "control-domains-dropped", "--report", &target])?,
        "mutants" => run(&["mutants", "--without-qemu", "--report", &target])?,
        "soak" => run(&["soak", "--seed", "2a", "--migrations", "12", "--report", &target])?,
        "fleet" => {
            for (name, ap_type) in [("zhost1", "12"), ("zhost2", "13"), ("zhost3", "11")] {
                let snapshot = folder.join(format!("{name}.json")).display().to_string();
                run(&["collect", &host(name, ap_type)?, "-o", &snapshot])?;
            }
            run(&["preflight", "--fleet", &folder.display().to_string(), "--report", &target])?
        }
        _ => {
            let (here, there) = (host("here", "12")?, host("there", "13")?);
            run(&["preflight", &here, &there, "--report", &target])?
        }
    };
    ensure(exit != 2 && path.is_file(), || format!("{name}: {said}"))?;
    Ok(path)
}

/// A host as sysfs shows it, with a guest, three adapters and two dozen domains; the adapters' type differs.
fn sysfs(root: &Path, ap_type: &str) -> std::io::Result<String> {
    let put = |name: &str, text: &str| {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, text)
    };
    let zero = format!("0x{}\n", "0".repeat(64));
    let mdev = "sys/devices/vfio_ap/matrix/669d9b23-fe1b-4ecb-be08-a2fabca99b71";
    put("proc/sys/kernel/osrelease", "6.18.0\n")?;
    put("sys/firmware/uv/prot_virt_guest", "0\n")?;
    for mask in ["apmask", "aqmask", "ap_control_domain_mask"] {
        put(&format!("sys/bus/ap/{mask}"), &zero)?;
    }
    put("sys/bus/ap/ap_max_adapter_id", "255\n")?;
    put("sys/bus/ap/ap_max_domain_id", "255\n")?;
    put("sys/devices/vfio_ap/matrix/features", "guest_matrix hotplug ap_config migratable\n")?;
    let mut queues = String::new();
    for adapter in ["05", "06", "0a"] {
        put(&format!("sys/bus/ap/devices/card{adapter}/hwtype"), &format!("{ap_type}\n"))?;
        put(&format!("sys/bus/ap/devices/card{adapter}/ap_functions"), "0x6A800000\n")?;
        for domain in 0x30..0x48 {
            let queue = format!("{adapter}.{domain:04x}");
            put(&format!("sys/bus/ap/drivers/vfio_ap/{queue}"), "")?;
            for (file, text) in [
                ("ap_functions", "0x6A800000\n"),
                ("config", "1\n"),
                ("chkstop", "0\n"),
                ("driver_override", "(null)\n"),
            ] {
                put(&format!("sys/bus/ap/devices/{queue}/{file}"), text)?;
            }
            if domain < 0x3c && adapter != "0a" {
                queues += &format!("{queue}\n");
            }
        }
    }
    for file in ["matrix", "guest_matrix"] {
        put(&format!("{mdev}/{file}"), &queues)?;
    }
    put(&format!("{mdev}/control_domains"), "")?;
    Ok(root.display().to_string())
}

/// Nothing but what scrolls is wider than a phone; on paper, where nothing scrolls, nothing is cut off.
fn fits_phone_and_paper(browser: &Browser, name: &str) -> Outcome {
    let page = fs::read_to_string(made(&browser.folder, name)?).map_err(|error| error.to_string())?;
    let phone = browser.measure(name, &page, PHONE)?;
    ensure(phone.too_wide <= 0 && phone.bare == 0, || format!("{name} on a phone: {phone:?}"))?;
    let paper = page.replace("@media print", "@media all");
    ensure(paper != page, || format!("{name} says nothing about paper"))?;
    let paper = browser.measure(&format!("{name}-paper"), &paper, SHEET)?;
    ensure(paper.too_wide <= 0 && paper.cut == 0, || format!("{name} on paper: {paper:?}"))?;
    let wide = page.replace("</h1>", "</h1><div style=\"width: 500px\">x</div>");
    let noticed = browser.measure(&format!("{name}-wide"), &wide, PHONE)?;
    ensure(noticed.too_wide > 0, || format!("a wide box was not noticed: {noticed:?}"))
}

fn is_drawn_light_and_dark(browser: &Browser, name: &str) -> Outcome {
    let page = made(&browser.folder, name)?;
    let size = "--window-size=1200,1400";
    let (width, light, colours) = browser.draw(&page, &format!("{name}-desktop"), &[size])?;
    ensure(width == 1200 && colours > 20, || format!("{name}: {width} wide, {colours} colours"))?;
    let dark_flag = "--blink-settings=preferredColorScheme=0";
    let (_, dark, colours) = browser.draw(&page, &format!("{name}-dark"), &[size, dark_flag])?;
    ensure(colours > 20, || format!("{name} in the dark has {colours} colours"))?;
    ensure(light > 200 && dark < 80, || format!("{name}: brightness {light} by day, {dark} in the dark"))?;
    let text = fs::read_to_string(&page).map_err(|error| error.to_string())?;
    let framed = browser.framed(&format!("{name}-phone"), &text, PHONE)?;
    let (_, _, colours) = browser.draw(&framed, &format!("{name}-phone"), &["--window-size=500,1600"])?;
    ensure(colours > 20, || format!("{name} on a phone has {colours} colours"))
}

fn has_no_parse_error(name: &str) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let page = fs::read_to_string(made(folder.path(), name)?).map_err(|error| error.to_string())?;
    let faults = parse::faults(&page);
    ensure(faults.is_empty(), || format!("{name}: {}", faults.join("\n")))
}

fn is_printed(browser: &Browser, name: &str) -> Outcome {
    let page = made(&browser.folder, name)?;
    let sheets = browser.folder.join(format!("{name}.pdf"));
    _ = fs::remove_file(&sheets);
    let flags = [format!("--print-to-pdf={}", sheets.display()), "--no-pdf-header-footer".to_owned()];
    browser.start(&[&flags[..], &[format!("file://{}", page.display())]].concat())?;
    let bytes = fs::read(&sheets).map_err(|error| error.to_string())?;
    ensure(bytes.starts_with(b"%PDF-") && bytes.len() > 10_000, || format!("{name}: {} bytes", bytes.len()))
}

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    let mut trials = Vec::new();
    for name in PAGES {
        trials.push(trial(&format!("{name}_has_no_parse_error"), move || has_no_parse_error(name)));
    }
    trials.push(book::links());
    let Some(program) = in_path(&["chromium", "chromium-browser", "google-chrome"]) else {
        // For this architecture there is none, so there is nothing to install.
        let reason =
            if cfg!(target_arch = "s390x") { "there is no Chromium for s390x" } else { "there is no Chromium" };
        let skip = |name: &&str| skipped("browser", &format!("{name}_in_a_browser"), reason);
        return all(trials.into_iter().chain(PAGES.iter().chain([&"book"]).map(skip)).collect());
    };
    trials.push(book::in_a_browser(Browser { program: program.clone(), folder: folder.join("book") }));
    for name in PAGES {
        // A folder for each: its tests come one after the other.
        let browser = Browser { program: program.clone(), folder: folder.join(name) };
        trials.push(trial(&format!("{name}_in_a_browser"), move || {
            _ = fs::remove_dir_all(&browser.folder);
            fs::create_dir_all(&browser.folder).map_err(|error| error.to_string())?;
            is_drawn_light_and_dark(&browser, name)?;
            fits_phone_and_paper(&browser, name)?;
            is_printed(&browser, name)
        }));
    }
    println!("the pictures are in {}", folder.display());
    all(trials)
}
