//! The layers of settings as one flat map: dotted key to value and origin.
//!
//! Owns: which keys exist (those of config.toml), merging, turning a variable's text into the type its default has.
//! Knows nothing of ranges or meanings; never prints the value of a secret.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata},
    io::{self, Read as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use toml::{Table, Value};

use super::{DEFAULTS, Problem, VARIABLE_PREFIX};

/// Keys whose values are secrets: hidden everywhere, and readable from a file by `<variable>_FILE`.
const SECRETS: [&str; 22] = [
    "sms.twilio.auth_token",
    "sms.twilio.receipts_auth_token",
    "sms.kavenegar.api_key",
    "sms.kavenegar.receipts_secret",
    "sms.mshastra.password",
    "sms.mshastra.receipts_secret",
    "sms.vonage.api_secret",
    "sms.vonage.signature_secret",
    "sms.webhook.secret",
    "sms.webhook.secret_previous",
    "sms.webhook.auth_value",
    "sms.sns.secret_access_key",
    "sms.telegram.access_token",
    "sms.twilio_voice.auth_token",
    "sms.twilio_voice.receipts_auth_token",
    "sms.twilio_verify.auth_token",
    "sms.vonage_messages.api_secret",
    "sms.vonage_messages.private_key",
    "sms.vonage_messages.signature_secret",
    "token.secret",
    "webhooks.secret",
    "webhooks.secret_previous",
];

/// Tables that may have keys of the operator's own; their values are texts.
const OPEN_TABLES: [&str; 3] = ["sms.templates", "sms.phone_changed", "test_numbers"];

/// Lists of tables (`[[sms.routes]]`); their rows are read as a whole by their section. A variable says one as TOML:
/// `OTPD__SMS__ROUTES='[{ country = "IR", gateways = ["kavenegar"] }]'`.
const TABLE_LISTS: [&str; 4] = ["sms.routes", "spend.budgets", "spend.prices", "fraud.velocity"];

/// What the keys of test numbers begin with.
const TEST_NUMBERS: &str = "test_numbers.";

/// What the keys of every dialect begin with.
const DIALECTS: &str = "dialects.";

/// Largest settings or secret file read, in bytes: a wrong path must not fill the memory.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Which layer a value came from.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    File,
    Variable(String),
}

pub(super) struct Entry {
    pub(super) value: Value,
    pub(super) origin: Origin,
}

/// What all layers together say, and what was wrong with them. No `Debug`: it holds secrets in clear.
pub(super) struct Layers {
    entries: BTreeMap<String, Entry>,
    problems: Vec<Problem>,
}

impl Layers {
    #[expect(clippy::expect_used, reason = "config.toml is compiled in, and every test that loads settings parses it")]
    pub(super) fn defaults() -> Self {
        let table: Table = DEFAULTS.parse().expect("the compiled-in config.toml is TOML");
        let mut flat = Vec::new();
        flatten("", table, &mut flat);
        let entry = |(key, value)| (key, Entry { value, origin: Origin::Default });
        Self { entries: flat.into_iter().map(entry).collect(), problems: Vec::new() }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The keys of an open table, without its name.
    pub(super) fn under<'a>(&'a self, table: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.entries.iter().filter_map(move |(key, entry)| {
            let rest = key.strip_prefix(table)?.strip_prefix('.')?;
            Some((rest, entry))
        })
    }

    /// Was it set by a file or a variable?
    pub(super) fn is_written(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(|entry| entry.origin != Origin::Default)
    }

