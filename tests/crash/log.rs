//! The log of all runs: no panic, no error, and no number, code or token in it.

use std::collections::HashSet;

use serde_json::Value;

use super::{
    fake_twilio::{AUTH_TOKEN, Message},
    ledger::{Person, Worker},
};

/// Every line that the servers wrote.
#[derive(Debug, Default)]
pub(crate) struct Log {
    lines: Vec<String>,
}

impl Log {
    /// A run's lines. The last one may have been cut by the kill.
    pub(crate) fn add(&mut self, lines: Vec<String>) {
        self.lines.extend(lines);
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// security 118, 119: nothing of what the servers were given or gave out stands in a line.
    pub(crate) fn demand_clean(&self, workers: &[Worker], messages: &[Message]) {
        let secrets = secrets(workers, messages);
        for line in &self.lines {
            assert!(!line.contains(r#""level":"ERROR""#) && !line.contains("panicked"), "{line}");
            if let Some(found) = words(line).find(|word| secrets.contains(word.as_str())) {
                panic!("{found} stands in the log: {line}");
            }
        }
    }
}

fn secrets(workers: &[Worker], messages: &[Message]) -> HashSet<String> {
    let people = workers.iter().flat_map(|worker| &worker.people);
    let mut secrets: HashSet<String> = people.flat_map(tokens).collect();
    secrets.extend(messages.iter().map(|message| message.to.trim_start_matches('+').to_owned()));
    secrets.extend(messages.iter().filter_map(Message::code).map(str::to_owned));
    secrets.extend(AUTH_TOKEN.split('.').map(str::to_owned));
    assert!(secrets.len() > messages.len(), "there are secrets to look for");
    secrets
}

/// Every token of a person, and of JWTs the parts that make them one.
fn tokens(person: &Person) -> Vec<String> {
    let receipts = person.verifications.iter().filter_map(|of| of.receipt.as_ref()).map(|receipt| &receipt.token);
    let sessions = person.sessions.iter().flat_map(|session| {
        let retired = session.previous.as_ref().map(|(token, _)| token);
        [Some(&session.access), Some(&session.refresh), retired, session.older.as_ref()].into_iter().flatten()
    });
    let parts = |token: &String| token.split('.').skip(usize::from(token.contains('.'))).map(str::to_owned).collect();
    receipts.chain(sessions).flat_map(|token| -> Vec<String> { parts(token) }).collect()
}

/// What stands in the texts of a line, cut where no secret goes on. Figures and the time are no texts.
fn words(line: &str) -> impl Iterator<Item = String> {
    let texts = match serde_json::from_str::<Value>(line) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("timestamp");
            let inner = |value: &Value| value.is_object().then(|| value.to_string());
            fields.values().filter_map(|value| value.as_str().map(str::to_owned).or_else(|| inner(value))).collect()
        }
        _ => vec![line.to_owned()],
    };
    let cut = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '-';
    texts.into_iter().flat_map(move |text| text.split(cut).map(str::to_owned).collect::<Vec<_>>())
}

/// A check that never finds anything would be no check.
#[test]
fn a_secret_in_a_line_is_found() {
    let line =
        r#"{"timestamp":"2026-01-01T00:00:00.123456Z","level":"INFO","took":654321,"message":"to=+989120000001"}"#;
    let found: Vec<String> = words(line).collect();
    assert!(found.contains(&"989120000001".to_owned()));
    assert!(!found.contains(&"123456".to_owned()) && !found.contains(&"654321".to_owned()));
}
