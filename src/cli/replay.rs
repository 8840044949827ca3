//! `otpd replay`: what other rules would have refused, by the audit journal.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{Failed, say};
use crate::{
    app::guard,
    clock::{Clock as _, SystemClock},
    entropy::OsEntropy,
    guard::{Country, Guard, Micros, Rule, snapshot},
    journal::{Difference, Line, Places, Reader, Replay, Report, StateLine},
    record::Keyring,
    settings::{self, Settings},
    token::SealingKeyFile,
};

/// Decide the audit journal anew under other rules: who would have been refused, and what it would have saved.
///
/// POLICY.toml is a settings file like any other, such as `otpd check-config` prints; its `[spend]`, `[fraud]` and
/// sms.allowed_countries count, and no variable changes them. Under the rules that
/// were live every answer must come out as it was: if one does not, it is shown, and the exit code is 1.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// The rules to try.
    #[arg(value_name = "POLICY.toml")]
    policy: PathBuf,
    /// Data directory with the journal, the states and sealing.keys. Without it: store.path.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// These files of the journal, in this order, instead of all.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    journal: Vec<PathBuf>,
    /// For machines.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(live: &Settings, options: &Options) -> Result<(), Failed> {
    let proposed = Settings::load(Some(&options.policy), settings::environment().filter(|(name, _)| !is_rule(name)))?;
    let data = options.data.as_deref().unwrap_or(&live.store.path);
    let places = Places::of(data);
    let files = if options.journal.is_empty() {
        places.lines().map_err(|error| unreadable(&error))?
    } else {
        options.journal.clone()
    };
    if files.is_empty() {
        return Err(Failed::new("there is no journal: audit.journal has to be on while messages are sent"));
    }
    let keys = keyring(&data.join("sealing.keys"))?;
    let sends = sends(&files)?;
    let policy = guard::policy(&proposed, sends);
    let states = |line: &StateLine| state(&places.states, line);
    let mut replay = Replay::new(&policy, &keys, &states);
    let mut reader = Reader::new(files);
    while let Some(line) = reader.next() {
        replay.take(&line.map_err(Failed::new)?, &|| reader.place());
    }
    let report = replay.finish();
    let currency = &proposed.spend.currency;
    if options.json {
        say::result(&format!("{}\n", as_json(&report, currency, reader.torn())))?;
    } else {
        say::result(&as_text(&report, currency))?;
        notes(&report, reader.torn());
    }
    match &report.difference {
        Some(difference) => Err(Failed::new(format!("the replay is not exact: {}", told(difference)))),
        None if report.sealed > 0 => Err(Failed::new("sealing.keys does not open all numbers of the journal")),
        None => Ok(()),
    }
}

/// Variables that would change the rules of the file; others may be needed, as a gateway's secrets.
fn is_rule(variable: &str) -> bool {
    ["OTPD__SPEND__", "OTPD__FRAUD__", "OTPD__SMS__ALLOWED_COUNTRIES"].iter().any(|rule| variable.starts_with(rule))
}

fn unreadable(error: &std::io::Error) -> Failed {
    Failed::new(format!("the journal cannot be read: {}", error.kind()))
}

/// The keys, which are only read here.
fn keyring(path: &Path) -> Result<Keyring, Failed> {
    if !path.exists() {
        return Err(Failed::new("sealing.keys is not in the data directory: without it numbers stay sealed"));
    }
    let secrets = SealingKeyFile::new(path).open(SystemClock.now(), &OsEntropy)?;
    let mut named = secrets.iter().map(|secret| (secret.id, &*secret.secret));
    let current = named.next().ok_or_else(|| Failed::new("sealing.keys has no key"))?;
    Ok(Keyring::new(current, &named.collect::<Vec<_>>()))
}

/// What `auto` meant when the journal was written: by its last state.
fn sends(files: &[PathBuf]) -> Result<bool, Failed> {
    let mut sends = true;
    for line in Reader::new(files.to_vec()) {
        if let Line::State(state) = line.map_err(Failed::new)? {
            sends = state.sends;
        }
    }
    Ok(sends)
}

