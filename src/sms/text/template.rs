//! A template: literal text and placeholders, parsed once at start.
//!
//! Owns what a template may hold. Never expands a value twice: what is filled in is not read again.

/// What a template is for; decides which placeholders it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Code,
    PhoneChanged,
}

impl Kind {
    /// The setting that holds templates of this kind.
    pub(super) fn setting(self) -> &'static str {
        match self {
            Self::Code => "templates",
            Self::PhoneChanged => "phone_changed",
        }
    }
}

/// What is filled in.
pub(super) struct Facts<'a> {
    pub(super) code: &'a str,
    pub(super) app: &'a str,
    pub(super) minutes: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Code,
    App,
    Minutes,
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template(Vec<Piece>);

impl Template {
    /// Parses `source`; the error says what is wrong with it. What the values bring along is looked at
    /// by [`check_text`] on the filled text.
    pub(super) fn parse(kind: Kind, source: &str) -> Result<Self, &'static str> {
        if source.trim().is_empty() || source.trim() != source {
            return Err("must not be empty, nor begin or end with a space or a line feed");
        }
        let mut pieces = Vec::new();
        let mut rest = source;
        while let Some((literal, tail)) = rest.split_once('{') {
            let (name, tail) = tail.split_once('}').ok_or("has a { without a }")?;
            pieces.push(Piece::Literal(literal.to_owned()));
            pieces.push(match (name, kind) {
                ("app", Kind::Code | Kind::PhoneChanged) => Piece::App,
                ("code", Kind::Code) => Piece::Code,
                ("minutes", Kind::Code) => Piece::Minutes,
                (_, Kind::Code) => return Err("may only have the placeholders {code}, {app} and {minutes}"),
                (_, Kind::PhoneChanged) => return Err("may only have the placeholder {app}"),
            });
            rest = tail;
        }
        pieces.push(Piece::Literal(rest.to_owned()));
        if pieces.iter().any(|piece| matches!(piece, Piece::Literal(text) if text.contains('}'))) {
            return Err("has a } without a {");
        }
        let codes = pieces.iter().filter(|piece| **piece == Piece::Code).count();
        if kind == Kind::Code && codes != 1 {
            return Err("must have the placeholder {code} exactly once");
        }
        Ok(Self(pieces))
    }

    pub(super) fn fill(&self, facts: &Facts<'_>) -> String {
        let minutes = facts.minutes.to_string();
        let words = self.0.iter().map(|piece| match piece {
            Piece::Literal(literal) => literal,
            Piece::Code => facts.code,
            Piece::App => facts.app,
            Piece::Minutes => &minutes,
        });
        words.collect::<Vec<_>>().concat()
    }
}

/// Fewest digits that a phone may take for a code.
const CODE_LIKE_DIGITS: usize = 3;

/// security 108: what no text may hold, whether from the template or from a value. `code` is the one
/// number that it must hold, free on both sides.
pub(super) fn check_text(text: &str, code: Option<&str>) -> Result<(), &'static str> {
    if text.chars().any(|letter| letter != '\n' && (letter.is_control() || is_invisible_order(letter))) {
        return Err("must not hold control characters other than a line feed");
    }
    if holds_url(text) {
        return Err("must not hold a URL or a host name");
    }
    if text.lines().any(|line| line.starts_with('@')) {
        return Err("must not have a line that begins with @: webotp_host makes that line");
    }
    let numbers: Vec<&str> = text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| longest_number(word) >= CODE_LIKE_DIGITS)
        .collect();
    match (code, numbers.as_slice()) {
        (Some(code), [only]) if *only == code => Ok(()),
        (Some(_), _) => Err("must show the code apart from other letters, and no other number of three or more digits"),
        (None, []) => Ok(()),
        (None, _) => Err("must not hold a number of three or more digits: phones would take it for the code"),
    }
}

/// Line separators, and letters that reorder what is read around them.
fn is_invisible_order(letter: char) -> bool {
    matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn longest_number(word: &str) -> usize {
    word.split(|letter: char| !letter.is_numeric()).map(|digits| digits.chars().count()).max().unwrap_or(0)
}

/// A scheme, or a dot between a letter and at least two letters: phones make a link of either.
fn holds_url(text: &str) -> bool {
    let dotted = |(at, _): (usize, &str)| {
        let (before, after) = text.split_at(at);
        let mut after = after.chars().skip(1);
        before.chars().next_back().is_some_and(char::is_alphanumeric)
            && after.next().is_some_and(char::is_alphabetic)
            && after.next().is_some_and(char::is_alphabetic)
    };
    text.contains("://") || text.match_indices('.').any(dotted)
}
