//! The write-ahead log: a batch is durable when it stands here and the file is synced. sled gets it later.
//!
//! A few segment files in a directory of their own. One is appended to; sealed ones wait until sled has what they
//! hold; free ones are written over from the start, so that in the long run no file grows and a sync has nothing but
//! data to write (`fdatasync` of an overwritten block: half of what it costs where the file's size changes, too).
//!
//! A record is `[length u32][crc32 u32][epoch u64][sequence u64][batch]`, big-endian; the sum covers all behind it. The
//! sequence grows by one with each record of the log, over all segments; the epoch by one with each opening. So the end
//! of a segment is where the next sequence is missing, and what is left there from earlier is never taken for new:
//! neither an earlier round's (its sequence is lower) nor that of a torn write which a power cut left behind (its epoch
//! is lower than that of what was written over it).
//!
//! Owns the files and their bytes. Knows nothing of numbers, nor when to fold.

use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use sled::IVec;

use super::{key::Key, memtable::Ops};

/// Bytes before a record's batch.
const HEADER: usize = 24;
/// Of these, what the sum does not cover: length and sum.
const UNSUMMED: usize = 8;
/// What a segment grows by at least: zeros written ahead, so that records change no file size.
const STEP: u64 = 1 << 20;
/// And at most: whoever commits meanwhile waits until the disk has it.
const STEP_MAX: u64 = 4 << 20;
/// Free segments kept for the next round; more were needed only while a fold was slow.
const SPARE: usize = 1;

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum WalError {
    #[error("write-ahead log: {0}: {1}")]
    Io(&'static str, io::ErrorKind),
    /// Something that was durable is gone: better no start than one without it.
    #[error("the write-ahead log is damaged: records after {0} are missing")]
    Damaged(u64),
}

impl From<io::Error> for WalError {
    fn from(error: io::Error) -> Self {
        Self::Io("files", error.kind())
    }
}

/// The log, ready to be appended to.
#[derive(Debug)]
pub(super) struct Wal {
    directory: PathBuf,
    epoch: u64,
    /// Sequence of the last record.
    last: u64,
    /// Bytes that a segment may have.
    segment_max: u64,
    active: Segment,
    sealed: Vec<Sealed>,
    free: Vec<Segment>,
    /// Number in the name of the next new file.
    next_name: u64,
}

#[derive(Debug)]
struct Segment {
    path: PathBuf,
    file: Arc<File>,
    /// Where the next record goes.
    end: u64,
    /// How long the file is.
    length: u64,
    /// Something was appended since the last sync.
    unsynced: bool,
}

/// A segment that takes no more.
#[derive(Debug)]
struct Sealed {
    segment: Segment,
    last: u64,
}

/// A record as it was found.
struct Found<'a> {
    epoch: u64,
    sequence: u64,
    batch: &'a [u8],
    end: usize,
}

