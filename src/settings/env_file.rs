//! A `.env` file, read as the originals' loaders (python-dotenv, django-environ) read it, without their substitutions.
//!
//! `NAME=value` lines with an optional `export`; a value without quotes goes to ` #` or the end of the line, one in
//! single quotes is taken as it is, in double quotes `\n \r \t \" \\ \$` stand for one character. A `$` is a `$`:
//! secrets have them. Only names that somebody wants are looked at, so that nobody else's line can stop the start.

/// The variables of these names; the number of the first line that is wanted and cannot be read.
pub(super) fn read(text: &str, is_wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, String)>, usize> {
    let mut variables = Vec::new();
    for (number, line) in (1_usize..).zip(text.lines()) {
        let line = line.trim();
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let Some((name, value)) = line.split_once('=') else { continue };
        let name = name.trim();
        if !line.starts_with('#') && is_wanted(name) {
            variables.push((name.to_owned(), self::value(value.trim()).ok_or(number)?));
        }
    }
    Ok(variables)
}

/// `None`: a quote that does not end, or something but a comment behind it.
fn value(text: &str) -> Option<String> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'));
    let Some(quote) = quote else {
        let end = text.find(" #").or_else(|| text.find("\t#")).unwrap_or(text.len());
        let is_comment = text.starts_with('#');
        return Some(if is_comment { String::new() } else { text.get(..end)?.trim_end().to_owned() });
    };
    let mut value = String::new();
    let mut letters = text.chars();
    letters.next();
    loop {
        match letters.next()? {
            letter if letter == quote => break,
            '\\' if quote == '"' => match letters.next()? {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                escaped @ ('"' | '\\' | '$') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            letter => value.push(letter),
        }
    }
    let rest = letters.as_str().trim_start();
    (rest.is_empty() || rest.starts_with('#')).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let found = read(&format!("OTHER\n{line}"), |name| name == "A");
        let expected = expected.map(|value| vec![("A".to_owned(), value.to_owned())]).ok_or(2);
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn values_as_they_are_meant() {
        check("A=300      # 5 minutes (in seconds)", Some("300"));
        check("A=My App", Some("My App"));
        check("A=pa$$w0rd$HOME", Some("pa$$w0rd$HOME"));
        check("A=#none", Some(""));
        check("A=", Some(""));
        check("A=a#b", Some("a#b"));
        check("  export A = x ", Some("x"));
        check("A='it''s' # one", None);
        check("A='a $b \\n' # one", Some("a $b \\n"));
        check(
            "A=\"django-insecure-rq1k3nfrru@\\$ds6bwf\\$t&3hk*(j\"",
            Some("django-insecure-rq1k3nfrru@$ds6bwf$t&3hk*(j"),
        );
        check("A=\"a\\tb\\d \\\"c\\\" $x ${HOME}\"#", Some("a\tb\\d \"c\" $x ${HOME}"));
        check("A=\"open", None);
        check("A=\"a\" b", None);
        check("A='", None);
    }

    #[test]
    fn other_peoples_lines_are_not_looked_at() {
        let text = "# A=comment\nB=\"open\nnothing\n=x\nA=1\nA=2\n";
        let both = [("A", "1"), ("A", "2")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(text, |name| name == "A"), Ok(both.to_vec()));
    }
}
