//! The texts of messages: which template, filled with what.
//!
//! Owns the built-in texts, the choice by locale and the lines that phones read by themselves. Never
//! takes text from a request: a request picks among what the configuration holds (security 108, 112).

mod autofill;
mod built_in;
mod template;

use std::collections::{BTreeMap, BTreeSet};

pub use self::autofill::{AppHash, WebOtpHost};
use self::{
    autofill::Allowed,
    built_in::BUILT_IN,
    template::{Facts, Kind, Template},
};
use super::{
    SettingError,
    segments::{air_bytes, parts},
};

/// What the messages say. The maps add to the built-in texts, or replace them.
#[derive(Debug, Clone)]
pub struct TextSettings {
    /// The name people know the service by, in every message. 1 to 32 letters. Default `otpd`.
    pub app: String,
    /// The locale (BCP 47) of messages whose request names none that is known. Default `en`.
    pub default_locale: String,
    /// Text of a code per locale. Placeholders: `{code}` (exactly once), `{app}`, `{minutes}`. A literal line feed is
    /// the only control character; no URL, no other number of three or more digits.
    pub templates: BTreeMap<String, String>,
    /// Text per locale for the old number of an account that moved to another. Placeholder: `{app}`.
    pub phone_changed: BTreeMap<String, String>,
    /// Hosts that a request may have named in the last line `@host #code`. Default none.
    pub webotp_hosts: Vec<String>,
    /// The host of requests that name none; must be in `webotp_hosts`. Default none: no such line.
    pub webotp_host: Option<String>,
    /// Hashes of the Android apps (11 letters each) that a request may have named. Default none: any well-formed one.
    pub app_hashes: Vec<String>,
    /// The hash of requests that name none; must be in `app_hashes`. Default none: no such line.
    pub app_hash: Option<String>,
    /// Most parts that a message may be billed as, 1 to 10. Default 2: a Persian text of one part with both lines
    /// for phones fits two.
    pub parts_max: usize,
}

impl Default for TextSettings {
    fn default() -> Self {
        Self {
            app: "otpd".to_owned(),
            default_locale: "en".to_owned(),
            templates: BTreeMap::new(),
            phone_changed: BTreeMap::new(),
            webotp_hosts: Vec::new(),
            webotp_host: None,
            app_hashes: Vec::new(),
            app_hash: None,
            parts_max: 2,
        }
    }
}

/// What one code message is made from.
#[derive(Debug, Clone, Copy, Default)]
pub struct CodeFacts<'a> {
    /// The code in ASCII digits, leading zeros included.
    pub code: Code<'a>,
    /// How long the code is good, in seconds. Shown in whole minutes, rounded down, 1 to 99.
    pub valid_s: u32,
    /// The locale (BCP 47) the request asked for.
    pub locale: Option<&'a str>,
    /// The page that waits for the code, from [`Texts::webotp_host`].
    pub webotp_host: Option<&'a WebOtpHost>,
    /// The app that waits for the code, from [`Texts::app_hash`].
    pub app_hash: Option<&'a AppHash>,
    /// The caller's own words, whatever the locale.
    pub own: Option<&'a CodeText>,
}

/// A text of a code that belongs to one API. Placeholders: `{code}` (exactly once), `{app}`, `{minutes}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CodeText {
    locale: &'static str,
    template: Template,
}

impl CodeText {
    /// Parses a text in a language (BCP 47, lower case); the error says what is wrong with it.
    pub fn parse(locale: &'static str, source: &str) -> Result<Self, &'static str> {
        let template = Template::parse(Kind::Code, source)?;
        let longest = template.fill(&Facts { code: LONGEST_CODE, app: "otpd", minutes: 99 });
        template::check_text(&longest, Some(LONGEST_CODE))?;
        Ok(Self { locale, template })
    }
}

/// A code's digits on their way into a text; `Debug` hides them.
#[derive(Clone, Copy, Default)]
pub struct Code<'a>(pub &'a str);

impl std::fmt::Debug for Code<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Longest code there is, for checking that a text still fits.
const LONGEST_CODE: &str = "1357902468";
/// A code of usual length, for what Android can read.
const USUAL_CODE: &str = "135790";
/// Most bytes on the air that Android's SMS Retriever reads.
const ANDROID_BYTES_MAX: usize = 140;
/// Longest `app`, in letters.
const APP_LETTERS_MAX: usize = 32;

/// All texts, checked.
#[derive(Debug)]
pub struct Texts {
    app: String,
    codes: Localized,
    phone_changed: Localized,
    allowed: Allowed,
    left_out: Vec<SettingError>,
}

