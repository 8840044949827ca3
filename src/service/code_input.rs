//! A code as a person typed it, brought to the one form that is counted and compared.
//!
//! Owns the normalisation of codes; never compares, stores or logs one. A text that is no code is refused
//! here, before anything is looked up, so it costs no attempt.

use std::fmt;

use zeroize::Zeroizing;

use super::digits;

/// Most characters a typed code may have before normalisation. The longest code has 10 digits; the rest is
/// room for the spaces and hyphens that messages and keyboards put between them.
pub const CODE_CHARS_MAX: usize = 32;
/// Most digits any code has, by any door.
pub const CODE_DIGITS_MAX: usize = 10;

/// The text cannot be a code: empty, too long, or with something that is no digit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a code")]
pub struct CodeFormat;

/// A normalised code: 1 to 10 ASCII digits. Wiped when dropped; `Debug` is `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct TypedCode(Zeroizing<String>);

impl TypedCode {
    /// The digits, for the comparison alone: never log them.
    pub fn digits(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TypedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Folds the digits of any script to ASCII and drops spaces, hyphens and the invisible direction marks that
/// right-to-left keyboards and pasted messages add; what is left must be 1 to `digits_max` digits (at most
/// [`CODE_DIGITS_MAX`]).
pub fn normalise(typed: &str, digits_max: usize) -> Result<TypedCode, CodeFormat> {
    if typed.chars().nth(CODE_CHARS_MAX).is_some() {
        return Err(CodeFormat);
    }
    let digits_max = digits_max.min(CODE_DIGITS_MAX);
    // The whole capacity at once: a string that grew would leave unwiped copies behind.
    let mut code = Zeroizing::new(String::with_capacity(CODE_DIGITS_MAX));
    for c in typed.chars().filter(|c| !is_separator(*c)) {
        if code.len() == digits_max {
            return Err(CodeFormat);
        }
        code.push(digits::to_ascii(c).ok_or(CodeFormat)?);
    }
    if code.is_empty() { Err(CodeFormat) } else { Ok(TypedCode(code)) }
}

/// Spaces (also the no-break ones), hyphens and direction marks; no line breaks, no other controls.
fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '\u{A0}' | '\u{202F}' | '-' | '\u{2010}'..='\u{2015}' | '\u{2212}')
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(typed: &str, expected: Option<&str>) {
        let found = normalise(typed, 10);
        assert_eq!(found.as_ref().ok().map(TypedCode::digits), expected, "{typed:?}");
    }

    /// security 6: one documented rule for scripts, spaces and hyphens.
    #[test]
    fn one_code_however_it_is_typed() {
        for typed in [
            "123456",
            "123 456",
            " 123456 ",
            "123-456",
            "1 2 3 4 5 6",
            "12\u{2013}34\u{A0}56",
            "۱۲۳۴۵۶",
            "۱۲۳ ۴۵۶",
            "١٢٣٤٥٦",
            "１２３４５６",
            "१२३४५६",
            "\u{200F}123456\u{200E}",
            "\u{2067}۱۲۳۴۵۶\u{2069}",
            "12۳۴５६",
        ] {
            check(typed, Some("123456"));
        }
        check("0", Some("0"));
        check("000000", Some("000000"));
        check("1234567890", Some("1234567890"));
    }

    /// security 5: whatever is no code is refused, and so costs neither attempt nor lookup.
    #[test]
    fn refuses_what_is_no_code() {
        for typed in [
            "",
            " ",
            "-",
            "--  --",
            "12345a",
            "a123456",
            "+123456",
            "1.5",
            "1e5",
            "0x1234",
            "123,456",
            "123\n456",
            "123456\n",
            "123456\0",
            "\t123456",
            "123\u{200B}456",
            "123\u{301}456",
            "²34567",
            "Ⅷ",
            "１２３４５６Ａ",
            "true",
            "[\"123456\"]",
            "{\"$ne\":null}",
            "null",
            "12345678901",
        ] {
            check(typed, None);
        }
        check(&"1".repeat(10_000), None);
        check(&" ".repeat(33), None);
        check(&format!("{}123456", " ".repeat(26)), Some("123456"));
        check(&format!("{}123456", " ".repeat(27)), None);
    }

    #[test]
    fn the_door_sets_a_lower_limit() {
        assert!(normalise("1234", 4).is_ok());
        assert_eq!(normalise("12345", 4), Err(CodeFormat));
        assert_eq!(normalise("12345678901", 99), Err(CodeFormat));
    }

    #[test]
    fn debug_shows_nothing() {
        let code = normalise("123456", 10).unwrap();
        assert_eq!(format!("{code:?}"), "***");
    }
}
