//! Reads keys with type and range, and keeps what was wrong.
//!
//! Every method names what it allows; that text goes into the problem report and is what config.toml's comment must
//! say (`tests/settings.rs`). A key that is wrong yields a stand-in, so that reading goes on and all problems are found.

use std::{collections::BTreeMap, fmt, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use secrecy::SecretString;
use toml::Value;

use super::{Problem, layers::Layers};

/// Longest text setting, in characters.
const TEXT_MAX: usize = 1024;

/// A key that the code reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// Dotted, as `server.listen`.
    pub key: String,
    /// What it allows, in the words of the error and of config.toml; empty if any text will do.
    pub allowed: String,
}

pub(super) struct Reader<'a> {
    layers: &'a Layers,
    keys: Vec<KeyInfo>,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(layers: &'a Layers) -> Self {
        Self { layers, keys: Vec::new(), problems: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<KeyInfo>, Vec<Problem>) {
        (self.keys, self.problems)
    }

    pub(super) fn flag(&mut self, key: &str) -> bool {
        self.value(key, String::new()).and_then(Value::as_bool).unwrap_or_default()
    }

    pub(super) fn number<T: TryFrom<i64> + Default>(&mut self, key: &str, range: RangeInclusive<i64>) -> T {
        let found = self.value(key, spell(&range)).and_then(Value::as_integer).unwrap_or_default();
        self.within(key, found, &range)
    }

    pub(super) fn millis(&mut self, key: &str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_millis(self.number(key, range))
    }

    pub(super) fn seconds(&mut self, key: &str, range: RangeInclusive<i64>) -> Duration {
        Duration::from_secs(self.number(key, range))
    }

    pub(super) fn seconds_list(
        &mut self,
        key: &str,
        each: RangeInclusive<i64>,
        count: RangeInclusive<usize>,
    ) -> Vec<Duration> {
        self.numbers(key, each, count).into_iter().map(Duration::from_secs).collect()
    }

    /// A list of whole numbers.
    pub(super) fn numbers<T: TryFrom<i64>>(
        &mut self,
        key: &str,
        each: RangeInclusive<i64>,
        count: RangeInclusive<usize>,
    ) -> Vec<T> {
        let allowed = format!("each {}, {} entries", spell(&each), spell(&count));
        let Some(items) = self.value(key, allowed.clone()).and_then(Value::as_array) else { return Vec::new() };
        let numbers: Vec<i64> = items.iter().filter_map(Value::as_integer).collect();
        if !count.contains(&numbers.len()) || !numbers.iter().all(|number| each.contains(number)) {
            self.problem(key, format!("must be {allowed}"));
        }
        numbers.into_iter().filter_map(|number| T::try_from(number).ok()).collect()
    }

    pub(super) fn fraction(&mut self, key: &str, range: RangeInclusive<f64>) -> f64 {
        let allowed = format!("{:?} to {:?}", range.start(), range.end());
        let found = self.value(key, allowed.clone()).and_then(Value::as_float).unwrap_or_default();
        if !range.contains(&found) {
            self.problem(key, format!("must be {allowed}"));
        }
        found
    }

    /// A text without control characters, at most 1024 characters.
    pub(super) fn text(&mut self, key: &str) -> String {
        self.text_as(key, "").to_owned()
    }

    /// A text that `""` leaves unset.
    pub(super) fn optional(&mut self, key: &str) -> Option<String> {
        Some(self.text(key)).filter(|text| !text.is_empty())
    }

    /// One of some words that stand for something.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, first: (&str, T), others: &[(&str, T)]) -> T {
        let words: Vec<String> = [first].iter().chain(others).map(|(word, _)| format!("\"{word}\"")).collect();
        let text = self.text_as(key, &words.join(", "));
        if text == first.0 {
            return first.1;
        }
        match others.iter().find(|(word, _)| *word == text) {
            Some((_, choice)) => *choice,
            None => {
                self.problem(key, format!("must be one of {}", words.join(", ")));
                first.1
            }
        }
    }

    pub(super) fn address(&mut self, key: &str) -> SocketAddr {
        let stand_in = SocketAddr::from(([127, 0, 0, 1], 0));
        self.parsed(key, "an IP address and a port, as in 127.0.0.1:8080").unwrap_or(stand_in)
    }

    /// A text that `parse` takes; `None` and a problem if it does not.
    pub(super) fn parsed<T: FromStr>(&mut self, key: &str, what: &str) -> Option<T> {
        let parsed = self.text(key).parse().ok();
        if parsed.is_none() {
            self.problem(key, format!("must be {what}"));
        }
        parsed
    }

    /// A text, `""` for unset, that `holds` accepts.
    pub(super) fn checked(&mut self, key: &str, what: &str, holds: impl Fn(&str) -> bool) -> Option<String> {
        let text = self.optional(key)?;
        if !holds(&text) {
            self.problem(key, format!("must be {what}"));
        }
        Some(text)
    }

    /// A list of texts, each of which `convert` takes.
    pub(super) fn list<T>(&mut self, key: &str, what: &str, convert: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let Some(items) = self.value(key, String::new()).and_then(Value::as_array) else { return Vec::new() };
        let converted: Vec<T> = items.iter().filter_map(Value::as_str).filter_map(convert).collect();
        if converted.len() != items.len() {
            self.problem(key, format!("each entry must be {what}"));
        }
        converted
    }

    pub(super) fn secret(&mut self, key: &str) -> Option<SecretString> {
        self.optional(key).map(SecretString::from)
    }

    /// One of some words.
    pub(super) fn word(&mut self, key: &str, words: &[&'static str]) -> &'static str {
        let choices: Vec<_> = words.iter().map(|word| (*word, *word)).collect();
        choices.split_first().map_or("", |(first, others)| self.choice(key, *first, others))
    }

    /// All entries of an open table; what they may hold is for their reader to say.
    pub(super) fn open_table(&mut self, table: &'static str) -> BTreeMap<String, String> {
        self.keys.push(KeyInfo { key: table.to_owned(), allowed: String::new() });
        let texts = self.layers.under(table);
        texts.map(|(name, entry)| (name.to_owned(), entry.value.as_str().unwrap_or_default().to_owned())).collect()
    }

    /// The rows of a list of tables, each read as a `T`; a row that is none is a problem by its place, from 1.
    pub(super) fn rows<T: serde::de::DeserializeOwned>(&mut self, key: &str, count_max: usize) -> Vec<T> {
        let rows = self.value(key, format!("at most {count_max} entries")).and_then(Value::as_array);
        let rows = rows.cloned().unwrap_or_default();
        if rows.len() > count_max {
            self.problem(key, format!("must have at most {count_max} entries"));
        }
        let mut read = Vec::with_capacity(rows.len());
        for (at, row) in rows.into_iter().enumerate() {
            match row.try_into() {
                Ok(row) => read.push(row),
                Err(error) => {
                    let text = error.to_string();
                    let what = text.lines().next().unwrap_or("cannot be read").trim();
                    self.problem(key, format!("entry {}: {what}", at + 1));
                }
            }
        }
        read
    }

    /// The names of the tables within a table, in their order.
    pub(super) fn tables(&self, table: &str) -> Vec<String> {
        let names = self.layers.under(table).filter_map(|(rest, _)| rest.split_once('.'));
        let mut names: Vec<String> = names.map(|(name, _)| name.to_owned()).collect();
        names.dedup();
        names
    }

    /// Is there a value at all? Only of keys that not every table has.
    pub(super) fn has(&self, key: &str) -> bool {
        self.layers.get(key).is_some()
    }

    /// Did the operator write it, in a file or a variable?
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.layers.is_written(key)
    }

    pub(super) fn problem(&mut self, key: &str, text: String) {
        self.problems.push(Problem { place: self.layers.place(key), text });
    }

    fn text_as(&mut self, key: &str, allowed: &str) -> &'a str {
        let text = self.value(key, allowed.to_owned()).and_then(Value::as_str).unwrap_or_default();
        if text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
            self.problem(key, "must be text without line breaks and other control characters".to_owned());
        } else if text.chars().count() > TEXT_MAX {
            self.problem(key, format!("must be at most {TEXT_MAX} characters"));
        }
        text
    }

    fn value(&mut self, key: &str, allowed: String) -> Option<&'a Value> {
        self.keys.push(KeyInfo { key: key.to_owned(), allowed });
        let entry = self.layers.get(key);
        if entry.is_none() {
            self.problem(key, "is not in config.toml: this is a fault of otpd".to_owned());
        }
        entry.map(|entry| &entry.value)
    }

    fn within<T: TryFrom<i64> + Default>(&mut self, key: &str, found: i64, range: &RangeInclusive<i64>) -> T {
        match T::try_from(found) {
            Ok(number) if range.contains(&found) => number,
            Ok(_) | Err(_) => {
                self.problem(key, format!("must be {}, not {found}", spell(range)));
                T::try_from(*range.start()).unwrap_or_default()
            }
        }
    }
}

fn spell<T: fmt::Display>(range: &RangeInclusive<T>) -> String {
    format!("{} to {}", range.start(), range.end())
}