impl Texts {
    /// Checks the settings and parses the templates.
    pub fn new(settings: TextSettings) -> Result<Self, SettingError> {
        check_app(&settings.app)?;
        if !(1..=10).contains(&settings.parts_max) {
            return Err(SettingError::new("text.parts_max", "must be 1 to 10"));
        }
        let default = &settings.default_locale;
        let codes = BUILT_IN.iter().map(|text| (text.locale, text.code));
        let notices = BUILT_IN.iter().map(|text| (text.locale, text.phone_changed));
        let mut texts = Self {
            codes: Localized::new(Kind::Code, codes, &settings.templates, default)?,
            phone_changed: Localized::new(Kind::PhoneChanged, notices, &settings.phone_changed, default)?,
            allowed: Allowed::new(&settings)?,
            app: settings.app,
            left_out: Vec::new(),
        };
        let faults = texts.codes.faults(|locale| texts.check_code(locale, settings.parts_max));
        let unfit = texts.codes.drop_unfit(faults)?;
        texts.left_out.extend(unfit);
        let faults = texts.phone_changed.faults(|locale| texts.check_notice(locale, settings.parts_max));
        let unfit = texts.phone_changed.drop_unfit(faults)?;
        texts.left_out.extend(unfit);
        Ok(texts)
    }

    /// The text of a code. Never ends with a line feed: browsers bind the code by the last line.
    pub fn code(&self, facts: &CodeFacts<'_>) -> String {
        let host = facts.webotp_host.or_else(|| self.allowed.default_host());
        let hash = facts.app_hash.or_else(|| self.allowed.default_hash());
        let minutes = (facts.valid_s / 60).clamp(1, 99);
        let Code(code) = facts.code;
        let template = facts.own.map_or_else(|| self.codes.pick(facts.locale).1, |own| &own.template);
        let mut text = template.fill(&Facts { code, app: &self.app, minutes });
        // The hash comes first: the line of the page has to be the last.
        if let Some(hash) = hash {
            text.push_str(&format!("\n{}", hash.as_str()));
        }
        if let Some(host) = host {
            text.push_str(&format!("\n@{} #{code}", host.as_str()));
        }
        text
    }

    /// The text that tells an old number that its account moved away. Names no number and holds no code.
    pub fn phone_changed(&self, locale: Option<&str>) -> String {
        self.phone_changed.pick(locale).1.fill(&Facts { code: "", app: &self.app, minutes: 0 })
    }

    /// The language that [`Texts::code`] of the same facts is in (BCP 47, lower case).
    pub fn picked<'a>(&'a self, facts: &CodeFacts<'a>) -> &'a str {
        facts.own.map_or_else(|| self.codes.pick(facts.locale).0, |own| own.locale)
    }

    /// The same of [`Texts::phone_changed`].
    pub fn picked_for_notice(&self, locale: Option<&str>) -> &str {
        self.phone_changed.pick(locale).0
    }

    /// Built-in texts that are not used, because under these settings (a long name, a long host, few parts) they would
    /// be too long to send; who asks for their language is told in the default one.
    pub fn left_out(&self) -> &[SettingError] {
        &self.left_out
    }

    /// The longest lines that a request may have added, as far as the configuration lists them.
    pub fn longest_lines(&self) -> (Option<&WebOtpHost>, Option<&AppHash>) {
        (self.allowed.longest_host(), self.allowed.any_hash())
    }

    /// The locales that codes are told in, in lower case.
    pub fn locales(&self) -> impl Iterator<Item = &str> {
        self.codes.by_locale.keys().map(String::as_str)
    }

    /// The locales that old numbers are told in, in lower case.
    pub fn notice_locales(&self) -> impl Iterator<Item = &str> {
        self.phone_changed.by_locale.keys().map(String::as_str)
    }

    /// The page a request named, `example.com` or `https://example.com`, if the configuration lists it.
    pub fn webotp_host(&self, origin: &str) -> Option<WebOtpHost> {
        self.allowed.host(origin)
    }

    /// The app a request named, if the configuration lists it.
    pub fn app_hash(&self, hash: &str) -> Option<AppHash> {
        self.allowed.hash(hash)
    }

    /// A code's text at its longest must be fit to send.
    fn check_code(&self, locale: &str, parts_max: usize) -> Result<(), &'static str> {
        let (_, template) = self.codes.pick(Some(locale));
        let bare = template.fill(&Facts { code: LONGEST_CODE, app: &self.app, minutes: 99 });
        template::check_text(&bare, Some(LONGEST_CODE))?;
        let (webotp_host, app_hash) = self.longest_lines();
        let longest = CodeFacts {
            code: Code(LONGEST_CODE),
            valid_s: u32::MAX,
            locale: Some(locale),
            webotp_host,
            app_hash,
            own: None,
        };
        if parts(&self.code(&longest)) > parts_max {
            return Err("is longer than parts_max allows, lines for phones included");
        }
        let usual = CodeFacts { code: Code(USUAL_CODE), valid_s: 120, locale: Some(locale), ..CodeFacts::default() };
        if self.allowed.default_hash().is_some() && air_bytes(&self.code(&usual)) > ANDROID_BYTES_MAX {
            return Err(
                "is longer than the 140 bytes that Android reads, the lines of app_hash and webotp_host included",
            );
        }
        Ok(())
    }

    /// So must a notice.
    fn check_notice(&self, locale: &str, parts_max: usize) -> Result<(), &'static str> {
        let text = self.phone_changed(Some(locale));
        template::check_text(&text, None)?;
        if parts(&text) > parts_max { Err("is longer than parts_max allows") } else { Ok(()) }
    }
}

