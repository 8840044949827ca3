//! The two headers of proof of work: what a client is asked, and what it answers. The same at every door.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// `Proof-Of-Work` of a request: the challenge, a colon and the number that solves it.
pub const PROOF_OF_WORK: HeaderName = HeaderName::from_static("proof-of-work");
/// `Proof-Of-Work-Challenge` of a 428: the challenge and how many zero bits are asked.
pub const PROOF_OF_WORK_CHALLENGE: HeaderName = HeaderName::from_static("proof-of-work-challenge");

/// The proof that came along. One that is repeated or no text is one that solves nothing.
pub(super) fn given(headers: &HeaderMap) -> Option<String> {
    let mut lines = headers.get_all(PROOF_OF_WORK).iter();
    let line = lines.next()?;
    let text = line.to_str().ok().filter(|_| lines.next().is_none());
    Some(text.unwrap_or_default().trim().to_owned())
}

/// Writes `Proof-Of-Work-Challenge: <challenge>; bits=18`.
pub(super) fn ask(headers: &mut HeaderMap, challenge: &str, bits: u8) {
    if let Ok(line) = HeaderValue::try_from(format!("{challenge}; bits={bits}")) {
        headers.insert(PROOF_OF_WORK_CHALLENGE, line);
    }
}