fn state(directory: &Path, line: &StateLine) -> Option<Guard> {
    // A name from a file must not lead anywhere else.
    let name = Path::new(&line.file).file_name().filter(|name| *name == line.file.as_str())?;
    let bytes = fs::read(directory.join(name)).ok()?;
    line.is_of(&bytes).then(|| snapshot::decode(&bytes).ok()).flatten()
}

fn country(country: Option<Country>) -> String {
    country.map_or_else(|| "(none)".to_owned(), |country| country.to_string())
}

fn as_text(report: &Report, currency: &str) -> String {
    let row = |((rule, of), hits): (&(Rule, Option<Country>), &crate::journal::Hits)| {
        [
            rule.name().to_owned(),
            country(*of),
            hits.refused.to_string(),
            hits.recorded.to_string(),
            hits.real_people.to_string(),
            hits.saved.to_string(),
        ]
    };
    let rows: Vec<_> = report.hits.iter().map(row).collect();
    let mut text = if rows.is_empty() {
        "Nobody would have been refused.\n".to_owned()
    } else {
        let saved = format!("SAVED {currency}");
        say::table(["RULE", "COUNTRY", "REFUSED", "RECORDED", "REAL PEOPLE", &saved], &rows)
    };
    let Report { asked, refused, live_refused, newly_refused, only_live_refused, real_people, .. } = *report;
    let Report { saved, live_spent, same_policy, .. } = *report;
    text.push_str(&format!(
        "\nAsked: {asked}. Refused: {refused}, and then: {live_refused}. Newly refused: {newly_refused}, of them \
         {real_people} that signed in. No longer refused: {only_live_refused}.\nSaved: {saved} {currency} of {live_spent} {currency}.\n",
    ));
    if report.difference.is_none() && same_policy > 0 {
        text.push_str(&format!(
            "{same_policy} answers were given under these very rules, and all come out the same.\n"
        ));
    }
    text
}

fn notes(report: &Report, torn: u64) {
    let remarks = [
        (report.missing, "lines are missing in the journal (gaps)"),
        (report.skipped, "lines stand before the first state that is kept; nothing is said of them"),
        (report.states_missing, "states are gone; from there on the replay goes on with its own"),
        (report.sealed, "numbers stay sealed: their key is not in sealing.keys"),
        (torn, "last lines were cut by a crash"),
    ];
    for (count, text) in remarks.into_iter().filter(|(count, _)| *count > 0) {
        say::note(&format!("note: {count} {text}"));
    }
}

fn names(rules: &[Rule]) -> Vec<&'static str> {
    rules.iter().map(|rule| rule.name()).collect()
}

fn told(difference: &Difference) -> String {
    let said = |(rule, recorded): &(Option<Rule>, Vec<Rule>)| {
        let verdict = rule.map_or_else(|| "allowed".to_owned(), |rule| format!("refused by {}", rule.name()));
        if recorded.is_empty() { verdict } else { format!("{verdict}, recorded by {}", names(recorded).join(", ")) }
    };
    format!("{}: live {}, now {}", difference.place, said(&difference.live), said(&difference.now))
}

fn as_json(report: &Report, currency: &str, torn: u64) -> Value {
    let micros = |amount: Micros| amount.to_string();
    let row = |((rule, of), hits): (&(Rule, Option<Country>), &crate::journal::Hits)| {
        json!({
            "rule": rule.name(),
            "country": of.map(|country| country.to_string()),
            "refused": hits.refused,
            "recorded": hits.recorded,
            "real_people": hits.real_people,
            "saved": micros(hits.saved),
        })
    };
    json!({
        "currency": currency,
        "rules": report.hits.iter().map(row).collect::<Vec<_>>(),
        "asked": report.asked,
        "refused": report.refused,
        "live_refused": report.live_refused,
        "newly_refused": report.newly_refused,
        "only_live_refused": report.only_live_refused,
        "real_people": report.real_people,
        "saved": micros(report.saved),
        "live_spent": micros(report.live_spent),
        "same_policy": report.same_policy,
        "exact": report.difference.is_none(),
        "difference": report.difference.as_ref().map(told),
        "missing": report.missing,
        "skipped": report.skipped,
        "states_missing": report.states_missing,
        "sealed": report.sealed,
        "torn": torn,
    })
}
