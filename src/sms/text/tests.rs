//! The texts as people get them, and the settings that are refused.

use super::*;
use crate::sms::segments;

const HASH: &str = "FA+9qCX9VSu";

fn texts(change: impl FnOnce(&mut TextSettings)) -> Texts {
    let mut settings = TextSettings { app: "Acme".to_owned(), ..TextSettings::default() };
    change(&mut settings);
    Texts::new(settings).expect("taken")
}

fn refused(change: impl FnOnce(&mut TextSettings)) -> String {
    let mut settings = TextSettings { app: "Acme".to_owned(), ..TextSettings::default() };
    change(&mut settings);
    Texts::new(settings).expect_err("refused").setting
}

fn english(source: &str) -> impl FnOnce(&mut TextSettings) {
    move |settings| {
        settings.templates.insert("en".to_owned(), source.to_owned());
    }
}

fn facts<'a>(code: &'a str, locale: &'a str) -> CodeFacts<'a> {
    CodeFacts { code: Code(code), valid_s: 120, locale: Some(locale), ..CodeFacts::default() }
}

/// security 2: leading zeros survive into the text.
#[test]
fn the_english_and_persian_texts() {
    let texts = texts(|_| {});
    assert_eq!(texts.code(&facts("000123", "en")), "000123 is your Acme code. It is valid for 2 min.");
    assert_eq!(texts.code(&facts("0042", "fa")), "کد تایید Acme: 0042\nاعتبار 2 دقیقه");
    let notice = "Your Acme account was moved to another phone number. If this was not you, contact support.";
    assert_eq!(texts.phone_changed(None), notice);
    assert!(texts.phone_changed(Some("fa-IR")).contains("Acme"));
}

/// The longest name there may be, and a host with the longest of usual names.
const LONGEST_APP: &str = "Verein der Freunde der Eisenbahn";
const LONG_HOST: &str = "accounts.login.example.com";

/// What each language costs: the alphabet and units of a code, the same under the longest name, units of the notice. Every
/// code is one part under every name, every notice under a usual one.
#[test]
fn every_built_in_text_is_one_part() {
    use segments::{Alphabet::Gsm7, Alphabet::Ucs2, measure};
    let table = [
        ("en", (Gsm7, 49, 77), (Gsm7, 90)),
        ("fa", (Ucs2, 37, 65), (Ucs2, 68)),
        ("hi", (Ucs2, 33, 61), (Ucs2, 62)),
        ("sw", (Gsm7, 55, 83), (Gsm7, 96)),
        ("ar", (Ucs2, 36, 64), (Ucs2, 60)),
        ("es", (Gsm7, 44, 72), (Gsm7, 87)),
        ("fr", (Gsm7, 50, 78), (Gsm7, 92)),
        ("de", (Gsm7, 45, 73), (Gsm7, 108)),
        ("pt", (Ucs2, 37, 65), (Gsm7, 86)),
        ("tr", (Gsm7, 57, 85), (Ucs2, 66)),
        ("id", (Gsm7, 47, 75), (Gsm7, 84)),
        ("ru", (Ucs2, 34, 62), (Ucs2, 68)),
    ];
    let usual = texts(|_| {});
    let longest = texts(|settings| settings.app = LONGEST_APP.to_owned());
    assert_eq!(LONGEST_APP.chars().count(), APP_LETTERS_MAX);
    assert_eq!(usual.left_out().len() + longest.left_out().len(), 0);
    let mut locales: Vec<_> = table.iter().map(|(locale, ..)| *locale).collect();
    locales.sort_unstable();
    assert_eq!(usual.locales().collect::<Vec<_>>(), locales);
    assert_eq!(usual.notice_locales().collect::<Vec<_>>(), locales);
    for (locale, (alphabet, units, units_longest), notice) in table {
        let facts = CodeFacts { valid_s: 600, ..facts("135790", locale) };
        let shown = measure(&usual.code(&facts));
        assert_eq!((shown.alphabet, shown.units, shown.parts), (alphabet, units, 1), "{locale}");
        let shown = measure(&longest.code(&facts));
        assert_eq!((shown.alphabet, shown.units, shown.parts), (alphabet, units_longest, 1), "{locale}");
        let text = usual.phone_changed(Some(locale));
        let shown = measure(&text);
        assert_eq!((shown.alphabet, shown.units, shown.parts), (notice.0, notice.1, 1), "{locale}");
        assert!(parts(&longest.phone_changed(Some(locale))) <= 2, "{locale}");
        assert!(text.contains("Acme") && !text.contains(|letter: char| letter.is_numeric()), "{text}");
    }
}