fn check_app(app: &str) -> Result<(), SettingError> {
    let refuse = |reason| Err(SettingError::new("text.app", reason));
    if app.trim() != app || !(1..=APP_LETTERS_MAX).contains(&app.chars().count()) {
        return refuse("must have 1 to 32 letters and no spaces at its ends");
    }
    if app.contains(['{', '}', '@', '#', '\n']) {
        return refuse("must not hold braces, @, # or a line feed");
    }
    template::check_text(app, None).or_else(refuse)
}

/// One text in several locales. Keys are lower-case.
#[derive(Debug)]
struct Localized {
    kind: Kind,
    by_locale: BTreeMap<String, Template>,
    /// The keys that the operator wrote a text for.
    own: BTreeSet<String>,
    default: (String, Template),
}

impl Localized {
    fn new<'a>(
        kind: Kind,
        built_in: impl Iterator<Item = (&'a str, &'a str)>,
        configured: &'a BTreeMap<String, String>,
        default: &str,
    ) -> Result<Self, SettingError> {
        let mut by_locale = BTreeMap::new();
        let configured = configured.iter().map(|(locale, source)| (locale.as_str(), source.as_str()));
        let own = configured.clone().map(|(locale, _)| locale.to_ascii_lowercase()).collect();
        for (locale, source) in built_in.chain(configured) {
            if !is_locale(locale) {
                let table = format!("text.{}", kind.setting());
                return Err(SettingError::new(table, "has a key that is no BCP 47 locale"));
            }
            let template = Template::parse(kind, source);
            let template = template.map_err(|reason| SettingError::new(setting(kind, locale), reason))?;
            by_locale.insert(locale.to_ascii_lowercase(), template);
        }
        let Some((locale, template)) = lookup(&by_locale, default) else {
            return Err(SettingError::new("text.default_locale", "has no template"));
        };
        let default = (locale.to_owned(), template.clone());
        Ok(Self { kind, by_locale, own, default })
    }

    /// The locale that is nearest to this one, or the default one, with its text.
    fn pick(&self, locale: Option<&str>) -> (&str, &Template) {
        let nearest = locale.and_then(|locale| lookup(&self.by_locale, locale));
        nearest.unwrap_or((&self.default.0, &self.default.1))
    }

    /// What is wrong with the text of each locale.
    fn faults(&self, check: impl Fn(&str) -> Result<(), &'static str>) -> Vec<(String, &'static str)> {
        let fault = |locale: &String| check(locale).err().map(|reason| (locale.clone(), reason));
        self.by_locale.keys().filter_map(fault).collect()
    }

    /// An operator's own text and the default one must be good. A built-in one that is not goes away, and is returned:
    /// nobody should have to write texts in languages that she never sends.
    fn drop_unfit(&mut self, faults: Vec<(String, &'static str)>) -> Result<Vec<SettingError>, SettingError> {
        let drop = |(locale, reason): (String, &'static str)| {
            let error = SettingError::new(setting(self.kind, &locale), reason);
            if self.own.contains(&locale) || self.default.0 == locale {
                return Err(error);
            }
            self.by_locale.remove(&locale);
            Ok(error)
        };
        faults.into_iter().map(drop).collect()
    }
}

fn setting(kind: Kind, locale: &str) -> String {
    format!("text.{}.{locale}", kind.setting())
}

/// Longest locale, in bytes; longer ones are nothing a person chose.
const LOCALE_LEN_MAX: usize = 35;

fn is_locale(locale: &str) -> bool {
    let is_subtag = |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    locale.len() <= LOCALE_LEN_MAX && locale.split('-').all(is_subtag)
}

/// RFC 4647 lookup: the locale itself, then without its last subtag, and so on.
fn lookup<'a>(by_locale: &'a BTreeMap<String, Template>, locale: &str) -> Option<(&'a str, &'a Template)> {
    let locale = locale.replace('_', "-").to_ascii_lowercase();
    if !is_locale(&locale) {
        return None;
    }
    let mut range = locale.as_str();
    loop {
        if let Some((locale, template)) = by_locale.get_key_value(range) {
            return Some((locale, template));
        }
        (range, _) = range.rsplit_once('-')?;
    }
}

#[cfg(test)]
mod tests;
