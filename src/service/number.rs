//! A phone number as a person typed it, brought to the one canonical [`PhoneNumber`].
//!
//! Order of work: count characters, fold digits of every script, drop a documented list of separators, refuse
//! everything else, and only then ask the numbering-plan library about digits. The library alone would be
//! too kind: it accepts extensions, `tel:` URIs, letters and line breaks. Owns no dialect's own rule of
//! what a number must look like, never logs a number and never keeps the raw text.

use std::{fmt, str::FromStr};

use rlibphonenumber::{NumberLengthType, PHONE_NUMBER_UTIL, ParseError, PhoneNumberFormat, PhoneNumberType};

use super::digits;
use crate::{guard::NumberKind, record::PhoneNumber, sms::routes::Destination};

/// Most characters a number may have before normalisation, counted after UTF-8 decoding. The longest number
/// has 15 digits and a plus; the rest is room for separators.
pub const NUMBER_CHARS_MAX: usize = 32;
/// Most digits of a country code (ITU-T E.164).
const COUNTRY_CODE_DIGITS_MAX: usize = 3;
/// How often a result is parsed again until it no longer changes (see [`settle`]).
const SETTLE_STEPS_MAX: usize = 4;

/// A country or territory with a numbering plan, as ISO 3166-1 alpha-2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Region(rlibphonenumber::Region);

/// How a number without `+` is read, and how closely any number is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NumberRules {
    /// The region of numbers without a country code, when the request names none. Default: none.
    pub default_region: Option<Region>,
    /// What a number must satisfy. Default: [`Validation::Syntax`].
    pub validation: Validation,
    /// Reads digits without `+` as international when no region is known, as some dialects do
    /// (`255694230173`). Default: off, because a national number would silently become another country's.
    pub bare_is_international: bool,
}

/// What a number must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validation {
    /// The form of E.164; a national number also needs a length its region knows.
    #[default]
    Syntax,
    /// A number that the numbering plan of its region can assign.
    Valid,
}

/// Why a text is no phone number. Holds nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Nothing, or separators only.
    #[error("the number is empty")]
    Empty,
    /// More than [`NUMBER_CHARS_MAX`] characters.
    #[error("the number has too many characters")]
    TooLong,
    /// A character that is neither digit, leading plus nor a known separator.
    #[error("the number has a character that is not allowed")]
    Character,
    /// No country code, and no region to read it in.
    #[error("the number has no country code and no region is known")]
    NeedsRegion,
    /// The named region is none that has a numbering plan.
    #[error("the region is unknown")]
    UnknownRegion,
    /// Not 7 to 15 digits with a country code, or of a length its region does not know.
    #[error("not an E.164 number")]
    NotE164,
    /// No number its region can assign; only under [`Validation::Valid`].
    #[error("no number of its region's plan")]
    NotInPlan,
}

/// Reads `typed` as one canonical number.
///
/// `region` (from the request) goes before the configured default and matters only without a country code.
/// `+` or `00` starts an international number; a trunk zero after the country code is dropped where the
/// region has one (`+98 0912…` is `+98912…`). The result, written as E.164 and parsed again, is itself.
pub fn parse(typed: &str, rules: &NumberRules, region: Option<&str>) -> Result<PhoneNumber, NumberError> {
    let named = region.map(Region::from_str).transpose()?;
    let digits = clean(typed)?;
    let number = if digits.starts_with('+') {
        international(&digits)?
    } else if let Some(region) = named.or(rules.default_region) {
        national(&digits, region)?
    } else if rules.bare_is_international && !digits.starts_with('0') {
        international(&format!("+{digits}"))?
    } else {
        return Err(NumberError::NeedsRegion);
    };
    match rules.validation {
        Validation::Syntax => Ok(number),
        Validation::Valid if is_assignable(number) => Ok(number),
        Validation::Valid => Err(NumberError::NotInPlan),
    }
}

