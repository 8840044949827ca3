//! The walk of a filter that is being built: once through all numbers there are, page by page.
//!
//! The memtable first and the runs behind it: what a fold takes out of the memtable meanwhile is in a run by then. What is
//! written during the walk is added to the filter by the writer. Parts of runs that have no filter of their own yet, which
//! are those from before the start, get theirs on the way: the small ones first, which are the many.

use std::{cmp::Reverse, ops::Bound, sync::Arc};

use super::{
    chunk::Number,
    engine::{EngineError, numbers},
    filter::Filter,
    key::Key,
    memtable::Memtable,
    run::{Cursor, Part},
    runs::Runs,
};

/// Entries looked at in one page: some hundred microseconds.
pub(super) const PAGE: usize = 1_024;

/// How far it has come.
pub(super) enum Walk {
    /// In the memtable, behind this key.
    Memtable(Option<Key>),
    /// In the parts.
    Parts {
        /// The next one last.
        rest: Vec<Arc<Part>>,
        /// The one it is in.
        current: Option<Box<InPart>>,
    },
}

/// A part on the way.
pub(super) struct InPart {
    part: Arc<Part>,
    cursor: Cursor,
    /// What was seen of it, if it has no filter yet.
    seen: Vec<Number>,
}

impl Default for Walk {
    fn default() -> Self {
        Self::Memtable(None)
    }
}

impl Walk {
    /// Notes the next page's numbers; `None`: that was the last one.
    pub(super) fn page(self, memtable: &Memtable, runs: &Runs, filter: &Filter) -> Result<Option<Self>, EngineError> {
        match self {
            Self::Memtable(after) => {
                let (entries, next) = memtable.range(&numbers(after), PAGE);
                filter.note(entries.keys().copied());
                Ok(Some(match next {
                    Some(next) => Self::Memtable(Some(next)),
                    None => Self::Parts { rest: parts(runs), current: None },
                }))
            }
            Self::Parts { rest, current: Some(part) } => {
                let current = part.page(filter)?;
                Ok(Some(Self::Parts { rest, current }))
            }
            Self::Parts { mut rest, current: None } => {
                let Some(part) = rest.pop() else { return Ok(None) };
                let cursor = Cursor::new(std::slice::from_ref(&part), Bound::Unbounded)?;
                Ok(Some(Self::Parts { rest, current: Some(Box::new(InPart { part, cursor, seen: Vec::new() })) }))
            }
        }
    }
}

/// Those of the smallest run last.
fn parts(runs: &Runs) -> Vec<Arc<Part>> {
    let mut list = runs.list().to_vec();
    list.sort_by_key(|run| Reverse(run.entries));
    list.iter().flat_map(|run| run.parts.iter().cloned()).collect()
}

impl InPart {
    /// Goes on; `None` at the part's end.
    fn page(mut self: Box<Self>, filter: &Filter) -> Result<Option<Box<Self>>, EngineError> {
        let begin = self.seen.len();
        while self.seen.len() - begin < PAGE
            && let Some(number) = self.cursor.number()
        {
            self.seen.push(number);
            self.cursor.advance()?;
        }
        let fresh = self.seen.get(begin..).unwrap_or_default();
        filter.note(fresh.iter().copied().map(Key::from));
        if self.cursor.number().is_some() {
            return Ok(Some(self));
        }
        self.part.set_filter(&self.seen);
        Ok(None)
    }
}