/// The code stands in the first sentence in ASCII digits, apart from letters, and is the only number of its size; the
/// minutes are the only other one.
#[test]
fn every_built_in_text_shows_the_code_where_phones_look() {
    let texts = texts(|_| {});
    for locale in texts.locales() {
        let text = texts.code(&facts("004269", locale));
        let first = text.split(['\n', '।']).next().unwrap().split(". ").next().unwrap();
        let numbers = |text: &str| {
            let runs = text.split(|letter: char| !letter.is_numeric()).filter(|run| !run.is_empty());
            runs.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(numbers(first), ["004269"], "{text}");
        assert_eq!(numbers(&text).len(), 2, "{text}");
        assert!(text.contains('2'), "{text}");
        template::check_text(&text, Some("004269")).unwrap();
        // Right-to-left texts need no marks: a run of digits is never turned around.
        let is_mark = |letter| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{feff}');
        assert!(!text.contains(is_mark) && !texts.phone_changed(Some(locale)).contains(is_mark), "{locale}");
    }
}

/// Both lines for phones in every language: within what Android reads, still one part, and the page's line is the last.
#[test]
fn every_built_in_text_takes_the_lines_for_phones() {
    let texts = texts(|settings| {
        settings.webotp_hosts = vec!["example.com".to_owned(), LONG_HOST.to_owned()];
        settings.webotp_host = Some("example.com".to_owned());
        settings.app_hashes = vec![HASH.to_owned()];
        settings.app_hash = Some(HASH.to_owned());
    });
    assert_eq!(texts.left_out().len(), 0);
    for locale in texts.locales() {
        let facts = CodeFacts { valid_s: 600, ..facts("135790", locale) };
        let text = texts.code(&facts);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[lines.len() - 2..], [HASH, "@example.com #135790"], "{text}");
        assert!(!text.ends_with('\n'));
        assert_eq!(parts(&text), 1, "{text}");
        assert!(air_bytes(&text) <= ANDROID_BYTES_MAX, "{text}");
        let host = texts.webotp_host(LONG_HOST);
        let text = texts.code(&CodeFacts { webotp_host: host.as_ref(), ..facts });
        assert_eq!(text.lines().last(), Some("@accounts.login.example.com #135790"), "{text}");
        assert!(parts(&text) <= 2, "{text}");
    }
}

/// RFC 4647: the nearest locale, else the default one.
#[test]
fn the_locale_that_is_picked() {
    let texts = texts(|settings| settings.default_locale = "tr".to_owned());
    let table = [
        ("pt-BR", "pt"),
        ("pt_PT", "pt"),
        ("ar-EG", "ar"),
        ("hi-Deva-IN", "hi"),
        ("ES-419", "es"),
        ("zh", "tr"),
        ("zh-Hant", "tr"),
        ("fil", "tr"),
        ("no locale", "tr"),
    ];
    for (asked, picked) in table {
        assert_eq!(texts.picked(&facts("7777", asked)), picked, "{asked}");
        assert_eq!(texts.code(&facts("7777", asked)), texts.code(&facts("7777", picked)), "{asked}");
        assert_eq!(texts.phone_changed(Some(asked)), texts.phone_changed(Some(picked)), "{asked}");
    }
    assert_eq!(texts.picked(&CodeFacts::default()), "tr");
    // An API's own text is in its own language, whatever was asked for.
    let own = CodeText::parse("fa", "کد شما: {code}").unwrap();
    let facts = CodeFacts { own: Some(&own), ..facts("7777", "es") };
    assert_eq!((texts.picked(&facts), texts.code(&facts).as_str()), ("fa", "کد شما: 7777"));
}