/// The region a number belongs to by its plan; `None` if no plan knows it.
pub fn region_of(number: PhoneNumber) -> Option<Region> {
    PHONE_NUMBER_UTIL.get_region_for_number(&in_plan(number)?).map(Region)
}

/// A number's country and what kind of line it is, by its plan; what no plan knows is `None` and unknown.
pub fn destination(number: PhoneNumber) -> Destination {
    let Some(parsed) = in_plan(number) else {
        return Destination { number, country: None, kind: NumberKind::Unknown };
    };
    let region = PHONE_NUMBER_UTIL.get_region_for_number(&parsed);
    let country = region.and_then(|region| Region(region).to_string().parse().ok());
    let kind = match PHONE_NUMBER_UTIL.get_number_type(&parsed) {
        PhoneNumberType::Mobile => NumberKind::Mobile,
        PhoneNumberType::FixedLine => NumberKind::FixedLine,
        PhoneNumberType::FixedLineOrMobile => NumberKind::FixedOrMobile,
        PhoneNumberType::TollFree => NumberKind::TollFree,
        PhoneNumberType::PremiumRate => NumberKind::Premium,
        PhoneNumberType::SharedCost => NumberKind::SharedCost,
        PhoneNumberType::VoIP => NumberKind::Voip,
        PhoneNumberType::PersonalNumber => NumberKind::Personal,
        PhoneNumberType::Pager => NumberKind::Pager,
        PhoneNumberType::UAN => NumberKind::Uan,
        PhoneNumberType::VoiceMail => NumberKind::Voicemail,
        PhoneNumberType::Unknown => NumberKind::Unknown,
    };
    Destination { number, country, kind }
}

/// Loads the numbering plans and compiles the common patterns (about 9 ms and 6 MiB), so that the first
/// request does not pay for it. Call before listening.
pub fn warm_up(rules: &NumberRules) {
    for sample in ["+989123456789", "+14155552671", "+916205829376"] {
        let valid = NumberRules { validation: Validation::Valid, ..*rules };
        // Only the side effect counts.
        let _ = parse(sample, &valid, None);
    }
}

/// Counts, folds and strips. The result is an optional leading `+` and at least one ASCII digit, with `00`
/// already turned into `+`.
fn clean(typed: &str) -> Result<String, NumberError> {
    if typed.chars().nth(NUMBER_CHARS_MAX).is_some() {
        return Err(NumberError::TooLong);
    }
    let mut cleaned = String::with_capacity(NUMBER_CHARS_MAX);
    for c in typed.chars() {
        match c {
            '+' | '\u{FF0B}' if cleaned.is_empty() => cleaned.push('+'),
            c if is_separator(c) => {}
            c => cleaned.push(digits::to_ascii(c).ok_or(NumberError::Character)?),
        }
    }
    if cleaned.trim_start_matches('+').is_empty() {
        return Err(NumberError::Empty);
    }
    Ok(match cleaned.strip_prefix("00") {
        Some(rest) => format!("+{rest}"),
        None => cleaned,
    })
}

/// What people put between digits and what means nothing: spaces, hyphens and dashes, brackets, dots and
/// slashes (ASCII and fullwidth), and the invisible direction marks that right-to-left text brings along.
/// No tab, no line break, no zero-width joiner or space, no combining mark.
fn is_separator(c: char) -> bool {
    let space = matches!(c, ' ' | '\u{A0}' | '\u{2000}'..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}');
    let dash = matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{FF0D}');
    let bracket = matches!(c, '(' | ')' | '[' | ']' | '\u{FF08}' | '\u{FF09}' | '\u{FF3B}' | '\u{FF3D}');
    let point = matches!(c, '.' | '/' | '\u{FF0E}' | '\u{FF0F}');
    let direction = matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    space || dash || bracket || point || direction
}

/// `digits` is `+` and ASCII digits.
fn international(digits: &str) -> Result<PhoneNumber, NumberError> {
    // No country code starts with 0; the library would drop such zeroes and make a number of the rest.
    if digits.starts_with("+0") { Err(NumberError::NotE164) } else { settle(digits) }
}

