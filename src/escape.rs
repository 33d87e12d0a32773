//! Escapes in text that peers determine, for terminals and logs.

/// The characters of the categories Cf, Zl and Zp of Unicode 17, in ranges: they change the direction of text, break lines,
/// or are invisible. A terminal or an editor would show another text than the one that was sent.
const INVISIBLE: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

/// Escapes control characters, and characters that are invisible or change the direction of text.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_safe(c) {
            true => out.push(c),
            false => out.extend(c.escape_default()),
        }
    }
    out
}

pub(crate) fn is_safe(c: char) -> bool {
    let is_invisible = || INVISIBLE.iter().any(|(first, last)| (*first..=*last).contains(&c));
    !c.is_control() && (c.is_ascii() || !is_invisible())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_and_what_hides_text_is_escaped() {
        for text in ["", "Sunday", "größe", "日曜日", "e\u{301}", "\u{a0}\u{3000}", "\\ \" '", "☀\u{fe0f}"] {
            assert_eq!(escape(text), text);
        }
        for (text, escaped) in [
            ("a\x1b[31m\x7f\u{9b}\n", r"a\u{1b}[31m\u{7f}\u{9b}\n"),
            ("a\u{202e}b\u{2066}", r"a\u{202e}b\u{2066}"),
            ("\u{2028}\u{2029}\u{200b}\u{feff}\u{ad}\u{61c}", r"\u{2028}\u{2029}\u{200b}\u{feff}\u{ad}\u{61c}"),
            ("\u{e0041}", r"\u{e0041}"),
        ] {
            assert_eq!(escape(text), escaped);
        }
    }
}
