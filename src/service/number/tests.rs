//! Tables of spellings and refusals, and the idempotence of the canonical form.

use proptest::prelude::*;

use super::*;

fn iran() -> NumberRules {
    NumberRules { default_region: Some("IR".parse().unwrap()), ..NumberRules::default() }
}

#[track_caller]
fn check(typed: &str, rules: &NumberRules, region: Option<&str>, expected: Result<&str, NumberError>) {
    let found = parse(typed, rules, region).map(PhoneNumber::to_e164);
    assert_eq!(found.as_deref().map_err(|error| *error), expected, "{typed:?} in {region:?}");
}

/// security 23, 46, 47, 51: however a person types it, it is one number, so one bucket and one actor.
#[test]
fn forty_spellings_are_one_number() {
    let spellings = [
        "+989123456789",
        "+98 912 345 6789",
        "+98-912-345-6789",
        "+98.912.345.6789",
        "+98/912/3456789",
        "+98 (912) 345-6789",
        "(+98) 912 345 6789",
        "[+98] 912 345 6789",
        "+98 0912 345 6789",
        "+9809123456789",
        "+98 (0) 912 345 6789",
        " +989123456789",
        "+989123456789 ",
        "+ 98 912 345 6789",
        "00989123456789",
        "00 98 912 345 6789",
        "0098-0912-345-6789",
        "(00) 98 912 3456789",
        "989123456789",
        "98 912 345 6789",
        "09123456789",
        "0912 345 6789",
        "0912-345-6789",
        "0912.345.6789",
        "(0912) 345 6789",
        "(0912)3456789",
        "9123456789",
        "912 345 6789",
        "۰۹۱۲۳۴۵۶۷۸۹",
        "۰۹۱۲ ۳۴۵ ۶۷۸۹",
        "+۹۸۹۱۲۳۴۵۶۷۸۹",
        "+98۹۱۲۳۴۵۶۷۸۹",
        "۰۰۹۸۹۱۲۳۴۵۶۷۸۹",
        "٠٩١٢٣٤٥٦٧٨٩",
        "+٩٨٩١٢٣٤٥٦٧٨٩",
        "＋９８９１２３４５６７８９",
        "０９１２３４５６７８９",
        "०९१२३४५६७८९",
        "+98\u{A0}912\u{A0}345\u{A0}6789",
        "+98\u{202F}912\u{2009}345\u{3000}6789",
        "+98\u{2010}912\u{2011}345\u{2013}6789",
        "+98\u{2212}912\u{2014}345\u{FF0D}6789",
        "\u{200E}+989123456789",
        "\u{202A}+989123456789\u{202C}",
        "\u{2066}+98 912 345 6789\u{2069}",
        "\u{200F}۰۹۱۲\u{200F}۳۴۵۶۷۸۹",
        "（０９１２）３４５６７８９",
    ];
    assert!(spellings.len() >= 40);
    for typed in spellings {
        check(typed, &iran(), None, Ok("+989123456789"));
        check(typed, &NumberRules { validation: Validation::Valid, ..iran() }, None, Ok("+989123456789"));
    }
}

/// security 48, 49: each odd character at each position is refused before the library sees it.
#[test]
fn odd_characters_are_refused_at_every_position() {
    let odd = concat!(
        "aZxоéا電٪,;<>=:#*",
        "@%&'\"\\|~_?!${}\n\r",
        "\t\0\u{7}\u{1B}\u{7F}\u{85}\u{AD}\u{200B}\u{200C}\u{200D}\u{2060}\u{FEFF}\u{2028}\u{2029}\u{61C}\u{300}",
        "\u{301}\u{20E3}\u{FE0F}²½Ⅷ🙂，；\u{E0031}",
    );
    for base in ["+989123456789", "09123456789"] {
        for c in odd.chars() {
            for at in 0..=base.len() {
                let mut typed = base.to_owned();
                typed.insert(at, c);
                check(&typed, &iran(), None, Err(NumberError::Character));
            }
        }
    }
}

