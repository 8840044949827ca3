//! A run: entries of numbers in their order, written once and never changed, as LSM trees have them.
//!
//! Why not number by number into one tree: sled has 16 entries in a leaf, and of a million numbers each new one falls into
//! another leaf, which is read back, copied, split and written for it alone: 7 to 13 µs of CPU, and with ten million half
//! of all throughput. A run is written from its first number to its last: 1 µs per number, however many there are.
//!
//! A run has parts, each a tree of sled with chunks by their first number, so that dropping it frees memory and disk piece
//! by piece. Knows nothing of other runs; which there are, and in which order, is told by `runs`.

use std::{
    ops::{Bound, RangeBounds as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use sled::IVec;

use super::{
    chunk::{self, CHUNK_BYTES, Damaged, Entry, Number},
    engine::EngineError,
    filter::PartFilter,
    outbox::BEHIND_NUMBERS,
    tree::Tree,
};

/// Bytes after which a run goes on in another part. A kill in the middle of a drop leaves at most so much behind that is
/// never used again.
const PART_BYTES: usize = 32 << 20;

/// What the keys of a part's filter begin with, which stands in pieces behind all chunks.
const FILTER: u8 = BEHIND_NUMBERS;

/// Some neighbouring numbers of a run.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) id: u64,
    /// Its lowest number.
    first: Number,
    /// Chunks by their first number, and behind them the filter.
    chunks: sled::Tree,
    filter: Option<PartFilter>,
}

impl Part {
    /// One that is there, with this lowest number.
    pub(super) fn open(tree: &Tree, id: u64, first: Number) -> Result<Self, EngineError> {
        let chunks = tree.part(id)?;
        let pieces = chunks.range([FILTER]..).values().collect::<Result<Vec<_>, _>>()?;
        let filter = PartFilter::from_bytes(&pieces.concat());
        Ok(Self { id, first, chunks, filter })
    }

    /// The first chunk within the bound, and its first number.
    ///
    /// By a search for each and not by an iterator, which tells sled's cache of a leaf once: it evicts nothing before 64
    /// leaves of a shard were asked for, and with 256 shards whoever reads everything once left half a GiB beside the
    /// cache. A leaf has 8 chunks and more, so it is an eighth.
    fn chunk(&self, from: Bound<Number>) -> Result<Option<(Number, IVec)>, EngineError> {
        let from = from.map(|number| IVec::from(&number));
        let found = self.chunks.range((from, Bound::Excluded(IVec::from(&[FILTER])))).next();
        found.map(numbered).transpose()
    }

    /// The chunk that a number is in, if it is in one.
    fn chunk_of(&self, number: Number) -> Result<Option<(Number, IVec)>, EngineError> {
        let found = self.chunks.range(..=number).next_back();
        found.map(numbered).transpose()
    }

    /// What it says of a number; `Some(None)`: deleted.
    fn get(&self, number: Number) -> Result<Option<Option<IVec>>, EngineError> {
        if self.filter.as_ref().is_some_and(|filter| !filter.may_have(number)) {
            return Ok(None);
        }
        let Some((_, chunk)) = self.chunk_of(number)? else { return Ok(None) };
        Ok(chunk::find(&chunk, number)?.map(|value| value.map(IVec::from)))
    }
}

/// A chunk and its first number.
fn numbered(found: Result<(IVec, IVec), sled::Error>) -> Result<(Number, IVec), EngineError> {
    let (first, chunk) = found?;
    Ok((first.as_ref().try_into().map_err(|_| Damaged)?, chunk))
}

/// A run as it is listed on disk.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listed {
    entries: u64,
    deletions: u64,
    /// Each part's id and lowest number.
    parts: Vec<(u64, Number)>,
}

impl Listed {
    /// Opens its parts.
    pub(super) fn open(self, tree: &Tree) -> Result<Run, EngineError> {
        let open = |(id, first)| Part::open(tree, id, first).map(Arc::new);
        let parts = self.parts.into_iter().map(open).collect::<Result<_, EngineError>>()?;
        Ok(Run { entries: self.entries, deletions: self.deletions, parts })
    }
}

/// A run.
#[derive(Debug)]
pub(super) struct Run {
    /// Deletions included.
    pub(super) entries: u64,
    pub(super) deletions: u64,
    pub(super) parts: Vec<Arc<Part>>,
}

impl Run {
    pub(super) fn listed(&self) -> Listed {
        let parts = self.parts.iter().map(|part| (part.id, part.first)).collect();
        Listed { entries: self.entries, deletions: self.deletions, parts }
    }

    /// What it says of a number; `Some(None)`: deleted.
    pub(super) fn get(&self, number: Number) -> Result<Option<Option<IVec>>, EngineError> {
        let behind = self.parts.partition_point(|part| part.first <= number);
        let part = behind.checked_sub(1).and_then(|at| self.parts.get(at));
        part.map_or(Ok(None), |part| part.get(number))
    }
}

/// Goes through runs and parts.
pub(super) struct Cursor {
    /// Parts that are still to come, the next one last.
    parts: Vec<Arc<Part>>,
    /// The part it is in, which is not dropped while it is, and where its next chunk begins.
    current: Option<(Arc<Part>, Bound<Number>)>,
    chunk: IVec,
    /// Where in the chunk the entry stands.
    at: usize,
    /// Its number; `None` at the end.
    number: Option<Number>,
}

