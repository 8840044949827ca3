//! How commands talk: results on standard output, notes and questions on standard error.
//!
//! Owns tables, times and yes-or-no questions. Never decides what is said.

use std::{
    fs,
    io::{self, IsTerminal as _, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use super::Failed;
use crate::record::UnixMillis;

/// A result: all of it, or the command failed.
pub(super) fn result(text: &str) -> Result<(), Failed> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|error| Failed::new(format!("cannot write to standard output: {}", error.kind())))
}

/// A line for the person at the terminal. Nobody reads it if it cannot be written, so that is no failure.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Asks before something that cannot be undone. `yes` (the option `--yes`) has answered already; without it and
/// without a terminal nobody can, and nothing is done.
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failed> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failed::new("this cannot be undone, and there is no terminal to ask at: say --yes if it is meant"));
    }
    let mut err = io::stderr().lock();
    let _ = write!(err, "{question} [y/N] ").and_then(|()| err.flush());
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failed::new(format!("no answer: {}", error.kind())))?;
    let meant = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if meant { Ok(()) } else { Err(Failed::new("nothing was changed")) }
}

/// Columns wide enough for their longest entry, two spaces between them.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = head.map(|title| title.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in std::iter::once(&head.map(str::to_owned)).chain(rows) {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A time, to the second, in UTC (RFC 3339).
pub(super) fn time(at: UnixMillis) -> String {
    let timestamp = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map(|timestamp| format!("{timestamp:.0}")).unwrap_or_default()
}

/// A length of time in its largest round unit.
pub(super) fn length(seconds: u64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let round = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    let (unit, name) = round.unwrap_or((1, "second"));
    counted(seconds / unit, name)
}

/// `1 record`, `2 records`.
pub(super) fn counted(count: u64, name: &str) -> String {
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

/// Warns when a file that was just written has another owner than its directory: the usual cause is a command run as
/// root beside a server that is not, and the server could not read the file.
pub(super) fn warn_of_owner(file: &Path) {
    let owner = |path: &Path| fs::metadata(path).map(|metadata| metadata.uid()).ok();
    let (of_file, of_directory) = (owner(file), file.parent().and_then(owner));
    if let (Some(of_file), Some(of_directory)) = (of_file, of_directory)
        && of_file != of_directory
    {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        note(&format!(
            "warning: {name} now belongs to user {of_file}, its directory to user {of_directory}: \
             the server may not be able to read it"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_longest_entry() {
        let rows =
            [["a".to_owned(), "long entry".to_owned(), "x".to_owned()], ["é".to_owned(), String::new(), "y".into()]];
        let expected = "ID  NAME        Z\na   long entry  x\né               y\n";
        assert_eq!(table(["ID", "NAME", "Z"], &rows), expected);
    }

    #[test]
    fn lengths_and_times_read_well() {
        for (seconds, text) in
            [(1, "1 second"), (90, "90 seconds"), (900, "15 minutes"), (86_400, "1 day"), (7_200, "2 hours")]
        {
            assert_eq!(length(seconds), text);
        }
        assert_eq!(time(UnixMillis(1_767_225_600_999)), "2026-01-01T00:00:00Z");
    }
}
