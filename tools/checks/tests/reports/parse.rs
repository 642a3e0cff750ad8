// SPDX-License-Identifier: MIT OR Apache-2.0
//! A browser's HTML parser, with every parse error of the standard reported.

use html5ever::driver::ParseOpts;
use html5ever::tendril::TendrilSink;
use html5ever::tokenizer::TokenizerOpts;
use html5ever::tree_builder::{QuirksMode, TreeBuilderOpts};
use scraper::{Html, HtmlTreeSink};

pub(crate) fn parse(text: &str) -> Html {
    let options = ParseOpts {
        tokenizer: TokenizerOpts { exact_errors: true, ..TokenizerOpts::default() },
        tree_builder: TreeBuilderOpts { exact_errors: true, ..TreeBuilderOpts::default() },
    };
    html5ever::parse_document(HtmlTreeSink::new(Html::new_document()), options).one(text)
}

/// What is wrong with a page; a page that is read as pages of long ago is wrong too.
pub(crate) fn faults(text: &str) -> Vec<String> {
    let page = parse(text);
    let mut faults: Vec<String> = page.errors.iter().map(ToString::to_string).collect();
    if page.quirks_mode != QuirksMode::NoQuirks {
        faults.push("it does not begin as a page of today".to_owned());
    }
    faults
}