/// Only what somebody chose must fit: a long name or few parts cost the languages whose texts they make too long.
#[test]
fn built_in_texts_that_do_not_fit_are_left_out() {
    let change = |settings: &mut TextSettings| {
        settings.app = "Bahnfreunde".to_owned();
        settings.parts_max = 1;
        settings.app_hashes = vec![HASH.to_owned()];
        settings.app_hash = Some(HASH.to_owned());
        settings.webotp_hosts = vec!["example.com".to_owned()];
        settings.webotp_host = Some("example.com".to_owned());
    };
    let fitting = texts(change);
    let mut left_out: Vec<&str> = fitting.left_out().iter().map(|error| error.setting.as_str()).collect();
    left_out.retain(|setting| setting.starts_with("text.templates."));
    let expected = ["ar", "fa", "hi", "pt", "ru"].map(|locale| format!("text.templates.{locale}"));
    assert_eq!(left_out, expected);
    assert_eq!(fitting.picked(&facts("7777", "fa-IR")), "en");
    assert!(fitting.code(&facts("135790", "fa")).starts_with("135790 is your Bahnfreunde code."));
    assert_eq!(fitting.picked(&facts("7777", "de")), "de");
    let default = |settings: &mut TextSettings| {
        change(settings);
        settings.default_locale = "fa".to_owned();
    };
    assert_eq!(refused(default), "text.templates.fa");
    let own = |settings: &mut TextSettings| {
        change(settings);
        settings.templates.insert("RU".to_owned(), "Код {app}: {code}, действует {minutes} мин.".to_owned());
    };
    assert_eq!(refused(own), "text.templates.ru");
}

#[test]
fn locales_fall_back_to_the_language_and_then_to_the_default() {
    let texts = texts(|settings| {
        settings.templates.insert("pt".to_owned(), "pt {code}".to_owned());
        settings.templates.insert("pt-BR".to_owned(), "pt-BR {code}".to_owned());
        settings.default_locale = "pt".to_owned();
        settings.phone_changed.insert("pt".to_owned(), "pt".to_owned());
    });
    let long = "x-".repeat(5_000);
    let table = [
        ("pt", "pt 7777"),
        ("PT-br", "pt-BR 7777"),
        ("pt_BR", "pt-BR 7777"),
        ("pt-BR-x-formal", "pt-BR 7777"),
        ("pt-PT", "pt 7777"),
        ("zh", "pt 7777"),
        ("ptx", "pt 7777"),
        ("", "pt 7777"),
        ("-", "pt 7777"),
        ("fa\r\nX: 1", "pt 7777"),
        ("*", "pt 7777"),
        (&long, "pt 7777"),
    ];
    for (locale, expected) in table {
        assert_eq!(texts.code(&facts("7777", locale)), expected, "{locale:.20}");
    }
    assert!(texts.code(&facts("7777", "fa-Arab-IR")).starts_with("کد"));
    assert_eq!(texts.code(&CodeFacts { locale: None, ..facts("7777", "en") }), "pt 7777");
    assert_eq!(refused(|settings| settings.default_locale = "zh".to_owned()), "text.default_locale");
    let bad_key = |settings: &mut TextSettings| {
        settings.templates.insert("en us".to_owned(), "{code}".to_owned());
    };
    assert_eq!(refused(bad_key), "text.templates");
}

#[test]
fn minutes_are_whole_and_have_at_most_two_digits() {
    let texts = texts(english("{code} {minutes}"));
    for (valid_s, minutes) in [(0, 1), (59, 1), (60, 1), (119, 1), (300, 5), (5_999, 99), (86_400, 99)] {
        let facts = CodeFacts { valid_s, ..facts("482913", "en") };
        assert_eq!(texts.code(&facts), format!("482913 {minutes}"));
    }
}

/// security 112 and `providers.md` section 14: hash, then host, and the host's line is the last.
#[test]
fn lines_for_phones() {
    let texts = texts(|settings| {
        english("{code}")(settings);
        settings.webotp_hosts = vec!["example.com".to_owned(), "Login.Example.org".to_owned()];
        settings.app_hashes = vec![HASH.to_owned()];
    });
    let (host, hash) = (texts.webotp_host("https://login.example.org").unwrap(), texts.app_hash(HASH).unwrap());
    let facts = facts("0042", "en");
    let table = [
        (None, None, "0042".to_owned()),
        (Some(&host), None, "0042\n@login.example.org #0042".to_owned()),
        (None, Some(&hash), format!("0042\n{HASH}")),
        (Some(&host), Some(&hash), format!("0042\n{HASH}\n@login.example.org #0042")),
    ];
    for (webotp_host, app_hash, expected) in table {
        assert_eq!(texts.code(&CodeFacts { webotp_host, app_hash, ..facts }), expected);
    }
    for origin in ["evil.example", "example.com:443", "https://example.com/x", "a.example.com", "example.com #1", ""] {
        assert_eq!(texts.webotp_host(origin), None, "{origin}");
    }
    for hash in ["", "FA+9qCX9VSv", "FA+9qCX9VSu\n", "fa+9qcx9vsu"] {
        assert_eq!(texts.app_hash(hash), None, "{hash}");
    }
}

