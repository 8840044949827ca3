//! What Python's `json` says of a text that is no JSON, because both web frameworks pass it on to their clients.
//!
//! Only finds the first fault and its place; the value itself is read by `http::json`. Follows CPython 3.11.

/// A fault and its place, counted in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: &'static str,
    pub(super) at: usize,
    line: usize,
    column: usize,
}

impl Fault {
    /// The message with its place, as Python prints it.
    pub(super) fn text(&self) -> String {
        format!("{}: line {} column {} (char {})", self.message, self.line, self.column, self.at)
    }
}

/// Levels this reader goes down; what is deeper is refused before by other rules.
const DEPTH_MAX: usize = 64;
/// Of a text that Python would take and we do not: a name twice in one object, more levels than any body of ours has,
/// half a surrogate pair, a number that is none.
const NOT_TAKEN: &str = "Value not taken";

/// The fault of a text that is not taken as JSON.
pub(super) fn fault(bytes: &[u8]) -> Fault {
    let text = String::from_utf8_lossy(bytes);
    let scanner = Scanner { chars: text.chars().collect() };
    let (message, at) = scanner.document().err().unwrap_or((NOT_TAKEN, 0));
    let before = scanner.chars.get(..at).unwrap_or_default();
    let line_start = before.iter().rposition(|c| *c == '\n').map_or(0, |place| place + 1);
    let line = before.iter().filter(|c| **c == '\n').count() + 1;
    Fault { message, at, line, column: at - line_start + 1 }
}

