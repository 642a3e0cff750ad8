// SPDX-License-Identifier: MIT OR Apache-2.0
//! HTML by a browser's parser; and what a parser does not look at: names that are there twice, links that lead nowhere,
//! anything from elsewhere.

use std::collections::BTreeSet;

use checks::{Outcome, ensure};
use scraper::Selector;

use super::made;
use super::parse::{faults, parse};

pub(super) fn has_no_parse_error() -> Outcome {
    let text = made()?.text("html")?;
    ensure(faults(&text).is_empty(), || faults(&text).join("\n"))?;
    for (from, to) in [("</h1>", "</h2>"), ("<p class=", "<p class=a class="), ("</table>", "")] {
        ensure(!faults(&text.replacen(from, to, 1)).is_empty(), || format!("{to:?} for {from:?} was not noticed"))?;
    }
    Ok(())
}

pub(super) fn refers_only_to_itself() -> Outcome {
    let page = parse(&made()?.text("html")?);
    let select = |selector: &str| Selector::parse(selector).unwrap_or_else(|error| panic!("{error}"));
    let all = |selector: &str, attribute: &str| -> Vec<String> {
        page.select(&select(selector)).filter_map(|element| element.attr(attribute).map(str::to_owned)).collect()
    };
    let names = all("[id]", "id");
    let known: BTreeSet<&String> = names.iter().collect();
    ensure(known.len() == names.len(), || "a name is there twice".to_owned())?;
    let links = all("[href]", "href");
    ensure(links.len() > 20, || format!("{} links", links.len()))?;
    for link in links {
        let target = link.strip_prefix('#').map(str::to_owned);
        ensure(target.as_ref().is_some_and(|target| known.contains(target)), || format!("{link} leads nowhere"))?;
    }
    let outside = select("[src], [srcset], [action], script, link, iframe, object, embed, base");
    let outside: Vec<String> = page.select(&outside).map(|element| element.html()).collect();
    ensure(outside.is_empty(), || format!("{outside:?}"))
}