/// Parses until the text no longer changes: one pass drops one trunk zero, so `+98 00912…` would otherwise
/// be one number now and another when it is read back (security 46).
fn settle(digits: &str) -> Result<PhoneNumber, NumberError> {
    let mut text = digits.to_owned();
    for _ in 0..SETTLE_STEPS_MAX {
        let next = match PHONE_NUMBER_UTIL.parse(&text, None) {
            Ok(parsed) => PHONE_NUMBER_UTIL.format(&parsed, PhoneNumberFormat::E164).into_owned(),
            // No plan to ask: the form alone decides.
            Err(ParseError::InvalidCountryCode | ParseError::TooShortNsn | ParseError::TooLongNsn) => {
                return PhoneNumber::from_e164(&text).map_err(|_| NumberError::NotE164);
            }
            Err(ParseError::NotANumber(_) | ParseError::TooShortAfterIdd) => return Err(NumberError::NotE164),
        };
        if next == text {
            return PhoneNumber::from_e164(&text).map_err(|_| NumberError::NotE164);
        }
        text = next;
    }
    Err(NumberError::NotE164)
}

/// `digits` is ASCII digits without `+`. The length must be one that the region knows, or digits of another
/// country typed without their plus would become a made-up number here.
fn national(digits: &str, region: Region) -> Result<PhoneNumber, NumberError> {
    let parsed = PHONE_NUMBER_UTIL.parse(digits, Some(region.0)).map_err(|_| NumberError::NotE164)?;
    let length = PHONE_NUMBER_UTIL.is_possible_number_with_reason(&parsed);
    if !matches!(length, Ok(NumberLengthType::IsPossible)) {
        return Err(NumberError::NotE164);
    }
    let text = PHONE_NUMBER_UTIL.format(&parsed, PhoneNumberFormat::E164);
    settle(&text)
}

fn is_assignable(number: PhoneNumber) -> bool {
    in_plan(number).is_some_and(|parsed| PHONE_NUMBER_UTIL.is_valid_number(&parsed))
}

/// A canonical number as the library has it: country code and the rest. It is what the library's parser says of a number
/// that [`settle`] leaves as it is, without that parser's search for what people type (2 % of a send).
fn in_plan(number: PhoneNumber) -> Option<rlibphonenumber::PhoneNumber> {
    let digits = number.as_u64().to_string();
    // No code begins with another one, so the first that fits is the only one.
    let (code, national) = (1..=COUNTRY_CODE_DIGITS_MAX).find_map(|length| {
        let (code, national) = digits.split_at_checked(length)?;
        let code = code.parse().ok()?;
        PHONE_NUMBER_UTIL.get_region_for_country_code(code).map(|_| (code, national))
    })?;
    let significant = national.trim_start_matches('0').len().max(1);
    let zeros = i32::try_from(national.len().saturating_sub(significant)).ok()?;
    Some(rlibphonenumber::PhoneNumber {
        country_code: code,
        national_number: national.parse().ok()?,
        italian_leading_zero: (zeros > 0).then_some(true),
        number_of_leading_zeros: (zeros > 1).then_some(zeros),
        ..rlibphonenumber::PhoneNumber::default()
    })
}

impl FromStr for Region {
    type Err = NumberError;

    /// Two ASCII letters in either case, of a region that has a numbering plan.
    fn from_str(code: &str) -> Result<Self, NumberError> {
        if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(NumberError::UnknownRegion);
        }
        let region = rlibphonenumber::Region::from_code(&code.to_ascii_uppercase());
        let region = region.map_err(|_| NumberError::UnknownRegion)?;
        let known = PHONE_NUMBER_UTIL.get_country_code_for_region(region).is_some();
        if known { Ok(Self(region)) } else { Err(NumberError::UnknownRegion) }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_region_str().as_str())
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