/// security 48, 49: the whole-text forms both libraries take for numbers.
#[test]
fn other_forms_are_refused() {
    for typed in [
        "+98910123456a",
        "+3367a829916",
        "1-800-FLOWERS",
        "+1 (415) 555-2671 ext 5",
        "+14155552671 ext. 5",
        "+14155552671x5",
        "+14155552671;ext=5",
        "+14155552671,,5",
        "tel:+989123456789",
        "tel:9123456789;phone-context=+98",
        "+989123456789\n",
        "+989123456789,+989123456780",
        "+989123456789<+989123456780",
        "++989123456789",
        "98+9123456789",
        "+98912345+6789",
        "00+989123456789",
        "{\"$ne\":null}",
        "' or 1=1 --",
    ] {
        check(typed, &iran(), None, Err(NumberError::Character));
    }
    for typed in ["", " ", "+", " + ", "()", "\u{200E}"] {
        check(typed, &iran(), None, Err(NumberError::Empty));
    }
    for typed in ["+0989123456789", "+000989123456789", "000989123456789", "+98", "+1", "0", "00", "112", "0912"] {
        let found = parse(typed, &iran(), None);
        assert!(matches!(found, Err(NumberError::NotE164 | NumberError::Empty)), "{typed:?}: {found:?}");
    }
    check("+1234567890123456", &iran(), None, Err(NumberError::NotE164));
}

/// security 50: 32 characters, counted after decoding and before anything is dropped.
#[test]
fn characters_are_counted_before_normalisation() {
    let fill = |count: usize| format!("+989123456789{}", "\u{A0}".repeat(count));
    check(&fill(19), &iran(), None, Ok("+989123456789"));
    check(&fill(20), &iran(), None, Err(NumberError::TooLong));
    check(&"9".repeat(10_000), &iran(), None, Err(NumberError::TooLong));
}

#[test]
fn without_country_code_a_region_decides() {
    let bare = NumberRules::default();
    check("09101234567", &bare, None, Err(NumberError::NeedsRegion));
    check("255694230173", &bare, None, Err(NumberError::NeedsRegion));
    check("09101234567", &bare, Some("IR"), Ok("+989101234567"));
    check("(415) 555-2671", &bare, Some("us"), Ok("+14155552671"));
    check("06205829376", &iran(), Some("IN"), Ok("+916205829376"));
    check("+4915112345678", &iran(), None, Ok("+4915112345678"));
    for region in ["", "I", "IRN", "ZZ", "98", "۱۲", "IR ", "xx"] {
        check("09101234567", &bare, Some(region), Err(NumberError::UnknownRegion));
    }
    // Another country's digits without plus must not become a made-up number of this one.
    check("255694230173", &iran(), None, Err(NumberError::NotE164));
    // A local number without its area code reaches nobody.
    check("5552671", &bare, Some("US"), Err(NumberError::NotE164));
}

#[test]
fn a_dialect_may_read_bare_digits_as_international() {
    let rules = NumberRules { bare_is_international: true, ..NumberRules::default() };
    check("255694230173", &rules, None, Ok("+255694230173"));
    check("989123456789", &rules, None, Ok("+989123456789"));
    check("09123456789", &rules, None, Err(NumberError::NeedsRegion));
    check("00989123456789", &rules, None, Ok("+989123456789"));
    check("09123456789", &rules, Some("IR"), Ok("+989123456789"));
}

#[test]
fn syntax_is_the_default_and_the_plan_an_option() {
    let valid = NumberRules { validation: Validation::Valid, ..NumberRules::default() };
    for typed in ["+1234567890", "+999123456789", "+98912345678"] {
        check(typed, &NumberRules::default(), None, Ok(typed));
        check(typed, &valid, None, Err(NumberError::NotInPlan));
    }
    check("+982112345678", &valid, None, Ok("+982112345678"));
    // A leading zero that belongs to the number stays.
    check("+39 06 698 12345", &valid, None, Ok("+390669812345"));
}

#[test]
fn a_number_knows_its_region() {
    let region = |text: &str| region_of(PhoneNumber::from_e164(text).unwrap()).map(|region| region.to_string());
    assert_eq!(region("+989123456789").as_deref(), Some("IR"));
    assert_eq!(region("+14165550123").as_deref(), Some("CA"));
    assert_eq!(region("+999123456789"), None);
}