impl Cursor {
    /// Stands at the first entry within the bound.
    pub(super) fn new(parts: &[Arc<Part>], from: Bound<Number>) -> Result<Self, EngineError> {
        let lowest = match from {
            Bound::Included(lowest) | Bound::Excluded(lowest) => Some(lowest),
            Bound::Unbounded => None,
        };
        let before = lowest.map_or(0, |lowest| parts.partition_point(|part| part.first <= lowest).saturating_sub(1));
        let mut parts: Vec<_> = parts.iter().skip(before).cloned().collect();
        parts.reverse();
        let mut current = parts.pop().map(begin);
        if let (Some((part, next)), Some(lowest)) = (&mut current, lowest)
            && let Some((first, _)) = part.chunk_of(lowest)?
        {
            *next = Bound::Included(first);
        }
        let mut cursor = Self { parts, current, chunk: IVec::default(), at: 0, number: None };
        cursor.settle()?;
        while cursor.number.is_some_and(|number| !(from, Bound::Unbounded).contains(&number)) {
            cursor.advance()?;
        }
        Ok(cursor)
    }

    /// The entry's number; `None` at the end.
    pub(super) fn number(&self) -> Option<Number> {
        self.number
    }

    /// The entry.
    pub(super) fn entry(&self) -> Option<Entry<'_>> {
        chunk::split_first(self.chunk.get(self.at..)?).map(|(entry, _)| entry)
    }

    /// On to the next entry.
    pub(super) fn advance(&mut self) -> Result<(), EngineError> {
        let rest = self.chunk.get(self.at..).and_then(chunk::split_first).map_or(0, |(_, rest)| rest.len());
        self.at = self.chunk.len() - rest;
        self.settle()
    }

    /// Finds the entry at or behind where it stands.
    fn settle(&mut self) -> Result<(), EngineError> {
        while self.at >= self.chunk.len() {
            (self.chunk, self.at) = (IVec::default(), 0);
            let Some((part, next)) = &mut self.current else {
                self.number = None;
                return Ok(());
            };
            match part.chunk(*next)? {
                Some((first, chunk)) => (*next, self.chunk) = (Bound::Excluded(first), chunk),
                None => self.current = self.parts.pop().map(begin),
            }
        }
        self.number = self.entry().map(|(number, _)| number);
        if self.number.is_some() { Ok(()) } else { Err(Damaged.into()) }
    }
}

fn begin(part: Arc<Part>) -> (Arc<Part>, Bound<Number>) {
    (part, Bound::Unbounded)
}

/// Writes a run. What it has written is of no use to anyone before it is listed, and dropped after the next start if it
/// never is.
pub(super) struct RunWriter<'a> {
    tree: &'a Tree,
    /// Where ids of parts come from.
    ids: &'a AtomicU64,
    run: Run,
    part: Option<Writing>,
}

/// A part that is being written.
struct Writing {
    id: u64,
    chunks: sled::Tree,
    bytes: usize,
    /// All of the part.
    numbers: Vec<Number>,
    chunk: Vec<u8>,
    /// The chunk's first.
    first: Number,
}

impl<'a> RunWriter<'a> {
    pub(super) fn new(tree: &'a Tree, ids: &'a AtomicU64) -> Self {
        Self { tree, ids, run: Run { entries: 0, deletions: 0, parts: Vec::new() }, part: None }
    }

    /// Takes the next entry, with a higher number than all before.
    pub(super) fn put(&mut self, entry: Entry<'_>) -> Result<(), EngineError> {
        let (number, value) = entry;
        if self.part.as_ref().is_some_and(|part| part.bytes >= PART_BYTES) {
            self.end_part()?;
        }
        let part = match &mut self.part {
            Some(part) => part,
            none => {
                let id = self.ids.fetch_add(1, Ordering::Relaxed);
                let chunks = self.tree.part(id)?;
                none.insert(Writing { id, chunks, bytes: 0, numbers: Vec::new(), chunk: Vec::new(), first: number })
            }
        };
        if chunk::is_full(&part.chunk, value) {
            part.end_chunk()?;
        }
        if part.chunk.is_empty() {
            part.first = number;
        }
        chunk::put(&mut part.chunk, entry);
        part.numbers.push(number);
        self.run.entries += 1;
        self.run.deletions += u64::from(value.is_none());
        Ok(())
    }

    fn end_part(&mut self) -> Result<(), EngineError> {
        let Some(mut part) = self.part.take() else { return Ok(()) };
        part.end_chunk()?;
        let Writing { id, chunks, numbers, .. } = part;
        let Some(first) = numbers.first().copied() else { return Ok(()) };
        let filter = PartFilter::of(&numbers);
        for (piece, at) in filter.to_bytes().chunks(CHUNK_BYTES).zip(0_u16..) {
            let [high, low] = at.to_be_bytes();
            chunks.insert([FILTER, high, low], piece)?;
        }
        let written = Part { id, first, chunks, filter: Some(filter) };
        self.run.parts.push(Arc::new(written));
        Ok(())
    }

    /// The run, all of it durable; `None`: nothing was put.
    pub(super) fn finish(mut self) -> Result<Option<Run>, EngineError> {
        self.end_part()?;
        if self.run.parts.is_empty() {
            return Ok(None);
        }
        self.tree.make_durable()?;
        Ok(Some(self.run))
    }

    /// What was written, to be dropped.
    pub(super) fn abandon(mut self) -> Result<Vec<Arc<Part>>, EngineError> {
        self.end_part()?;
        Ok(self.run.parts)
    }
}

impl Writing {
    fn end_chunk(&mut self) -> Result<(), EngineError> {
        self.chunks.insert(self.first, self.chunk.as_slice())?;
        self.bytes += self.chunk.len();
        self.chunk.clear();
        Ok(())
    }
}
