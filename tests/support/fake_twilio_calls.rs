//! The rules of Twilio's Calls API, and of the TwiML that a call brings along.

use super::{Asked, Fields, Given, Kind, Refusal, SENDER, is_e164, refuse};

/// Longest TwiML in a request, in characters.
const TWIML_MAX: usize = 4_000;

pub(super) fn read(mut given: Given<'_>) -> Result<Asked, Refusal> {
    let to = given.take("To").unwrap_or_default();
    if !is_e164(&to) {
        return refuse("To", 400, 21211);
    }
    match given.take("From").as_deref() {
        Some(SENDER | "+15005550006") => {}
        Some("+15005550001") => return refuse("From", 400, 21212),
        Some(_) => return refuse("From", 400, 21210),
        None => return refuse("From", 400, 21213),
    }
    given.number("Timeout", 1..=600, 21208)?;
    given.status_callback()?;
    let twiml = given.take("Twiml").unwrap_or_default();
    let Some(body) = said(&twiml) else { return refuse("Twiml", 400, 12100) };
    given.nothing_left()?;
    Ok(Asked { kind: Kind::Call, to, body, fields: Fields::new() })
}

/// What is heard: the words of each `Say`, one after the other. Nothing that Twilio would not understand may stand there.
fn said(twiml: &str) -> Option<String> {
    if twiml.chars().count() > TWIML_MAX {
        return None;
    }
    let document = roxmltree::Document::parse(twiml).ok()?;
    let response = document.root_element();
    if response.tag_name().name() != "Response" {
        return None;
    }
    let mut words = Vec::new();
    for verb in response.children() {
        match verb.tag_name().name() {
            "Say" => words.push(sentence(verb)?),
            "Pause" if verb.attribute("length").is_some_and(|length| length.parse::<u8>().is_ok()) => {}
            _ => return None,
        }
    }
    (!words.is_empty()).then(|| words.join(" "))
}

/// Text, and pauses of at most ten seconds in it, which need one of the voices that understand them.
fn sentence(say: roxmltree::Node<'_, '_>) -> Option<String> {
    let voice = say.attribute("voice").unwrap_or_default();
    let understands_pauses = voice.starts_with("Polly.") || voice.starts_with("Google.");
    let mut text = String::new();
    for piece in say.children() {
        match piece.tag_name().name() {
            "" => text.push_str(piece.text()?),
            "break" => {
                let millis: u32 = piece.attribute("time")?.strip_suffix("ms")?.parse().ok()?;
                (understands_pauses && millis <= 10_000 && !piece.has_children()).then_some(())?;
                text.push(' ');
            }
            _ => return None,
        }
    }
    Some(text)
}
