//! AWS Signature Version 4 of a POST to `/` without a query: all that the query protocol needs.
//!
//! Own code, because the crate of AWS (`aws-sigv4`) brings a dozen more of its SDK for these few lines over `hmac` and
//! `sha2`; AWS's published vectors hold it. Never shows the secret.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};

use crate::{record::UnixMillis, sms::receipt::signed::hex};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The date is the first digits of the time.
const DATE_LEN: usize = 8;

/// Who signs, and for what.
pub(super) struct Signer {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: SecretString,
    pub(super) region: String,
    pub(super) service: &'static str,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

impl Signer {
    /// The `Authorization` header. `headers` are those that are signed, names in lower case, sorted, values without outer
    /// or doubled spaces; `host` and `x-amz-date` must be among them.
    pub(super) fn authorization(&self, headers: &[(&str, &str)], body: &[u8]) -> String {
        let time = headers.iter().find(|(name, _)| *name == "x-amz-date").map_or("", |(_, time)| *time);
        let date = time.get(..DATE_LEN).unwrap_or_default();
        let scope = format!("{date}/{}/{}/aws4_request", self.region, self.service);
        let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
        let lines: String = headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hex(&Sha256::digest(body)));
        let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
        let secret = format!("AWS4{}", self.secret_access_key.expose_secret());
        let key = [date, &self.region, self.service, "aws4_request"]
            .into_iter()
            .fold(secret.into_bytes(), |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &to_sign));
        format!("{ALGORITHM} Credential={}/{scope}, SignedHeaders={names}, Signature={signature}", self.access_key_id)
    }
}

/// A time as `x-amz-date` spells it, as in `20150830T123600Z`.
pub(super) fn date(now: UnixMillis) -> String {
    let time = i64::try_from(now.0).ok().and_then(|now| jiff::Timestamp::from_millisecond(now).ok());
    time.unwrap_or(jiff::Timestamp::MAX).strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, scope and time of AWS's test suite.
    fn signer() -> Signer {
        Signer {
            access_key_id: "AKIDEXAMPLE".to_owned(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            region: "us-east-1".to_owned(),
            service: "service",
        }
    }

    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const TIME: (&str, &str) = ("x-amz-date", "20150830T123600Z");
    const LENGTH: (&str, &str) = ("content-length", "13");
    const HASH: (&str, &str) =
        ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e");
    const TOKEN: (&str, &str) = (
        "x-amz-security-token",
        "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8Y\
         UuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8\
         YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2IC\
         CR/oLxBA==",
    );

    /// The vectors of AWS's Signature Version 4 test suite that are a POST to `/` without a query, by their names.
    #[test]
    fn the_published_vectors() {
        let form = "application/x-www-form-urlencoded";
        let utf8 = "application/x-www-form-urlencoded; charset=utf-8";
        for (name, headers, body, signature) in [
            ("post-vanilla", vec![HOST, TIME], "", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "post-header-value-case",
                vec![HOST, ("my-header1", "VALUE1"), TIME],
                "",
                "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
            ),
            (
                "post-sts-header-before",
                vec![HOST, TIME, TOKEN],
                "",
                "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
            ),
            (
                "post-x-www-form-urlencoded",
                vec![LENGTH, ("content-type", form), HOST, HASH, TIME],
                "Param1=value1",
                "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
            ),
            (
                "post-x-www-form-urlencoded-parameters",
                vec![LENGTH, ("content-type", utf8), HOST, HASH, TIME],
                "Param1=value1",
                "328d1b9eaadca9f5818ef05e8392801e091653bafec24fcab71e7344e7f51422",
            ),
        ] {
            let names = headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
            let expected = format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            );
            assert_eq!(signer().authorization(&headers, body.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn times_are_spelled_as_aws_does() {
        assert_eq!(date(UnixMillis(1_440_938_160_999)), "20150830T123600Z");
        assert_eq!(date(UnixMillis(0)), "19700101T000000Z");
        assert_eq!(date(UnixMillis(u64::MAX)).get(..4), Some("9999"));
    }

    /// security 118.
    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", signer()), "Signer(***)");
        assert!(!signer().authorization(&[HOST, TIME], b"").contains("wJalr"));
    }
}