/// Errors name no input.
#[test]
fn errors_hold_nothing_of_the_text() {
    let error = parse("+98912345678x", &iran(), None).unwrap_err();
    assert!(!format!("{error:?} {error}").contains("912"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// security 46: the canonical form is a fixed point, under every rule that accepts it.
    #[test]
    fn canonical_is_idempotent(
        typed in r"(\+|00|0)?[0-9]{4,16}",
        region in prop::sample::select(vec!["IR", "US", "IT", "AR", "MX", "BR", "DE", "CI"]),
    ) {
        let rules = NumberRules { bare_is_international: true, ..NumberRules::default() };
        if let Ok(number) = parse(&typed, &rules, Some(region)) {
            prop_assert_eq!(parse(&number.to_e164(), &NumberRules::default(), None), Ok(number), "{:?}", typed);
            prop_assert_eq!(parse(&number.to_e164(), &rules, Some("US")), Ok(number), "{:?}", typed);
        }
    }

    /// security 49: no text whatever panics or yields anything but digits of its own.
    #[test]
    fn any_text_is_safe(typed in r"\PC{0,40}") {
        let _ = parse(&typed, &iran(), None);
        let _ = parse(&format!("+{typed}"), &NumberRules::default(), None);
    }
}

/// security 37: the kinds that plans tell apart, with an example of each from the library's own plans.
#[test]
fn destinations_have_country_and_kind() {
    let kind_of = |e164: &str| {
        let Destination { country, kind, .. } = destination(PhoneNumber::from_e164(e164).unwrap());
        (country.map(|country| country.to_string()), kind.name())
    };
    let table = [
        ("+989121234567", "IR", "mobile"),
        ("+982123456789", "IR", "fixed_line"),
        ("+14155550100", "US", "fixed_or_mobile"),
        ("+18005551234", "US", "toll_free"),
        ("+19002345678", "US", "premium"),
        ("+447400123456", "GB", "mobile"),
        ("+449012345678", "GB", "premium"),
        ("+39848123456", "IT", "shared_cost"),
        ("+445612345678", "GB", "voip"),
        ("+447012345678", "GB", "personal"),
        ("+447640123456", "GB", "pager"),
        ("+445512345678", "GB", "uan"),
    ];
    for (number, country, kind) in table {
        assert_eq!(kind_of(number), (Some(country.to_owned()), kind), "{number}");
    }
    assert_eq!(kind_of("+999123456789"), (None, "unknown"));
    assert_eq!(kind_of("+15005550006").1, "personal", "Twilio's magic number, which no default blocks");
}

/// What the library's own parser says of a canonical number.
fn parsed(number: PhoneNumber) -> Option<rlibphonenumber::PhoneNumber> {
    PHONE_NUMBER_UTIL.parse(number.to_e164(), None).ok()
}

/// The library's example of each kind in each region: read without its parser as with it.
#[test]
fn a_canonical_number_needs_no_parser() {
    let mut compared = 0;
    for region in PHONE_NUMBER_UTIL.get_supported_regions() {
        for kind in PHONE_NUMBER_UTIL.get_supported_types_for_region(region).unwrap() {
            let Ok(example) = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind) else { continue };
            let typed = PHONE_NUMBER_UTIL.format(&example, PhoneNumberFormat::E164);
            // Some short ones are no numbers of ours.
            let Ok(number) = parse(&typed, &NumberRules::default(), None) else { continue };
            assert_eq!(in_plan(number), parsed(number), "{typed}");
            compared += 1;
        }
    }
    assert!(compared > 1_000, "{compared}");
    // Codes of no country, of one country with a leading zero, of a shared one, and no code at all.
    for typed in [
        "+80012345678",
        "+870773111632",
        "+881612345678",
        "+97912345678",
        "+390612345678",
        "+12425551234",
        "+999123456",
    ] {
        let number = parse(typed, &NumberRules::default(), None).unwrap();
        assert_eq!(in_plan(number), parsed(number), "{typed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn no_canonical_number_needs_a_parser(typed in r"\+[1-9][0-9]{0,2}0{0,3}[0-9]{4,12}") {
        if let Ok(number) = parse(&typed, &NumberRules::default(), None) {
            prop_assert_eq!(in_plan(number), parsed(number), "{:?}", typed);
        }
    }
}
