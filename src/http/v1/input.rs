//! Fields of `/v1` bodies: from text to the core's values. Faults name the field and what is expected.

use super::{
    super::problem::{Problem, ProblemCode},
    V1,
    refusal::Refused,
};
use crate::{
    record::{AUTO, CODE_DIGITS, Code, LOGIN, Label, PHONE_CHANGE, PhoneNumber},
    service::{code_input, number},
    sms::Channel,
};

/// Most characters of a purpose.
const PURPOSE_CHARS_MAX: usize = 20;
/// Most characters of a BCP 47 tag.
const LOCALE_CHARS_MAX: usize = 35;
/// Most of the caller's notes, and most bytes of them all.
const METADATA_ENTRIES_MAX: usize = 16;
const METADATA_BYTES_MAX: usize = 512;

/// A field that is not as it should be.
pub(super) fn invalid(pointer: &'static str, message: &'static str) -> Refused {
    Problem::new(ProblemCode::InvalidField).field(pointer, message).into()
}

/// The number of `to`, with the request's region if it names one.
pub(super) fn phone(v1: &V1, to: &str, region: Option<&str>) -> Result<PhoneNumber, Refused> {
    number::parse(to, &v1.numbers, region).map_err(|error| {
        v1.service.count_refusal(&v1.dialect, "number");
        let pointer = if error == number::NumberError::UnknownRegion { "/region" } else { "/to" };
        Problem::new(ProblemCode::NumberInvalid).field(pointer, error.to_string()).into()
    })
}

/// The purpose, `login` if none is named. `phone_change` is ours.
pub(super) fn purpose(given: Option<&str>) -> Result<Label, Refused> {
    let Some(text) = given else { return Ok(LOGIN) };
    let label = Label::new(text).ok().filter(|_| text.len() <= PURPOSE_CHARS_MAX);
    let label = label.ok_or_else(|| invalid("/purpose", "must be 1 to 20 characters of a-z, 0-9, _ and -"))?;
    if label == PHONE_CHANGE {
        return Err(invalid("/purpose", "is reserved; use /v1/me/phone-change"));
    }
    Ok(label)
}

/// The channel, `sms` if none is named; `auto` leaves the choice to us. Whether it has a route is the service's to say.
pub(super) fn channel(given: Option<&str>) -> Result<Label, Refused> {
    match given {
        None => Ok(Channel::Sms.label()),
        Some(name) if name == AUTO.as_str() => Ok(AUTO),
        Some(name) => match Channel::named(name) {
            Some(channel) => Ok(channel.label()),
            None => Err(ProblemCode::ChannelUnsupported.into()),
        },
    }
}

/// A typed code: foreign digits folded, spaces and hyphens dropped.
pub(super) fn code(typed: &str) -> Result<Code, Refused> {
    let normal = code_input::normalise(typed, usize::from(*CODE_DIGITS.end())).ok();
    let code = normal.and_then(|normal| Code::from_digits(normal.digits()));
    code.ok_or_else(|| Problem::new(ProblemCode::CodeFormat).into())
}

/// A code that the caller chose.
pub(super) fn custom_code(text: &str) -> Result<Code, Refused> {
    let chosen = Code::from_digits(text).filter(|code| CODE_DIGITS.contains(&code.digits()));
    chosen.ok_or_else(|| invalid("/custom_code", "must be 4 to 10 digits"))
}

/// A BCP 47 tag, by its characters.
pub(super) fn locale(pointer: &'static str, text: &str) -> Result<String, Refused> {
    let well_formed = (2..=LOCALE_CHARS_MAX).contains(&text.len())
        && text.split('-').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    if well_formed { Ok(text.to_owned()) } else { Err(invalid(pointer, "must be a BCP 47 tag such as en or fa-IR")) }
}

/// The caller's notes.
pub(super) fn metadata(given: serde_json::Map<String, serde_json::Value>) -> Result<Vec<(String, String)>, Refused> {
    let texts = given.into_iter().map(|(name, value)| value.as_str().map(|text| (name, text.to_owned())));
    let texts: Option<Vec<(String, String)>> = texts.collect();
    let texts = texts.ok_or_else(|| invalid("/metadata", "must hold strings only"))?;
    let bytes: usize = texts.iter().map(|(name, text)| name.len() + text.len()).sum();
    if texts.len() > METADATA_ENTRIES_MAX || bytes > METADATA_BYTES_MAX {
        return Err(invalid("/metadata", "must be at most 16 strings of 512 bytes in all, names included"));
    }
    Ok(texts)
}
