//! Reads the journal back, file after file.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    path::PathBuf,
};

use super::line::Line;

/// Longest line: many times what we write.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// What is wrong with a journal. Names file and line, never what stands there.
#[derive(Debug, thiserror::Error)]
pub enum JournalFault {
    /// A file cannot be read.
    #[error("{file}: cannot be read: {kind}")]
    Io {
        /// Its bare name.
        file: String,
        /// Why.
        kind: io::ErrorKind,
    },
    /// A line is none of ours.
    #[error("{file}: line {line} is not a line of the journal")]
    Malformed {
        /// Its bare name.
        file: String,
        /// Which, from 1.
        line: u64,
    },
}

/// The lines of some files, in the order given.
#[derive(Debug)]
pub struct Reader {
    files: std::vec::IntoIter<PathBuf>,
    open: Option<(String, BufReader<File>)>,
    line: u64,
    torn: u64,
}

impl Reader {
    /// Reads these files one after the other.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { files: files.into_iter(), open: None, line: 0, torn: 0 }
    }

    /// Last lines that a crash has cut; they are left out.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// Where the last line stood.
    pub fn place(&self) -> String {
        self.open.as_ref().map_or_else(String::new, |(file, _)| format!("{file} line {}", self.line))
    }

    fn read(&mut self) -> Result<Option<Line>, JournalFault> {
        loop {
            let Some((file, reader)) = &mut self.open else {
                let Some(path) = self.files.next() else { return Ok(None) };
                let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let opened =
                    File::open(&path).map_err(|error| JournalFault::Io { file: file.clone(), kind: error.kind() })?;
                (self.open, self.line) = (Some((file, BufReader::new(opened))), 0);
                continue;
            };
            let mut text = Vec::new();
            let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut text);
            read.map_err(|error| JournalFault::Io { file: file.clone(), kind: error.kind() })?;
            if text.is_empty() {
                self.open = None;
                continue;
            }
            self.line += 1;
            let is_whole = text.last() == Some(&b'\n');
            match serde_json::from_slice(&text) {
                Ok(line) if is_whole => return Ok(Some(line)),
                Ok(_) | Err(_) if !is_whole && (text.len() as u64) < LINE_BYTES_MAX => self.torn += 1,
                Ok(_) | Err(_) => return Err(JournalFault::Malformed { file: file.clone(), line: self.line }),
            }
        }
    }
}

impl Iterator for Reader {
    type Item = Result<Line, JournalFault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}