impl Wal {
    /// Opens or makes the log and answers what sled has not got: all records after `folded`, in order, as one.
    /// `epoch` must be higher than ever before.
    pub(super) fn open(directory: &Path, epoch: u64, folded: u64, segment_max: u64) -> Result<(Self, Ops), WalError> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut segments = Vec::new();
        let mut replay = Vec::new();
        let mut next_name = 0;
        for entry in std::fs::read_dir(directory)? {
            let path = entry?.path();
            let Some(number) = number_of(&path) else { continue };
            next_name = next_name.max(number + 1);
            let bytes = std::fs::read(&path)?;
            let mut segment = Segment::open(path)?;
            let (mut last, mut batches) = (0, Vec::new());
            for found in records(&bytes).filter(|found| found.sequence > folded) {
                (last, segment.end) = (found.sequence, found.end as u64);
                batches.push((found.sequence, decode(found.batch).ok_or(WalError::Damaged(found.sequence - 1))?));
            }
            replay.append(&mut batches);
            segments.push(Sealed { segment, last });
        }
        segments.sort_by_key(|sealed| sealed.last);
        replay.sort_by_key(|(sequence, _)| *sequence);
        let mut last = folded;
        let mut ops = Ops::new();
        for (sequence, batch) in replay {
            if sequence != last + 1 {
                return Err(WalError::Damaged(last));
            }
            last = sequence;
            ops.extend(batch);
        }
        let (free, mut sealed): (Vec<_>, Vec<_>) = segments.into_iter().partition(|sealed| sealed.last == 0);
        let mut free: Vec<Segment> = free.into_iter().map(|sealed| sealed.segment).collect();
        let active = match sealed.pop().map(|newest| newest.segment).or_else(|| free.pop()) {
            Some(segment) => segment,
            None => Segment::make(directory, &mut next_name)?,
        };
        let directory = directory.to_owned();
        let mut wal = Self { directory, epoch, last, segment_max, active, sealed, free, next_name };
        wal.trim()?;
        // A kill leaves what was written in the page cache alone: what is replayed is relied on from here.
        wal.sync()?;
        for sealed in &wal.sealed {
            sealed.segment.file.sync_data()?;
        }
        File::open(&wal.directory)?.sync_all()?;
        Ok((wal, ops))
    }

    /// Sequence of the last record.
    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Could a record with so many bytes of batch be appended?
    pub(super) fn has_room(&self, batch_bytes: u64) -> bool {
        self.active.end + HEADER as u64 + batch_bytes <= self.segment_max
    }

    /// Time to fold, before there is no room.
    pub(super) fn is_half_full(&self) -> bool {
        self.active.end > self.segment_max / 2
    }

    /// A fold that begins now must not take its time.
    pub(super) fn is_mostly_full(&self) -> bool {
        self.active.end > self.segment_max / 8 * 5
    }

    /// Writes a record. It is durable after the next [`Self::sync`].
    pub(super) fn append(&mut self, ops: &Ops) -> Result<(), WalError> {
        let sequence = self.last + 1;
        let mut record = vec![0; HEADER];
        encode(ops, &mut record);
        let length = u32::try_from(record.len() - HEADER).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        put(&mut record, 0, &length.to_be_bytes());
        put(&mut record, 8, &self.epoch.to_be_bytes());
        put(&mut record, 16, &sequence.to_be_bytes());
        let sum = crc32fast::hash(record.get(UNSUMMED..).unwrap_or_default());
        put(&mut record, 4, &sum.to_be_bytes());
        self.active.write(&record, self.segment_max)?;
        self.last = sequence;
        Ok(())
    }

    /// Makes what was appended durable.
    pub(super) fn sync(&mut self) -> Result<(), WalError> {
        if let Some(file) = self.take_unsynced() {
            file.sync_data().map_err(|error| WalError::Io("sync", error.kind()))?;
        }
        Ok(())
    }

    /// The file that is to be synced, if there is anything to sync. It counts as synced from now on: who takes it syncs
    /// it, or stops the store.
    pub(super) fn take_unsynced(&mut self) -> Option<Arc<File>> {
        std::mem::take(&mut self.active.unsynced).then(|| Arc::clone(&self.active.file))
    }

    /// Goes on in another segment; what was written so far waits in the sealed ones for [`Self::forget`].
    pub(super) fn seal(&mut self) -> Result<(), WalError> {
        // Before anything stands behind it: a gap in the middle of the log would be taken for damage.
        self.sync()?;
        let next = match self.free.pop() {
            Some(free) => free,
            None => Segment::make(&self.directory, &mut self.next_name)?,
        };
        let segment = std::mem::replace(&mut self.active, next);
        self.sealed.push(Sealed { segment, last: self.last });
        Ok(())
    }

    /// sled durably has everything up to `folded`: sealed segments with nothing else in them are free again.
    pub(super) fn forget(&mut self, folded: u64) -> Result<(), WalError> {
        let (over, sealed) = std::mem::take(&mut self.sealed).into_iter().partition(|sealed| sealed.last <= folded);
        self.sealed = sealed;
        let over: Vec<Sealed> = over;
        self.free.extend(over.into_iter().map(|sealed| Segment { end: 0, ..sealed.segment }));
        self.trim()
    }

    fn trim(&mut self) -> Result<(), WalError> {
        for segment in self.free.split_off(SPARE.min(self.free.len())) {
            std::fs::remove_file(&segment.path)?;
        }
        Ok(())
    }

    /// Every sync fails from now on: `/dev/null` knows none.
    #[cfg(test)]
    pub(super) fn break_sync(&mut self) {
        self.active.file = Arc::new(OpenOptions::new().read(true).write(true).open("/dev/null").unwrap());
        self.active.length = u64::MAX; // it grows no more
    }
}

