//! The journal's files: their names, when a new one begins, and how long they are kept.
//!
//! `audit/2026-11-20.0001.jsonl`, the day in UTC and a number that rises with each file of the day; states in a directory
//! beside, `1790000000000.state`. Sorted by name, files are in order.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::line::{Line, Stated, hex};
use crate::record::{DAY, UnixMillis};

const MIB: u64 = 1 << 20;

/// Where the journal is.
#[derive(Debug, Clone)]
pub struct Places {
    /// The lines.
    pub journal: PathBuf,
    /// The states that lines name.
    pub states: PathBuf,
}

impl Places {
    /// Those of a data directory.
    pub fn of(data: &Path) -> Self {
        Self { journal: data.join("audit"), states: data.join("guard") }
    }

    /// The journal's files, oldest first.
    ///
    /// # Errors
    /// The directory cannot be read; one that is not there has no files.
    pub fn lines(&self) -> io::Result<Vec<PathBuf>> {
        sorted(&self.journal, ".jsonl")
    }
}

/// Limits of the journal.
#[derive(Debug, Clone, Copy)]
pub struct JournalSettings {
    /// Lines that may wait for the disk.
    pub queue_max: usize,
    /// A file that is larger is followed by a new one, MiB.
    pub file_mib_max: u64,
    /// All files together, MiB; the oldest go first.
    pub mib_max: u64,
    /// Days kept.
    pub days: u64,
    /// States kept.
    pub states_max: usize,
}

/// The file being written, and its neighbours.
#[derive(Debug)]
pub(super) struct Files {
    places: Places,
    settings: JournalSettings,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    day: u64,
    path: PathBuf,
    out: BufWriter<File>,
    bytes: u64,
}

impl Files {
    /// Makes the directories.
    pub(super) fn open(places: Places, settings: JournalSettings) -> io::Result<Self> {
        for directory in [&places.journal, &places.states] {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        Ok(Self { places, settings, current: None })
    }

    /// Appends a line.
    pub(super) fn append(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let current = self.current(line.at())?;
        current.out.write_all(text.as_bytes())?;
        current.bytes += text.len() as u64;
        Ok(())
    }

    /// Writes a state and the line that names it. The state is durable before the line is written.
    pub(super) fn append_state(&mut self, stated: Stated) -> io::Result<()> {
        let Stated { mut line, bytes } = stated;
        line.sha256 = hex(&bytes);
        let free = (0..).map(|later| format!("{:013}.state", line.at.0 + later));
        let path_of = |name: &String| self.places.states.join(name);
        let Some(name) = free.take(1_000).find(|name| !path_of(name).exists()) else {
            return Err(io::Error::other("a thousand states of one second"));
        };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path_of(&name))?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        line.file = name;
        self.append(&Line::State(line))
    }

    /// Hands what is buffered to the system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.current.as_mut().map_or(Ok(()), |current| current.out.flush())
    }

    /// Makes what is written survive a power cut.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.flush()?;
        self.current.as_ref().map_or(Ok(()), |current| current.out.get_ref().sync_data())
    }

    /// Begins a new file with the next line, because this one failed.
    pub(super) fn give_up_current(&mut self) {
        // What is in the buffer has been counted as lost.
        if let Some(current) = self.current.take() {
            let (_file, _lost) = current.out.into_parts();
        }
    }

    fn current(&mut self, at: UnixMillis) -> io::Result<&mut Current> {
        let day = at.0 / DAY;
        let is_over = |current: &Current| day > current.day || current.bytes >= self.settings.file_mib_max * MIB;
        if self.current.as_ref().is_none_or(is_over) {
            self.sync()?;
            let begun = self.begin(at)?;
            self.current = Some(begun);
            self.forget(day)?;
        }
        self.current.as_mut().ok_or_else(|| io::Error::other("no file"))
    }

    /// The newest file of the day if it can be continued, else a new one.
    fn begin(&self, at: UnixMillis) -> io::Result<Current> {
        let (day, date) = (at.0 / DAY, date(at));
        let newest = self.places.lines()?.pop();
        let of_today = |path: &PathBuf| name(path).starts_with(&date);
        if let Some(path) = newest.iter().find(|path| of_today(path) && self.current.is_none()) {
            let mut file = OpenOptions::new().read(true).append(true).open(path)?;
            let bytes = file.metadata()?.len();
            if bytes < self.settings.file_mib_max * MIB && ends_whole(&mut file)? {
                return Ok(Current { day, path: path.clone(), out: BufWriter::new(file), bytes });
            }
        }
        let number = newest.filter(of_today).and_then(|path| name(&path).split('.').nth(1)?.parse::<u32>().ok());
        let path = self.places.journal.join(format!("{date}.{:04}.jsonl", number.unwrap_or(0) + 1));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
        // The name, too, must survive.
        File::open(&self.places.journal)?.sync_all()?;
        Ok(Current { day, path, out: BufWriter::new(file), bytes: 0 })
    }

    /// Deletes what is too old or too much, never the file that is being written.
    fn forget(&self, today: u64) -> io::Result<()> {
        let first_day = UnixMillis(today.saturating_sub(self.settings.days.saturating_sub(1)) * DAY);
        let first = date(first_day);
        let mut states = sorted(&self.places.states, ".state")?;
        let too_many = states.len().saturating_sub(self.settings.states_max);
        for old in states.drain(..too_many) {
            fs::remove_file(old)?;
        }
        let files: Vec<PathBuf> = states.into_iter().chain(self.places.lines()?).collect();
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let mut total: u64 = files.iter().map(size).sum();
        let mut by_age: Vec<(String, PathBuf)> = files.into_iter().map(|path| (day_of(&path), path)).collect();
        by_age.sort();
        for (day, path) in by_age {
            let is_current = self.current.as_ref().is_some_and(|current| current.path == path);
            if is_current || (day >= first && total <= self.settings.mib_max * MIB) {
                continue;
            }
            total = total.saturating_sub(size(&path));
            fs::remove_file(&path)?;
        }
        Ok(())
    }
}

/// `2026-11-20`.
fn date(at: UnixMillis) -> String {
    let timestamp = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.unwrap_or(jiff::Timestamp::UNIX_EPOCH).strftime("%Y-%m-%d").to_string()
}

/// The day of a file by its name: of a state the day it was told on.
fn day_of(path: &Path) -> String {
    let name = name(path);
    let told_at = name.strip_suffix(".state").and_then(|ms| ms.parse().ok());
    told_at.map_or_else(|| name.split('.').next().unwrap_or_default().to_owned(), |ms| date(UnixMillis(ms)))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn sorted(directory: &Path, suffix: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = paths.into_iter().filter(|path| name(path).ends_with(suffix)).collect();
    paths.sort();
    Ok(paths)
}

/// True if the last line was written to its end: no crash cut it.
fn ends_whole(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}