    /// The keys that variables have set, and their names.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let of_variable = |(key, entry): (&String, &Entry)| match &entry.origin {
            Origin::Variable(name) => Some((key.clone(), name.clone())),
            Origin::Default | Origin::File => None,
        };
        self.entries.iter().filter_map(of_variable).collect()
    }

    /// Where a key was set, in the operator's words.
    pub(super) fn place(&self, key: &str) -> String {
        match self.entries.get(key).map(|entry| &entry.origin) {
            Some(Origin::Variable(name)) => name.clone(),
            Some(Origin::Default | Origin::File) | None => key.to_owned(),
        }
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Adds the settings file. Only its name is shown, since a whole path says more than a log should.
    pub(super) fn add_file(&mut self, path: &Path) {
        let name = path.file_name().map_or_else(|| "settings file".to_owned(), |n| n.to_string_lossy().into_owned());
        let (text, metadata) = match read_small(path) {
            Ok(read) => read,
            Err(error) => return self.problem(name, format!("cannot be read ({error})")),
        };
        let table: Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return self.problem(name, parse_failure(&text, &error)),
        };
        let mut flat = Vec::new();
        flatten("", table, &mut flat);
        for (key, value) in flat {
            self.add_from_file(&name, &metadata, key, value);
        }
    }

    fn add_from_file(&mut self, file: &str, metadata: &Metadata, key: String, value: Value) {
        let place = format!("{file}: {key}");
        let Some(default) = self.default_of(&key) else {
            let hint = self.unknown(&key);
            return self.problem(place, hint);
        };
        let is_rows = TABLE_LISTS.contains(&key.as_str());
        let fitted = if is_rows { rows(value) } else { fit(value, &default) };
        let Some(value) = fitted else {
            let what = if is_rows { "a list of tables" } else { type_name(&default) };
            return self.problem(place, format!("must be {what}"));
        };
        if SECRETS.contains(&key.as_str()) && value.as_str() != Some("") && open_to_others(metadata) {
            return self
                .problem(place, "is a secret in a file that group or others may read: use mode 0600".to_owned());
        }
        self.entries.insert(key, Entry { value, origin: Origin::File });
    }

    /// Adds the `OTPD__` variables of an environment, in the order of their names; others are not looked at.
    pub(super) fn add_environment(&mut self, variables: &BTreeMap<String, String>) {
        let ours: BTreeMap<&String, &String> =
            variables.iter().filter(|(name, _)| name.starts_with(VARIABLE_PREFIX)).collect();
        for (name, text) in &ours {
            match Self::secret_of_file_variable(name) {
                Some((key, direct)) if ours.contains_key(&direct) => {
                    self.problem(name.to_string(), format!("set either this or {direct}, not both ({key})"));
                }
                Some((key, _)) => self.add_secret_file(name, key, Path::new(text)),
                None => self.add_variable(name, text),
            }
        }
    }

    fn add_variable(&mut self, name: &str, text: &str) {
        self.set_by(name, &key_of(name), text);
    }

    /// Sets a key to what a variable says.
    pub(super) fn set_by(&mut self, variable: &str, key: &str, text: &str) {
        let Some(default) = self.default_of(key) else {
            let hint = self.unknown(key);
            return self.problem(variable.to_owned(), hint);
        };
        let is_rows = TABLE_LISTS.contains(&key);
        let value = if is_rows { text.parse().ok().and_then(rows) } else { coerce(text, &default) };
        match value {
            Some(value) => {
                self.entries.insert(key.to_owned(), Entry { value, origin: Origin::Variable(variable.to_owned()) });
            }
            None if is_rows => self.problem(variable.to_owned(), "must be a TOML list of tables".to_owned()),
            None => self.problem(variable.to_owned(), format!("must be {}", type_name(&default))),
        }
    }

    /// A text in force; empty if there is none.
    pub(super) fn text(&self, key: &str) -> &str {
        self.entries.get(key).and_then(|entry| entry.value.as_str()).unwrap_or_default()
    }

    fn add_secret_file(&mut self, name: &str, key: &str, path: &Path) {
        match read_small(path) {
            Err(error) => self.problem(name.to_owned(), format!("the file it names cannot be read ({error})")),
            Ok((_, metadata)) if open_to_others(&metadata) => {
                self.problem(name.to_owned(), "group or others may read the file it names: use mode 0600".to_owned());
            }
            Ok((text, _)) => {
                let value = Value::String(text.trim_end_matches(['\n', '\r']).to_owned());
                self.entries.insert(key.to_owned(), Entry { value, origin: Origin::Variable(name.to_owned()) });
            }
        }
    }

    /// For `OTPD__…_FILE` of a secret: its key, and the variable that would hold it directly.
    fn secret_of_file_variable(name: &str) -> Option<(&'static str, String)> {
        let direct = name.strip_suffix("_FILE")?;
        let key = key_of(direct);
        SECRETS.into_iter().find(|secret| *secret == key).map(|secret| (secret, direct.to_owned()))
    }

    fn default_of(&self, key: &str) -> Option<Value> {
        match self.entries.get(key) {
            Some(entry) => Some(entry.value.clone()),
            None => open_table_of(key).map(|_| Value::String(String::new())).or_else(|| self.like_another_dialect(key)),
        }
    }

    /// A dialect that config.toml does not show has the same keys as those that it shows; whether there is such a
    /// dialect is for the registry to say.
    fn like_another_dialect(&self, key: &str) -> Option<Value> {
        let (name, own) = key.strip_prefix(DIALECTS)?.split_once('.')?;
        let is_shown = self.entries.iter().any(|(known, entry)| {
            entry.origin == Origin::Default
                && known.strip_prefix(DIALECTS).and_then(|rest| rest.split_once('.')).is_some_and(|(it, _)| it == name)
        });
        let of_another = |known: &&String| {
            known.strip_prefix(DIALECTS).and_then(|rest| rest.split_once('.')).is_some_and(|(_, key)| key == own)
        };
        let sample = self.entries.keys().find(of_another).filter(|_| !is_shown)?;
        self.entries.get(sample).map(|entry| entry.value.clone())
    }

    /// The answer to a name that no setting has: the nearest one, if any is near.
    fn unknown(&self, key: &str) -> String {
        let near = self.entries.keys().map(|known| (strsim::jaro_winkler(known, key), known));
        match near.max_by(|(a, _), (b, _)| a.total_cmp(b)).filter(|(likeness, _)| *likeness > 0.9) {
            Some((_, known)) => format!("no such setting; did you mean {known}?"),
            None => "no such setting; config.toml has them all".to_owned(),
        }
    }

    pub(super) fn problem(&mut self, place: String, text: String) {
        self.problems.push(Problem { place, text });
    }

    /// What is in force, one dotted key per line, with its layer; secrets as a remark only.
    pub(super) fn printable(&self) -> String {
        let line = |(key, entry): (&String, &Entry)| {
            let origin = match &entry.origin {
                Origin::Default => "default",
                Origin::File => "file",
                Origin::Variable(name) => name,
            };
            if SECRETS.contains(&key.as_str()) {
                let state = if entry.value.as_str() == Some("") { "not set" } else { "set" };
                format!("# {key} is {state} ({origin})\n")
            } else {
                format!("{key} = {}  # {origin}\n", entry.value)
            }
        };
        // Numbers and codes: how many is enough.
        let is_shown = |(key, _): &(&String, &Entry)| !key.starts_with(TEST_NUMBERS);
        let shown: String = self.entries.iter().filter(is_shown).map(line).collect();
        match self.entries.keys().filter(|key| key.starts_with(TEST_NUMBERS)).count() {
            0 => shown,
            count => format!("{shown}# test_numbers has {count} entries\n"),
        }
    }
}

