//! The texts of messages: which template, filled with what.
//!
//! Owns the built-in texts, the choice by locale and the lines that phones read by themselves. Never
//! takes text from a request: a request picks among what the configuration holds (security 108, 112).

mod autofill;
mod template;

use std::collections::BTreeMap;

pub use self::autofill::{AppHash, WebOtpHost};
use self::{
    autofill::Allowed,
    template::{Facts, Kind, Template},
};
use super::{
    SettingError,
    segments::{air_bytes, parts},
};

/// What the messages say. The maps add to the built-in English (`en`) and Persian (`fa`) texts, or replace them.
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
pub struct CodeText(Template);

impl CodeText {
    /// Parses it; the error says what is wrong with it.
    pub fn parse(source: &str) -> Result<Self, &'static str> {
        let template = Template::parse(Kind::Code, source)?;
        let longest = template.fill(&Facts { code: LONGEST_CODE, app: "otpd", minutes: 99 });
        template::check_text(&longest, Some(LONGEST_CODE))?;
        Ok(Self(template))
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

/// Built-in texts: (locale, code message, notice of a moved account). The code comes in the first sentence and is the
/// only number of three or more digits, because phones look for it there.
const BUILT_IN: [(&str, &str, &str); 2] = [
    (
        "en",
        "{code} is your {app} code. It is valid for {minutes} min.",
        "Your {app} account was moved to another phone number. If this was not you, contact support.",
    ),
    (
        "fa",
        "کد تایید {app}: {code}\nاعتبار {minutes} دقیقه",
        "حساب {app} شما به شماره دیگری منتقل شد. اگر کار شما نبود، با پشتیبانی تماس بگیرید.",
    ),
];

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
}

impl Texts {
    /// Checks the settings and parses the templates.
    pub fn new(settings: TextSettings) -> Result<Self, SettingError> {
        check_app(&settings.app)?;
        if !(1..=10).contains(&settings.parts_max) {
            return Err(SettingError::new("text.parts_max", "must be 1 to 10"));
        }
        let codes = BUILT_IN.map(|(locale, code, _)| (locale, code));
        let notices = BUILT_IN.map(|(locale, _, notice)| (locale, notice));
        let default = &settings.default_locale;
        let texts = Self {
            codes: Localized::new(Kind::Code, codes, &settings.templates, default)?,
            phone_changed: Localized::new(Kind::PhoneChanged, notices, &settings.phone_changed, default)?,
            allowed: Allowed::new(&settings)?,
            app: settings.app,
        };
        texts.check(settings.parts_max)?;
        Ok(texts)
    }

    /// The text of a code. Never ends with a line feed: browsers bind the code by the last line.
    pub fn code(&self, facts: &CodeFacts<'_>) -> String {
        let host = facts.webotp_host.or_else(|| self.allowed.default_host());
        let hash = facts.app_hash.or_else(|| self.allowed.default_hash());
        let minutes = (facts.valid_s / 60).clamp(1, 99);
        let Code(code) = facts.code;
        let template = facts.own.map_or_else(|| self.codes.pick(facts.locale), |own| &own.0);
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
        self.phone_changed.pick(locale).fill(&Facts { code: "", app: &self.app, minutes: 0 })
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

    /// Every text in every locale, at its longest, must be fit to send.
    fn check(&self, parts_max: usize) -> Result<(), SettingError> {
        for (locale, template) in &self.codes.by_locale {
            let setting = || format!("text.templates.{locale}");
            let bare = template.fill(&Facts { code: LONGEST_CODE, app: &self.app, minutes: 99 });
            template::check_text(&bare, Some(LONGEST_CODE)).map_err(|reason| SettingError::new(setting(), reason))?;
            let longest = CodeFacts {
                code: Code(LONGEST_CODE),
                valid_s: u32::MAX,
                locale: Some(locale),
                webotp_host: self.allowed.longest_host(),
                app_hash: self.allowed.any_hash(),
                own: None,
            };
            if parts(&self.code(&longest)) > parts_max {
                return Err(SettingError::new(setting(), "is longer than parts_max allows, lines for phones included"));
            }
            let usual =
                CodeFacts { code: Code(USUAL_CODE), valid_s: 120, locale: Some(locale), ..CodeFacts::default() };
            if self.allowed.default_hash().is_some() && air_bytes(&self.code(&usual)) > ANDROID_BYTES_MAX {
                let reason =
                    "is longer than the 140 bytes that Android reads, the lines of app_hash and webotp_host included";
                return Err(SettingError::new(setting(), reason));
            }
        }
        for locale in self.phone_changed.by_locale.keys() {
            let setting = || format!("text.phone_changed.{locale}");
            let text = self.phone_changed(Some(locale));
            template::check_text(&text, None).map_err(|reason| SettingError::new(setting(), reason))?;
            if parts(&text) > parts_max {
                return Err(SettingError::new(setting(), "is longer than parts_max allows"));
            }
        }
        Ok(())
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
    by_locale: BTreeMap<String, Template>,
    default: Template,
}

impl Localized {
    fn new(
        kind: Kind,
        built_in: [(&str, &str); 2],
        configured: &BTreeMap<String, String>,
        default: &str,
    ) -> Result<Self, SettingError> {
        let mut by_locale = BTreeMap::new();
        let mut add = |locale: &str, source: &str| {
            let setting = || format!("text.{}.{locale}", kind.setting());
            if !is_locale(locale) {
                return Err(SettingError::new(
                    format!("text.{}", kind.setting()),
                    "has a key that is no BCP 47 locale",
                ));
            }
            let template = Template::parse(kind, source).map_err(|reason| SettingError::new(setting(), reason))?;
            by_locale.insert(locale.to_ascii_lowercase(), template);
            Ok(())
        };
        for (locale, source) in built_in {
            add(locale, source)?;
        }
        for (locale, source) in configured {
            add(locale, source)?;
        }
        match lookup(&by_locale, default).cloned() {
            Some(default) => Ok(Self { by_locale, default }),
            None => Err(SettingError::new("text.default_locale", "has no template")),
        }
    }

    fn pick(&self, locale: Option<&str>) -> &Template {
        locale.and_then(|locale| lookup(&self.by_locale, locale)).unwrap_or(&self.default)
    }
}

/// Longest locale, in bytes; longer ones are nothing a person chose.
const LOCALE_LEN_MAX: usize = 35;

fn is_locale(locale: &str) -> bool {
    let is_subtag = |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
    locale.len() <= LOCALE_LEN_MAX && locale.split('-').all(is_subtag)
}

/// RFC 4647 lookup: the locale itself, then without its last subtag, and so on.
fn lookup<'a>(by_locale: &'a BTreeMap<String, Template>, locale: &str) -> Option<&'a Template> {
    let locale = locale.replace('_', "-").to_ascii_lowercase();
    if !is_locale(&locale) {
        return None;
    }
    let mut range = locale.as_str();
    loop {
        if let Some(template) = by_locale.get(range) {
            return Some(template);
        }
        (range, _) = range.rsplit_once('-')?;
    }
}

#[cfg(test)]
mod tests;