impl Segment {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self { path, file: Arc::new(file), end: 0, length, unsynced: true })
    }

    fn make(directory: &Path, next_name: &mut u64) -> io::Result<Self> {
        let segment = Self::open(directory.join(format!("{PREFIX}{next_name}")))?;
        *next_name += 1;
        File::open(directory)?.sync_all()?; // a file that nobody finds after a power cut holds nothing
        Ok(segment)
    }

    fn write(&mut self, record: &[u8], length_max: u64) -> io::Result<()> {
        let end = self.end + record.len() as u64;
        if end > self.length {
            // Doubling: an idle server's log stays small, and a busy one's soon grows no more.
            let ahead = self.length + self.length.clamp(STEP, STEP_MAX);
            self.grow(end.max(ahead.min(length_max)))?;
        }
        self.file.write_all_at(record, self.end)?;
        (self.end, self.unsynced) = (end, true);
        Ok(())
    }

    fn grow(&mut self, length: u64) -> io::Result<()> {
        let zeros = vec![0; usize::try_from(STEP).unwrap_or_default()];
        while self.length < length {
            let step = (length - self.length).min(STEP);
            self.file
                .write_all_at(zeros.get(..usize::try_from(step).unwrap_or_default()).unwrap_or(&zeros), self.length)?;
            self.length += step;
        }
        self.file.sync_all()
    }
}

/// What segment files are called, before their number.
const PREFIX: &str = "segment-";

fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(PREFIX)?.parse().ok()
}

/// The records of a segment from its start, up to the first place where there is none.
fn records(bytes: &[u8]) -> impl Iterator<Item = Found<'_>> {
    let mut before: Option<(u64, u64, usize)> = None;
    std::iter::from_fn(move || {
        let start = before.map_or(0, |(.., end)| end);
        let found = record_at(bytes, start)?;
        if let Some((epoch, sequence, _)) = before
            && (found.sequence != sequence + 1 || found.epoch < epoch)
        {
            return None;
        }
        before = Some((found.epoch, found.sequence, found.end));
        Some(found)
    })
}

fn record_at(bytes: &[u8], start: usize) -> Option<Found<'_>> {
    let rest = bytes.get(start..)?;
    let (length, after_length) = rest.split_first_chunk::<4>()?;
    let (sum, after_sum) = after_length.split_first_chunk::<4>()?;
    let (epoch, after_epoch) = after_sum.split_first_chunk::<8>()?;
    let (sequence, _) = after_epoch.split_first_chunk::<8>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let end = HEADER.checked_add(length)?;
    let record = rest.get(..end)?;
    let whole = crc32fast::hash(record.get(UNSUMMED..)?) == u32::from_be_bytes(*sum);
    (whole && length > 0).then_some(Found {
        epoch: u64::from_be_bytes(*epoch),
        sequence: u64::from_be_bytes(*sequence),
        batch: record.get(HEADER..)?,
        end: start + end,
    })
}

/// Length of a value that is a deletion.
const DELETED: u32 = u32::MAX;
/// Bytes that an entry takes beside its key and value.
pub(super) const ENTRY_OVERHEAD: usize = 5;

/// `[key length u8][key][value length u32][value]` each.
fn encode(ops: &Ops, bytes: &mut Vec<u8>) {
    let length = |(key, value): (&Key, &Option<IVec>)| {
        key.as_ref().len() + value.as_deref().map_or(0, <[u8]>::len) + ENTRY_OVERHEAD
    };
    bytes.reserve(ops.iter().map(length).sum());
    for (key, value) in ops {
        let key = key.as_ref();
        bytes.push(u8::try_from(key.len()).unwrap_or(u8::MAX)); // at most 16
        bytes.extend_from_slice(key);
        let length = value.as_ref().map_or(DELETED, |value| u32::try_from(value.len()).unwrap_or(DELETED));
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(value.as_deref().unwrap_or_default());
    }
}

fn decode(mut bytes: &[u8]) -> Option<Ops> {
    let mut ops = Ops::new();
    while let Some((length, rest)) = bytes.split_first() {
        let (key, rest) = rest.split_at_checked(usize::from(*length))?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length);
        let (value, rest) = if length == DELETED {
            (None, rest)
        } else {
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Some(IVec::from(value)), rest)
        };
        ops.insert(Key::new(key)?, value);
        bytes = rest;
    }
    Some(ops)
}

fn put(record: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = record.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests;