/// `OTPD__SMS__TWILIO__FROM` is `sms.twilio.from`. In open tables `_` stands for the `-` of language tags, which few
/// shells allow in a name.
fn key_of(variable: &str) -> String {
    let path = variable.strip_prefix(VARIABLE_PREFIX).unwrap_or(variable).to_lowercase().replace("__", ".");
    match open_table_of(&path).and_then(|table| Some((table, path.strip_prefix(table)?))) {
        Some((table, tag)) => format!("{table}{}", tag.replace('_', "-")),
        None => path,
    }
}

fn flatten(prefix: &str, table: Table, into: &mut Vec<(String, Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
        match value {
            // An empty table says nothing, unless nobody knows it: then it is reported like a key.
            Value::Table(inner) if !inner.is_empty() => flatten(&key, inner, into),
            Value::Table(_) if is_section(&key) => {}
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => into.push((key, value)),
        }
    }
}

fn is_section(key: &str) -> bool {
    DEFAULTS.lines().any(|line| line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) == Some(key))
}

fn open_table_of(key: &str) -> Option<&'static str> {
    OPEN_TABLES.into_iter().find(|table| {
        key.strip_prefix(table).and_then(|rest| rest.strip_prefix('.')).is_some_and(|rest| !rest.contains('.'))
    })
}

/// The value as one of the default's type; a whole number will do for a fraction.
fn fit(value: Value, default: &Value) -> Option<Value> {
    match (&value, default) {
        (Value::Integer(number), Value::Float(_)) => u32::try_from(*number).ok().map(|n| Value::Float(f64::from(n))),
        (Value::Array(items), Value::Array(_)) => {
            let sample = list_sample(default);
            items.iter().all(|item| item.same_type(&sample)).then_some(value)
        }
        _ => value.same_type(default).then_some(value),
    }
}

/// The value, if it is a list of tables.
fn rows(value: Value) -> Option<Value> {
    value.as_array().is_some_and(|rows| rows.iter().all(Value::is_table)).then_some(value)
}

/// A variable's text as a value of the default's type.
fn coerce(text: &str, default: &Value) -> Option<Value> {
    match default {
        Value::String(_) => Some(Value::String(text.to_owned())),
        Value::Integer(_) => text.trim().parse().ok().map(Value::Integer),
        Value::Float(_) => text.trim().parse().ok().map(Value::Float),
        Value::Boolean(_) => text.trim().parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let sample = list_sample(default);
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            items.map(|item| coerce(item, &sample)).collect::<Option<Vec<_>>>().map(Value::Array)
        }
        Value::Datetime(_) | Value::Table(_) => None,
    }
}

/// What the items of a list are like; a list that is empty by default is one of texts.
fn list_sample(default: &Value) -> Value {
    let first = default.as_array().and_then(|items| items.first());
    first.cloned().unwrap_or_else(|| Value::String(String::new()))
}

fn type_name(default: &Value) -> &'static str {
    match default {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) if list_sample(default).is_integer() => "a list of whole numbers",
        Value::Array(_) => "a list of texts",
        Value::Datetime(_) | Value::Table(_) => "left out",
    }
}

/// The parser's own text without its excerpt of the file, which may hold a secret.
fn parse_failure(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, error.message().replace('\n', " "))
}

pub(super) fn read_small(path: &Path) -> io::Result<(String, Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(io::Error::other("not a file of at most 1 MiB"));
    }
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok((text, metadata))
}

fn open_to_others(metadata: &Metadata) -> bool {
    metadata.permissions().mode() & 0o077 != 0
}
