// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pages that CI makes, as files: the book of the documents, the findings, a sample report. No link leads nowhere,
//! nothing is wider than a phone, and the dark book is dark.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use checks::{Outcome, ensure, skipped, trial};
use libtest_mimic::{Failed, Trial};
use scraper::{Html, Selector};

use super::PHONE;
use super::browser::Browser;

/// Width of a desktop's window, in CSS pixels.
const DESKTOP: u32 = 1280;
/// What mdBook makes for itself: all pages once more in one, and the list of them.
const NO_PAGES: [&str; 2] = ["print.html", "toc.html"];

/// Tells of each page in a frame how much wider than the frame it is, and how many boxes stand out of it.
const RULER: &str = r"<script>
onload = () => setTimeout(() => {
  document.body.dataset.measured = [...document.querySelectorAll('iframe')].map(frame => {
    const page = frame.contentDocument, width = page.documentElement.clientWidth;
    const out = [...page.querySelectorAll('main *')].filter(box => !box.closest('pre, .table-wrapper, .scroll, svg')
        && box.getBoundingClientRect().right > width + 1).length;
    return Math.max(page.documentElement.scrollWidth - width, out);
  }).join(' ');
}, 500);
</script>";

/// The folder of the pages, or why there is none.
fn folder() -> Result<PathBuf, String> {
    let missing =
        || std::env::var("KAPUT_PAGES_MISSING").unwrap_or_else(|_| "`cargo xtask test checks` makes them".into());
    std::env::var_os("KAPUT_PAGES").map(PathBuf::from).ok_or_else(missing)
}

fn pages(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?.flatten() {
            let path = entry.path();
            let is_page = path.extension().is_some_and(|end| end == "html");
            if path.is_dir() {
                folders.push(path);
            } else if is_page && !NO_PAGES.iter().any(|name| path.ends_with(name)) {
                found.push(path);
            }
        }
    }
    found.sort();
    ensure(found.len() > 15, || format!("{} pages", found.len()))?;
    Ok(found)
}

pub(super) fn links() -> Trial {
    let name = "every_link_of_the_pages_leads_somewhere";
    match folder() {
        Ok(folder) => trial(name, move || links_lead_somewhere(&folder)),
        Err(reason) => skipped("book", name, &reason),
    }
}

/// What a page names: files by `href` and `src`, and places by `id`.
fn read(page: &Path) -> Result<(BTreeSet<String>, Vec<String>), Failed> {
    let text = fs::read_to_string(page).map_err(|error| format!("{}: {error}", page.display()))?;
    let page = Html::parse_document(&text);
    let all = |name: &str| -> Result<Vec<String>, Failed> {
        let selector = Selector::parse(&format!("[{name}]")).map_err(|error| error.to_string())?;
        Ok(page.select(&selector).filter_map(|element| element.value().attr(name)).map(str::to_owned).collect())
    };
    let links = [all("href")?, all("src")?].concat();
    Ok((all("id")?.into_iter().collect(), links))
}

fn links_lead_somewhere(folder: &Path) -> Outcome {
    let mut known = BTreeMap::new();
    for page in pages(folder)? {
        known.insert(page.clone(), read(&page)?);
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, (_, links)) in &known {
        for link in links.iter().filter(|link| !link.contains("://") && !link.starts_with("data:")) {
            count += 1;
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = page.parent().unwrap_or(folder).join(file);
            let target = if file.is_empty() { page.clone() } else { target.canonicalize().unwrap_or(target) };
            let is_there = match known.get(&target) {
                Some((places, _)) => place.is_empty() || places.contains(place),
                None => target.exists() && place.is_empty(),
            };
            if !is_there {
                wrong.push(format!("{}: {link}", page.display()));
            }
        }
    }
    ensure(wrong.is_empty(), || wrong.join("\n"))?;
    ensure(count > 300, || format!("{count} links"))
}

pub(super) fn in_a_browser(browser: Browser) -> Trial {
    let name = "book_in_a_browser";
    match folder() {
        Ok(folder) => trial(name, move || {
            _ = fs::remove_dir_all(&browser.folder);
            fs::create_dir_all(&browser.folder).map_err(|error| error.to_string())?;
            fits(&browser, &pages(&folder)?)?;
            is_light_and_dark(&browser, &folder.join("guide.html"))
        }),
        Err(reason) => skipped("book", name, &reason),
    }
}

/// All pages at once, at a phone's and at a desktop's width; and one that is too wide, which must be noticed.
fn fits(browser: &Browser, pages: &[PathBuf]) -> Outcome {
    let wide = browser.folder.join("wide.html");
    fs::write(&wide, "<!DOCTYPE html><title>x</title><main><div style=\"width: 2000px\">x</div></main>")
        .map_err(|error| error.to_string())?;
    for width in [PHONE, DESKTOP] {
        let frame = |page: &PathBuf| {
            format!("<iframe style=\"border:0\" width={width} src=\"file://{}\"></iframe>", page.display())
        };
        let frames: String = pages.iter().chain([&wide]).map(frame).collect();
        let all = browser.folder.join(format!("all-{width}.html"));
        fs::write(&all, format!("<!DOCTYPE html><title>x</title><body>{frames}{RULER}"))
            .map_err(|error| error.to_string())?;
        let flags = ["--allow-file-access-from-files", "--virtual-time-budget=20000", "--dump-dom"].map(str::to_owned);
        let dom = browser.start(&[&flags[..], &[format!("file://{}", all.display())]].concat())?;
        let said = dom.split("data-measured=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        let figures: Vec<i64> = said.split(' ').filter_map(|figure| figure.parse().ok()).collect();
        let [of_pages @ .., of_wide] = &figures[..] else { return Err("the browser measured nothing".into()) };
        ensure(of_pages.len() == pages.len() && *of_wide > 0, || format!("{width}: {said:?}"))?;
        let wrong = pages.iter().zip(of_pages).filter(|(_, figure)| **figure > 0);
        let wrong: Vec<String> = wrong.map(|(page, figure)| format!("{}: {figure}", page.display())).collect();
        ensure(wrong.is_empty(), || format!("wider than {width} pixels: {}", wrong.join(", ")))?;
    }
    Ok(())
}

fn is_light_and_dark(browser: &Browser, page: &Path) -> Outcome {
    let size = "--window-size=1200,1000";
    let (_, light, colours) = browser.draw(page, "book-light", &[size])?;
    ensure(colours > 20 && light > 200, || format!("{colours} colours, brightness {light}"))?;
    let (_, dark, colours) = browser.draw(page, "book-dark", &[size, "--blink-settings=preferredColorScheme=0"])?;
    ensure(colours > 20 && dark < 90, || format!("in the dark {colours} colours, brightness {dark}"))
}
