//! Tests of the pure core: what one number's record becomes, and never becomes.
//!
//! | File | What |
//! |---|---|
//! | `script` `world` `render` | scripts of one line a command with the outcome behind it, and what plays them |
//! | `sends` `checks` `sessions` `moves` `clocks` `retries` `passwords` `comparisons` `blocks` `shut` `receipts` | the rules, as scripts |
//! | `codes` | derived codes, sealed ids, refresh tokens, what `Debug` shows |
//! | `enumeration` `password_sequences` | every sequence of a few commands |
//! | `model` `asks` `answers` `properties` | random sequences against a naive model that keeps all history |
//! | `ways` | channels, another way after silence, test numbers |
//! | `snapshots` | golden bytes, damage, size |
//!
//! A script is written by typing the left side of each line and running with `UPDATE_EXPECT=1`; then it is read.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    clippy::or_fun_call,
    reason = "a test may fail loudly, and names only what it is about"
)]

mod answers;
mod asks;
mod blocks;
mod checks;
mod clocks;
mod codes;
mod comparisons;
mod enumeration;
mod model;
mod moves;
mod password_sequences;
mod passwords;
mod properties;
mod receipts;
mod render;
mod retries;
mod script;
mod sends;
mod sessions;
mod shut;
mod snapshots;
mod ways;
mod world;
