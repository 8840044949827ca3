//! `otpd check-config`: everything about the settings that can be judged without starting, and what is in force.

use super::{Failed, UNUSABLE, say};
use crate::{
    app::{dialects, parts},
    settings::Settings,
    sms::{
        segments::{self, Measure},
        text::{Code, CodeFacts, Texts},
    },
};

/// What stands in the place of a code in the texts shown; cut to the digits that the codes have.
const SAMPLE: &str = "1357902468";

pub(super) fn run(settings: &Settings) -> Result<(), Failed> {
    let faults = parts::faults(settings);
    if !faults.is_empty() {
        let lines: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        return Err(Failed { text: format!("settings cannot be used:{lines}"), exit: UNUSABLE });
    }
    let texts = parts::texts(settings)?;
    say::result(&format!("{}\n{}", settings.printable(), messages(settings, &texts)))?;
    let left_out = texts.left_out().iter().map(|text| {
        let setting = text.setting.replacen("text.", "sms.", 1);
        format!("{setting}: the built-in text is not used: it {}", text.reason)
    });
    for warning in settings.warnings().into_iter().chain(dialects::warnings(settings)).chain(left_out) {
        say::note(&format!("warning: {warning}"));
    }
    Ok(())
}

/// What people will read and what it costs, as comments so that the whole output stays TOML.
fn messages(settings: &Settings, texts: &Texts) -> String {
    let sample = |digits: u8| SAMPLE.get(..usize::from(digits)).unwrap_or(SAMPLE);
    let (webotp_host, app_hash) = texts.longest_lines();
    let facts = CodeFacts {
        code: Code(sample(settings.codes.digits)),
        valid_s: u32::try_from(settings.codes.ttl.as_secs()).unwrap_or(u32::MAX),
        webotp_host,
        app_hash,
        ..CodeFacts::default()
    };
    let codes = texts.locales().map(|locale| row(locale, &texts.code(&CodeFacts { locale: Some(locale), ..facts })));
    let notices = texts.notice_locales().map(|locale| row(locale, &texts.phone_changed(Some(locale))));
    let of_dialects = dialects::own_texts(settings);
    let of_dialects = of_dialects.iter().map(|own| {
        let valid_s = u32::try_from(own.code_ttl_s).unwrap_or(u32::MAX);
        let code = Code(sample(own.code_digits));
        row(own.name, &texts.code(&CodeFacts { code, valid_s, own: Some(&own.text), ..CodeFacts::default() }))
    });
    let head = |name: &str| format!("#   {name:<20} alphabet  units  parts\n");
    [
        "# A code's text, with the longest lines for phones that a request may ask for. Each part is billed; a * marks\n\
         # more than one.\n"
            .to_owned(),
        head("locale"),
        codes.collect(),
        "# The notice to the old number of a moved account.\n".to_owned(),
        head("locale"),
        notices.collect(),
        "# A code's text at the dialects that have their own, whatever the locale.\n".to_owned(),
        head("dialect"),
        of_dialects.collect(),
    ]
    .concat()
}

/// One line of such a table. A text has no control characters but line feeds.
fn row(name: &str, text: &str) -> String {
    let Measure { alphabet, units, parts } = segments::measure(text);
    let mark = if parts > 1 { '*' } else { ' ' };
    let text = text.replace('\n', "\\n");
    format!("#   {name:<20} {:<8}  {units:>5}  {parts:>4}{mark}  \"{text}\"\n", alphabet.name())
}