#[test]
fn lines_for_phones_by_default() {
    let texts = texts(|settings| {
        settings.webotp_hosts = vec!["example.com".to_owned()];
        settings.webotp_host = Some("example.com".to_owned());
        settings.app_hashes = vec![HASH.to_owned()];
        settings.app_hash = Some(HASH.to_owned());
    });
    for locale in ["en", "fa"] {
        let text = texts.code(&facts("135790", locale));
        assert!(text.ends_with(&format!("\n{HASH}\n@example.com #135790")), "{text}");
        assert!(air_bytes(&text) <= 140, "Android reads no more");
    }
    assert_eq!(refused(|settings| settings.webotp_host = Some("example.com".to_owned())), "text.webotp_host");
    let other_app = |settings: &mut TextSettings| {
        settings.app_hashes = vec!["AAAAAAAAAAA".to_owned()];
        settings.app_hash = Some(HASH.to_owned());
    };
    assert_eq!(refused(other_app), "text.app_hash");
    for host in ["https://example.com", "example.com:443", "example", "exa mple.com", "-a.com", "a..com", "a.com\n", ""]
    {
        assert_eq!(refused(|settings| settings.webotp_hosts = vec![host.to_owned()]), "text.webotp_hosts");
    }
    for hash in ["short", "FA+9qCX9VS\n", "FA-9qCX9VSu", "FA+9qCX9VSu="] {
        assert_eq!(refused(|settings| settings.app_hashes = vec![hash.to_owned()]), "text.app_hashes");
    }
}

/// security 108: only known placeholders; no line breaks, control characters, URLs or second numbers.
#[test]
fn templates_that_are_refused() {
    for source in [
        "",
        "no code here",
        "{code} {code}",
        "{code} for {name}",
        "{code} {phone}",
        "{ code }",
        "{{code}}",
        "{code} {",
        "{code} }",
        "{code}\r\n{app}",
        "{code}\r",
        "{code}\n",
        " {code}",
        "{code}\t{app}",
        "{code}\0",
        "{code}\u{1b}[31m",
        "{code}\u{2028}x",
        "\u{202e}{code}",
        "{code} https://example.com",
        "{code} HTTP://X",
        "{code} at www.example.com",
        "{code} at example.com",
        "{code} on {app}.ir",
        "{code}\n@evil.example #{app}",
        "@{app} {code}",
        "{code} is valid for 300 seconds",
        "{code}, or call 5550100",
        "{code} ۱۲۳۴",
        "{code}{minutes}",
        "{code}5",
        "code{code}",
    ] {
        assert_eq!(refused(english(source)), "text.templates.en", "{source:?}");
    }
    for source in ["", "{code}", "{minutes} {app}", "see https://example.com", "call 5550100", "a\rb", "x\n@a #1"] {
        let setting = refused(|settings| {
            settings.phone_changed.insert("en".to_owned(), source.to_owned());
        });
        assert_eq!(setting, "text.phone_changed.en", "{source:?}");
    }
    for source in ["{code}", "G-{code}", "<#> {app}: {code}.\n{minutes} min", "({code}) 24/7"] {
        texts(english(source));
    }
}

/// security 108: the name is a value too.
#[test]
fn names_that_are_refused() {
    let long = "x".repeat(33);
    for app in
        ["", " ", "Acme ", "a\nb", "a\r\nb", "{code}", "acme.com", "http://a", "a@b", "Acme 2000", "a\u{7}", &long]
    {
        assert_eq!(refused(|settings| settings.app = app.to_owned()), "text.app", "{app:?}");
    }
    texts(|settings| settings.app = "بانک 24".to_owned());
}

#[test]
fn texts_that_cost_or_weigh_too_much_are_refused() {
    let long = "{code} ".to_owned() + &"word ".repeat(70) + "end";
    assert_eq!(refused(english(&long)), "text.templates.en");
    texts(|settings| {
        english(&long)(settings);
        settings.parts_max = 3;
    });
    assert_eq!(refused(|settings| settings.parts_max = 0), "text.parts_max");
    // One part with the built-in lines, but more than Android reads with the hash.
    let setting = refused(|settings| {
        settings.templates.insert("en".to_owned(), "{code} ".to_owned() + &"word ".repeat(29) + "end");
        settings.app_hashes = vec![HASH.to_owned()];
        settings.app_hash = Some(HASH.to_owned());
    });
    assert_eq!(setting, "text.templates.en");
}

/// security 118: what a message is made from does not show the code.
#[test]
fn facts_hide_the_code() {
    let shown = format!("{:?}", facts("482913", "en"));
    assert!(!shown.contains("482913"), "{shown}");
}
