//! The command line as an operator meets it: the real binary, real processes, real files, port 0.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, clippy::expect_used, reason = "tests")]

mod cli {
    //! The parts of this binary.
    mod config;
    mod data;
    mod demo;
    pub(crate) mod harness;
    mod keys;
    mod replay;
}
