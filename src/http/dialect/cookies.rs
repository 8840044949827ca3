//! Cookies of dialects whose originals keep a token in the browser: read as browsers send them, written as Django does.
//!
//! A browser sends a cookie, and keeps one that it is given, whoever made it ask; so this file also tells a request that
//! another site's page has caused. What a cookie holds is the dialect's to know.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts, uri::Authority},
    response::Response,
};
use cookie::Cookie;
use jiff::Timestamp;

/// The value of a cookie, without the quotes it may stand in; an empty one is none. Of several, the first: browsers put
/// the one of the nearest path first.
pub(super) fn value(headers: &HeaderMap, name: &str) -> Option<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let cookies = lines.flat_map(Cookie::split_parse).filter_map(Result::ok);
    let mut values = cookies.filter(|cookie| cookie.name() == name).map(|cookie| cookie.value_trimmed().to_owned());
    values.find(|value| !value.is_empty())
}

/// A cookie for the whole server that scripts cannot read, and that no other site's forms and images bring along.
/// `Debug` of the answer does not show it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) name: &'a str,
    /// Printable ASCII without quote and backslash, as tokens are.
    pub(super) value: &'a str,
    /// Life in seconds; 0 takes the cookie away.
    pub(super) life_s: u64,
    /// When it ends, in seconds since 1970.
    pub(super) ends_at_s: u64,
    /// It travels over https alone.
    pub(super) secure: bool,
}

impl Given<'_> {
    /// Puts it into an answer. Order and quotes are those of Django's own line.
    pub(super) fn put(self, mut response: Response) -> Response {
        let Self { name, value, life_s, ends_at_s, secure } = self;
        let ends =
            i64::try_from(ends_at_s).ok().and_then(|at| Timestamp::from_second(at).ok()).unwrap_or(Timestamp::MAX);
        let ends = ends.strftime("%a, %d %b %Y %H:%M:%S GMT");
        let secure = if secure { "; Secure" } else { "" };
        let line =
            format!("{name}=\"{value}\"; expires={ends}; HttpOnly; Max-Age={life_s}; Path=/; SameSite=Lax{secure}");
        if let Ok(mut line) = HeaderValue::try_from(line) {
            line.set_sensitive(true);
            response.headers_mut().append(header::SET_COOKIE, line);
        }
        response
    }
}

/// Has a page of another site caused this request? Over https browsers say so in `Sec-Fetch-Site`, which no script can
/// hide. Over plain http only `Origin` (of forms) and `Referer` (of links) tell it: their host is not the one asked.
pub(super) fn is_cross_site(parts: &Parts) -> bool {
    let text = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = parts.headers.get("sec-fetch-site") {
        return site == "cross-site";
    }
    let Some(page) = text(header::ORIGIN).or_else(|| text(header::REFERER)) else { return false };
    let host = |authority: &str| authority.parse::<Authority>().ok().map(|it| it.host().to_ascii_lowercase());
    let asked = parts.uri.authority().map(Authority::as_str).or_else(|| text(header::HOST)).and_then(host);
    let of_page = page.split_once("://").and_then(|(_, rest)| host(rest.split('/').next().unwrap_or_default()));
    // `null`, the origin of a page that hides where it is from, has no host.
    of_page.is_none() || of_page != asked
}

#[cfg(test)]
mod tests {
    use axum::{http::Request, response::IntoResponse as _};

    use super::*;

    fn sent(lines: &[&'static str]) -> HeaderMap {
        lines.iter().map(|line| (header::COOKIE, HeaderValue::from_static(line))).collect()
    }

    #[test]
    fn reads_what_browsers_send() {
        let check = |lines: &[&'static str], expected: Option<&str>| {
            assert_eq!(value(&sent(lines), "A").as_deref(), expected, "{lines:?}");
        };
        check(&[], None);
        check(&["A=x"], Some("x"));
        check(&["A=\"Bearer x\""], Some("Bearer x"));
        check(&["B=1; A=Bearer x; C=2"], Some("Bearer x"));
        check(&["B=1;A=x=y"], Some("x=y"));
        check(&["B=1", "A=x"], Some("x"));
        check(&["A=x; A=y"], Some("x"));
        check(&["A=; A=y"], Some("y"));
        check(&["A=\"\""], None);
        check(&["a=x"], None);
        check(&["A"], None);
        check(&["=x; ;;; A=x"], Some("x"));
        check(&["AA=x; B=A=x"], None);
    }

    #[test]
    fn writes_what_django_writes() {
        let given = Given { name: "A", value: "Bearer x", life_s: 604_800, ends_at_s: 1_764_317_901, secure: false };
        let line = |given: Given<'_>| {
            let response = given.put(().into_response());
            let line = &response.headers()[header::SET_COOKIE];
            assert!(line.is_sensitive());
            line.to_str().unwrap().to_owned()
        };
        let plain =
            "A=\"Bearer x\"; expires=Fri, 28 Nov 2025 08:18:21 GMT; HttpOnly; Max-Age=604800; Path=/; SameSite=Lax";
        assert_eq!(line(given), plain);
        assert_eq!(line(Given { secure: true, ..given }), format!("{plain}; Secure"));
        let gone = "A=\"\"; expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Max-Age=0; Path=/; SameSite=Lax";
        assert_eq!(line(Given { value: "", life_s: 0, ends_at_s: 0, ..given }), gone);
    }

    #[test]
    fn tells_other_sites_from_ones_own() {
        let from = |headers: &[(&'static str, &'static str)]| {
            let mut request = Request::new(());
            request.headers_mut().insert(header::HOST, HeaderValue::from_static("api.example:8080"));
            for (name, value) in headers {
                request.headers_mut().insert(*name, HeaderValue::from_static(value));
            }
            is_cross_site(&request.into_parts().0)
        };
        assert!(!from(&[]), "no browser");
        assert!(from(&[("sec-fetch-site", "cross-site")]));
        for site in ["same-site", "same-origin", "none"] {
            assert!(
                !from(&[("sec-fetch-site", site), ("origin", "http://evil.example")]),
                "{site} says more than others"
            );
        }
        for page in ["http://api.example:8080", "http://api.example", "http://API.example:3000"] {
            assert!(!from(&[("origin", page)]) && !from(&[("referer", page)]), "{page}");
        }
        for page in
            ["http://evil.example", "null", "", "http://api.example.evil.example", "http://x@evil.example/api.example"]
        {
            assert!(from(&[("origin", page)]) && from(&[("referer", page)]), "{page}");
        }
        assert!(!from(&[("referer", "http://api.example:8080/page?x=http://evil.example")]));
    }
}