type Found<T> = Result<T, (&'static str, usize)>;

struct Scanner {
    chars: Vec<char>,
}

impl Scanner {
    fn get(&self, at: usize) -> Option<char> {
        self.chars.get(at).copied()
    }

    fn skip(&self, mut at: usize) -> usize {
        while matches!(self.get(at), Some(' ' | '\t' | '\n' | '\r')) {
            at += 1;
        }
        at
    }

    fn document(&self) -> Found<()> {
        let end = self.skip(self.value(self.skip(0), 0)?);
        if end == self.chars.len() { Ok(()) } else { Err(("Extra data", end)) }
    }

    /// The place after the value that begins at `at`.
    fn value(&self, at: usize, depth: usize) -> Found<usize> {
        let word = |text: &str| {
            let end = at + text.len();
            let is_here = text.chars().enumerate().all(|(place, c)| self.get(at + place) == Some(c));
            if is_here { Ok(end) } else { Err(("Expecting value", at)) }
        };
        match self.get(at) {
            _ if depth > DEPTH_MAX => Err((NOT_TAKEN, 0)),
            Some('"') => self.string(at),
            Some('{') => self.object(at + 1, depth + 1),
            Some('[') => self.array(at + 1, depth + 1),
            Some('n') => word("null"),
            Some('t') => word("true"),
            Some('f') => word("false"),
            Some('N') => word("NaN"),
            Some('I') => word("Infinity"),
            Some('-') if self.get(at + 1) == Some('I') => word("-Infinity"),
            Some('-' | '0'..='9') => self.number(at),
            Some(_) | None => Err(("Expecting value", at)),
        }
    }

    fn digits(&self, mut at: usize) -> usize {
        while self.get(at).is_some_and(|c| c.is_ascii_digit()) {
            at += 1;
        }
        at
    }

    fn number(&self, start: usize) -> Found<usize> {
        let whole = if self.get(start) == Some('-') { start + 1 } else { start };
        let mut end = match self.get(whole) {
            Some('0') => whole + 1,
            Some('1'..='9') => self.digits(whole),
            Some(_) | None => return Err(("Expecting value", start)),
        };
        if self.get(end) == Some('.') && self.digits(end + 1) > end + 1 {
            end = self.digits(end + 1);
        }
        if matches!(self.get(end), Some('e' | 'E')) {
            let power = if matches!(self.get(end + 1), Some('+' | '-')) { end + 2 } else { end + 1 };
            if self.digits(power) > power {
                end = self.digits(power);
            }
        }
        Ok(end)
    }

    fn string(&self, start: usize) -> Found<usize> {
        let mut at = start + 1;
        loop {
            match self.get(at) {
                None => return Err(("Unterminated string starting at", start)),
                Some('"') => return Ok(at + 1),
                Some('\\') => at = self.escape(start, at)?,
                Some(c) if u32::from(c) < 0x20 => return Err(("Invalid control character at", at)),
                Some(_) => at += 1,
            }
        }
    }

    fn escape(&self, start: usize, at: usize) -> Found<usize> {
        match self.get(at + 1) {
            None => Err(("Unterminated string starting at", start)),
            Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => Ok(at + 2),
            Some('u') => {
                let is_hex = |place: usize| self.get(place).is_some_and(|c| c.is_ascii_hexdigit());
                if (at + 2..at + 6).all(is_hex) { Ok(at + 6) } else { Err(("Invalid \\uXXXX escape", at + 1)) }
            }
            Some(_) => Err(("Invalid \\escape", at)),
        }
    }

    fn object(&self, after_brace: usize, depth: usize) -> Found<usize> {
        let mut at = self.skip(after_brace);
        if self.get(at) == Some('}') {
            return Ok(at + 1);
        }
        loop {
            if self.get(at) != Some('"') {
                return Err(("Expecting property name enclosed in double quotes", at));
            }
            at = self.skip(self.string(at)?);
            if self.get(at) != Some(':') {
                return Err(("Expecting ':' delimiter", at));
            }
            at = self.skip(self.value(self.skip(at + 1), depth)?);
            match self.get(at) {
                Some('}') => return Ok(at + 1),
                Some(',') => at = self.skip(at + 1),
                Some(_) | None => return Err(("Expecting ',' delimiter", at)),
            }
        }
    }

    fn array(&self, after_bracket: usize, depth: usize) -> Found<usize> {
        let mut at = self.skip(after_bracket);
        if self.get(at) == Some(']') {
            return Ok(at + 1);
        }
        loop {
            at = self.skip(self.value(at, depth)?);
            match self.get(at) {
                Some(']') => return Ok(at + 1),
                Some(',') => at = self.skip(at + 1),
                Some(_) | None => return Err(("Expecting ',' delimiter", at)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Run by CPython 3.11's `json.loads`, each of them.
    #[test]
    fn says_what_python_says() {
        let check = |text: &str, expected: &str| assert_eq!(fault(text.as_bytes()).text(), expected, "{text:?}");
        check("", "Expecting value: line 1 column 1 (char 0)");
        check("x", "Expecting value: line 1 column 1 (char 0)");
        check("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)");
        check("{'a':1}", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)");
        check("{\"a\"", "Expecting ':' delimiter: line 1 column 5 (char 4)");
        check("{\"a\" 1}", "Expecting ':' delimiter: line 1 column 6 (char 5)");
        check("{\"a\":", "Expecting value: line 1 column 6 (char 5)");
        check("{\"a\":}", "Expecting value: line 1 column 6 (char 5)");
        check("{\"a\":1", "Expecting ',' delimiter: line 1 column 7 (char 6)");
        check("{\"a\":1,}", "Expecting property name enclosed in double quotes: line 1 column 8 (char 7)");
        check("{\"a\":1 \"b\":2}", "Expecting ',' delimiter: line 1 column 8 (char 7)");
        check("{\"a\":\n 01}", "Expecting ',' delimiter: line 2 column 3 (char 8)");
        check("[1,]", "Expecting value: line 1 column 4 (char 3)");
        check("[1", "Expecting ',' delimiter: line 1 column 3 (char 2)");
        check("{} {}", "Extra data: line 1 column 4 (char 3)");
        check("{\"a\":\"b", "Unterminated string starting at: line 1 column 6 (char 5)");
        check("{\"a\":\"b\n\"}", "Invalid control character at: line 1 column 8 (char 7)");
        check("{\"a\":\"\\x\"}", "Invalid \\escape: line 1 column 7 (char 6)");
        check("{\"a\":tru}", "Expecting value: line 1 column 6 (char 5)");
        check("{\"a\":-}", "Expecting value: line 1 column 6 (char 5)");
        check("{\"a\":1.}", "Expecting ',' delimiter: line 1 column 7 (char 6)");
        check("phone=1", "Expecting value: line 1 column 1 (char 0)");
    }
}
