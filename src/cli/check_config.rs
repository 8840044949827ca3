//! `otpd check-config`: everything about the settings that can be judged without starting, and what is in force.

use super::{Failed, UNUSABLE, say};
use crate::{
    app::{dialects, parts},
    settings::Settings,
    sms::{
        segments,
        text::{Code, CodeFacts, Texts},
    },
};

/// What stands in the place of a code in the texts shown.
const SAMPLE: &str = "135790";

pub(super) fn run(settings: &Settings) -> Result<(), Failed> {
    let faults = parts::faults(settings);
    if !faults.is_empty() {
        let lines: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        return Err(Failed { text: format!("settings cannot be used:{lines}"), exit: UNUSABLE });
    }
    let texts = parts::texts(settings)?;
    say::result(&format!("{}\n{}", settings.printable(), messages(settings, &texts)))?;
    for warning in settings.warnings().into_iter().chain(dialects::warnings(settings)) {
        say::note(&format!("warning: {warning}"));
    }
    Ok(())
}

/// What people will read and what it costs, as comments so that the whole output stays TOML.
fn messages(settings: &Settings, texts: &Texts) -> String {
    let valid_s = u32::try_from(settings.codes.ttl.as_secs()).unwrap_or(u32::MAX);
    let mut lines = "# Messages, with the parts each is billed as:\n".to_owned();
    let mut add = |locale: &str, text: &str| {
        let parts = say::counted(segments::parts(text) as u64, "part");
        lines.push_str(&format!("#   {locale:<8} {parts}  {text:?}\n"));
    };
    for locale in texts.locales() {
        add(
            locale,
            &texts.code(&CodeFacts { code: Code(SAMPLE), valid_s, locale: Some(locale), ..CodeFacts::default() }),
        );
    }
    for locale in texts.notice_locales() {
        add(locale, &texts.phone_changed(Some(locale)));
    }
    lines
}
