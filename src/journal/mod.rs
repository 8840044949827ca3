//! The audit journal of the guard: every question and every answer, in the order in which they were decided.
//!
//! JSON lines in files of a day (`line` has the form), under a directory of their own, 0700 and 0600. A number stands in
//! it sealed: 32 hexadecimal digits that only the holder of `sealing.keys` can open, other ones each time, and masked for
//! people. `otpd replay` reads it and decides everything anew.
//!
//! Written by one thread behind a bounded queue, so that no request waits for the disk. What does not fit is counted and
//! told by a `gap` line, and the guard's whole state follows it. The disk is synced about once a second: after a power cut
//! the last second may be missing, after `kill -9` what was still in the queue: the lines of some milliseconds.
//!
//! The state that a `state` line names has full numbers in it, so it is a file of its own, outside the journal.

mod files;
mod line;
mod reader;
mod replay;
mod writer;

#[cfg(test)]
mod tests;

pub use files::{JournalSettings, Places};
pub use line::{AskedLine, Line, StateLine, Stated, state_digest};
pub use reader::{JournalFault, Reader};
pub use replay::{Difference, Hits, Replay, Report, States};
pub use writer::Journal;
