//! The walk of a filter that is being built: once through all numbers there are, page by page.
//!
//! The memtable first and the runs behind it: what a fold takes out of the memtable meanwhile is in a run by then. What is
//! written during the walk is added to the filter by the writer.

use std::{ops::Bound, sync::Arc};

use super::{
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
        /// In the one before.
        current: Option<Box<Cursor>>,
    },
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
                    None => Self::Parts {
                        rest: runs.list().iter().flat_map(|run| run.parts.clone()).collect(),
                        current: None,
                    },
                }))
            }
            Self::Parts { rest, current: Some(part) } => {
                let current = page(part, filter)?;
                Ok(Some(Self::Parts { rest, current }))
            }
            Self::Parts { mut rest, current: None } => {
                let Some(part) = rest.pop() else { return Ok(None) };
                let cursor = Cursor::new(&[part], Bound::Unbounded)?;
                Ok(Some(Self::Parts { rest, current: Some(Box::new(cursor)) }))
            }
        }
    }
}

/// Notes a part's next numbers; `None` at its end.
fn page(mut cursor: Box<Cursor>, filter: &Filter) -> Result<Option<Box<Cursor>>, EngineError> {
    let mut keys = Vec::with_capacity(PAGE);
    while keys.len() < PAGE
        && let Some(number) = cursor.number()
    {
        keys.push(Key::from(number));
        cursor.advance()?;
    }
    filter.note(keys.into_iter());
    Ok(cursor.number().map(|_| cursor))
}
