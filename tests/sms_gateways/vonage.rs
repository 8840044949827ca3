//! Vonage's own rows: the request as documented, both alphabets, its codes, and texts of several parts.

use std::sync::Arc;

use otpd::sms::{
    Gateway, SendClass, Sms,
    outbound::HttpLimits,
    vonage::{Vonage, VonageSettings},
};

use crate::{
    fake_http::{FakeHttp, Reply, Step},
    fake_vonage::{API_KEY, API_SECRET, SENDER, parts, refusal, start, taken},
    kit::{REFERENCE, TEXT, TO, assert_hidden, patient, send, sender, sms},
    subject::{Account, Fake, Reason, Subject},
};

/// What the contract is run over.
pub(crate) async fn subject() -> Subject {
    Subject {
        name: "vonage",
        config: format!("api_key = \"{API_KEY}\"\napi_secret = \"{API_SECRET}\"\nfrom = \"{SENDER}\"\n"),
        wire_to: "989123456789",
        secrets: &[API_SECRET, "wrong-secret-5f1c", "Basic "],
        make,
        fake: Fake::Http(start().await, refused),
    }
}

fn make(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let secret = if account == Account::Good { API_SECRET } else { "wrong-secret-5f1c" };
    let settings = VonageSettings { api_secret: secret.into(), limits, ..settings(base_url.to_owned()) };
    Arc::new(Vonage::new(settings).unwrap())
}

/// It always lies.
fn refused(reason: Reason, _: bool) -> Reply {
    match reason {
        Reason::Number => refusal(6, "The message was invalid"),
        Reason::Settings => refusal(15, "Illegal Sender Address"),
        Reason::Credentials => refusal(4, "Bad Credentials"),
        Reason::Credit => refusal(9, "Quota Exceeded - rejected"),
    }
}

fn settings(base_url: String) -> VonageSettings {
    VonageSettings {
        base_url,
        api_key: API_KEY.to_owned(),
        api_secret: API_SECRET.into(),
        from: SENDER.to_owned(),
        signature: None,
        receipts_url: None,
        limits: patient(),
    }
}

fn gateway(fake: &FakeHttp) -> Arc<dyn Gateway> {
    Arc::new(Vonage::new(settings(fake.base_url())).unwrap())
}

/// Digits without a plus, the cheapest alphabet that has every letter, and the code's life in milliseconds.
#[tokio::test]
async fn the_request_is_as_documented() {
    let fake = start().await;
    let url = "https://otp.example.com/v1/receipts/vonage";
    let settings = VonageSettings { receipts_url: Some(url.to_owned()), ..settings(fake.base_url()) };
    let gateway = Vonage::new(settings).unwrap();
    for (text, valid_s, kind, ttl) in [
        (TEXT, 120, "text", "120000"),
        ("caf\u{e9} 5\u{20ac}: 482913", 0, "text", "20000"),
        ("کد: 482913", u32::MAX, "unicode", "604800000"),
    ] {
        let accepted = gateway.send(&Sms { text: text.to_owned(), valid_s, ..sms(TO) }).await.unwrap();
        assert!(accepted.provider_id.unwrap().starts_with("aaaaaaaa-"));
        let taken = fake.taken().pop().unwrap();
        assert_eq!(taken.to, "989123456789");
        let expected = [("from", SENDER), ("text", text), ("type", kind), ("ttl", ttl)];
        let reported = [("client-ref", REFERENCE), ("callback", url)];
        let expected = expected.into_iter().chain(reported);
        assert_eq!(taken.fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<Vec<_>>());
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// A text of several parts has an entry for each: all taken is taken, some is an unknown outcome and not repeated.
#[tokio::test]
async fn every_part_counts() {
    let fake = start().await;
    let long = Sms { text: format!("{TEXT} {}", "x".repeat(300)), ..sms(TO) };
    let accepted = gateway(&fake).send(&long).await.unwrap();
    assert_eq!(accepted.provider_id.as_deref(), Some("aaaaaaaa-bbbb-4ccc-8ddd-000001000000"));

    fake.next(Step::Answer(parts(&[taken("989123456789", 2, 0), serde_json::json!({ "status": "1" })])));
    let report = send(&sender(gateway(&fake)), TO).await;
    let error = report.result.unwrap_err();
    assert_eq!((error.class, error.detail.as_str()), (SendClass::UnknownOutcome, "vonage took a part, then 1"));
    assert_eq!((report.tries, fake.requests()), (1, 2));
}

/// security 111: HTTP says 200 throughout. `None` is a second try that was taken; what means nothing is never repeated.
#[tokio::test]
async fn every_code_its_class_and_its_tries() {
    use SendClass as C;
    let fake = start().await;
    let table = [
        (1, "Throughput Rate Exceeded", None),
        (2, "Missing from param", Some(C::BadConfig)),
        (3, "Invalid from param", Some(C::BadConfig)),
        (3, "to address is not numeric", Some(C::InvalidNumber)),
        (4, "Bad Credentials", Some(C::AuthFailed)),
        (5, "Internal Error", None),
        (6, "Un-routable message", Some(C::InvalidNumber)),
        (7, "Number barred", Some(C::OptedOut)),
        (8, "Partner account barred", Some(C::AuthFailed)),
        (9, "Partner quota exceeded", Some(C::InsufficientCredit)),
        (10, "Too many existing binds", None),
        (11, "Account not enabled for HTTP", Some(C::BadConfig)),
        (12, "Message too long", Some(C::BadConfig)),
        (14, "Invalid Signature", Some(C::AuthFailed)),
        (15, "Invalid sender address", Some(C::BadConfig)),
        (17, "Message blocked by provider", Some(C::FraudBlocked)),
        (22, "Invalid network code", Some(C::BadConfig)),
        (23, "Invalid callback URL", Some(C::BadConfig)),
        (29, "Non White-listed Destination", Some(C::UnverifiedRecipient)),
        (32, "Signature and API secret disallowed", Some(C::AuthFailed)),
        (33, "Number de-activated", Some(C::InvalidNumber)),
        (99, "?", Some(C::UnknownOutcome)),
    ];
    for (code, text, class) in table {
        // A policy of its own per row: the breaker of one must not refuse the next.
        let sender = sender(gateway(&fake));
        let (before, taken) = (fake.requests(), fake.taken().len());
        fake.next(Step::Answer(refusal(code, text)));
        let report = send(&sender, TO).await;
        assert_hidden(&format!("{report:?} {sender:?}"), &[API_KEY, API_SECRET, "Basic "]);
        let shown = report.result.as_ref().err().map(|error| (error.class, error.detail.clone()));
        assert_eq!(shown, class.map(|class| (class, format!("vonage {code}"))), "{text}");
        let tries = if class.is_none() { 2 } else { 1 };
        assert_eq!((fake.requests() - before, fake.taken().len() - taken), (tries, tries - 1), "{text}");
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}
