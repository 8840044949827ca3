//! What the fields of a profile may hold, at every door: a profile that one door takes is good at all of them.
//!
//! Each door has its own words for what is not good; here is only whether it is.

/// Most characters of a name, of any kind, and of a location.
pub const NAME_CHARS_MAX: usize = 100;
/// Most characters of an e-mail address (RFC 5321, 4.5.3.1.3 without the brackets).
pub const EMAIL_CHARS_MAX: usize = 254;
/// Most characters of what someone says about themselves.
pub const BIO_CHARS_MAX: usize = 500;
/// Most characters of a web address.
pub const WEB_ADDRESS_CHARS_MAX: usize = 500;

/// At most this many characters, all of them [plain](is_plain).
pub fn is_text(text: &str, chars_max: usize) -> bool {
    text.chars().nth(chars_max).is_none() && is_plain(text)
}

/// No control characters other than line feeds and tabs.
pub fn is_plain(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t'))
}

/// An address alone: no name beside it, and no machine's number in place of a domain.
pub fn is_email(text: &str) -> bool {
    let bare = email_address::Options::default().without_display_text().without_domain_literal();
    is_text(text, EMAIL_CHARS_MAX) && email_address::EmailAddress::parse_with_options(text, bare).is_ok()
}

/// A day of the calendar, as in 1995-01-31 and no other way.
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

/// An `http` or `https` address with a host and without white space, over which its parser would pass.
pub fn is_web_address(text: &str) -> bool {
    let url = Some(text).filter(|text| !text.contains(char::is_whitespace)).and_then(|text| url::Url::parse(text).ok());
    let is_good = url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    is_good && is_text(text, WEB_ADDRESS_CHARS_MAX)
}
