//! Tokens, signing keys and API keys from outside: what is accepted, what is forged, what the files look like.
//! Needs no server. Numbers in doc comments are rows of the security requirements.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod api_keys;
mod forged;
mod keys;
mod kit;
mod read;
