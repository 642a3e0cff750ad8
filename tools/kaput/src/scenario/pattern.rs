// SPDX-License-Identifier: MIT OR Apache-2.0
//! The one pattern of a scenario's expectations: `*` stands for any text, also for none, and nothing else is special.

/// Whether a text as a whole is what a pattern says.
#[must_use]
pub fn fits(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return text == pattern };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let inner = text.strip_prefix(first).and_then(|text| text.strip_suffix(last));
    inner.is_some_and(|inner| contains(inner, middle))
}

/// Whether a part of a text is what a pattern says.
#[must_use]
pub fn contains(text: &str, pattern: &str) -> bool {
    pattern.split('*').try_fold(text, |rest, part| rest.split_once(part).map(|(_, after)| after)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_and_the_rest_for_itself() {
        for (text, pattern, whole, part) in [
            ("rsa/mex-1024", "rsa/mex-1024", true, true),
            ("rsa/mex-1024", "rsa/*", true, true),
            ("rsa/mex-1024", "*", true, true),
            ("rsa/mex-1024", "*/mex-*", true, true),
            ("rsa/mex-1024", "*1024", true, true),
            ("rsa/mex-1024", "mex*10", false, true),
            ("rsa/mex-1024", "rsa", false, true),
            ("rsa/mex-1024", "rsa/*/mex", false, false),
            ("aba", "ab*ba", false, false),
            ("05.0033: CEX7A became CEX8A", "CEX7A*CEX8A", false, true),
            ("05.0033: CEX8A became CEX7A", "CEX7A*CEX8A", false, false),
            ("x", "", false, true),
            ("a[1]?", "a[1]?", true, true),
        ] {
            assert_eq!((fits(text, pattern), contains(text, pattern)), (whole, part), "{text} {pattern}");
        }
    }
}
