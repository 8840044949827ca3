//! The webhook's own rows: the request as configured, its signature, rotation, and success by the operator's rule.

use std::sync::Arc;

use otpd::{
    clock::{Clock, SystemClock},
    record::UnixMillis,
    sms::{
        Channel, Gateway, SendClass, Sms,
        outbound::HttpLimits,
        webhook::{Webhook, WebhookSettings},
    },
};

use crate::{
    fake_http::{FakeHttp, Reply, Step},
    fake_webhook::{API_KEY, OTHER_SECRET, SECRET, refusal, start, start_at},
    kit::{CODE, REFERENCE, TEXT, TO, assert_hidden, deliver, patient, send, sender, sms},
    subject::{Account, Fake, Reason, Subject},
};

/// The id of [`sms`] as it goes out.
const MESSAGE: &str = "msg_00000000000000000000000000005f1c";

/// What the contract is run over: the body must say that it was sent.
pub(crate) async fn subject() -> Subject {
    Subject {
        name: "webhook",
        config: format!(
            "secret = \"{SECRET}\"\nauth_header = \"X-Api-Key\"\nauth_value = \"{API_KEY}\"\n\
             success_pointer = \"/status\"\nsuccess_equals = \"sent\"\n"
        ),
        wire_to: TO,
        secrets: &[SECRET, OTHER_SECRET, API_KEY],
        make,
        fake: Fake::Http(start().await, refused),
    }
}

fn make(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let secret = if account == Account::Good { SECRET } else { OTHER_SECRET };
    let settings = WebhookSettings { secret: secret.into(), limits, ..settings(base_url.to_owned()) };
    Arc::new(Webhook::new(&settings, Arc::new(SystemClock)).unwrap())
}

fn refused(reason: Reason, lie: bool) -> Reply {
    let (status, class) = match reason {
        Reason::Number => (422, "invalid_number"),
        Reason::Settings => (400, "bad_config"),
        Reason::Credentials => (403, "auth_failed"),
        Reason::Credit => (402, "insufficient_credit"),
    };
    refusal(if lie { 200 } else { status }, class)
}

fn settings(base_url: String) -> WebhookSettings {
    WebhookSettings {
        base_url,
        secret: SECRET.into(),
        auth_header: "X-Api-Key".to_owned(),
        auth_value: Some(API_KEY.into()),
        success_pointer: Some("/status".to_owned()),
        success_equals: "sent".to_owned(),
        limits: patient(),
        ..WebhookSettings::default()
    }
}

/// A time that stands still: 2026-01-01 00:00 UTC.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_767_225_600_999)
    }
}

async fn still() -> FakeHttp {
    start_at(Arc::new(Still)).await
}

fn gateway(fake: &FakeHttp, change: impl FnOnce(&mut WebhookSettings)) -> Arc<dyn Gateway> {
    let mut settings = settings(fake.base_url());
    change(&mut settings);
    Arc::new(Webhook::new(&settings, Arc::new(Still)).unwrap())
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The body as it is by default, and as an operator writes it.
#[tokio::test]
async fn the_body_is_as_configured() {
    let fake = still().await;
    let plain = gateway(&fake, |_| {});
    assert_eq!(plain.send(&sms(TO)).await.unwrap().provider_id.as_deref(), Some("relay-1"));
    let expected = pairs(&[("id", MESSAGE), ("text", TEXT), ("expires_at", "2026-01-01T00:02:00Z")]);
    assert_eq!(fake.taken().pop().unwrap().fields, expected);

    let own = gateway(&fake, |settings| {
        settings.base_url.push_str("/sms");
        settings.body = r#"{"to":"{to}","otp":"{code}","ttl":"{valid_s}","from":"Acme","text":"<{text}>"}"#.to_owned();
    });
    own.send(&sms(TO)).await.unwrap();
    let text = format!("<{TEXT}>");
    let expected = pairs(&[("otp", CODE), ("ttl", "120"), ("from", "Acme"), ("text", &text)]);
    assert_eq!(fake.taken().pop().unwrap().fields, expected);
    own.send(&Sms { code: None, text: "moved".to_owned(), ..sms(TO) }).await.unwrap();
    let expected = pairs(&[("otp", "null"), ("ttl", "120"), ("from", "Acme"), ("text", "<moved>")]);
    assert_eq!(fake.taken().pop().unwrap().fields, expected);
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// With `{channel}` the receiver serves every channel, without it text messages alone.
#[tokio::test]
async fn a_receiver_that_is_told_the_channel_serves_all() {
    let fake = still().await;
    let plain = gateway(&fake, |_| {});
    assert_eq!(plain.channels(), [Channel::Sms]);
    let all = gateway(&fake, |settings| {
        settings.body = r#"{"to":"{to}","by":"{channel}","otp":"{code}","ref":"{reference}"}"#.to_owned();
    });
    assert_eq!(all.channels(), Channel::ALL);
    for channel in Channel::ALL {
        all.send(&Sms { channel, ..sms(TO) }).await.unwrap();
        let expected = pairs(&[("by", channel.name()), ("otp", CODE), ("ref", REFERENCE)]);
        assert_eq!(fake.taken().pop().unwrap().fields, expected);
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// Standard Webhooks: a second try has the id of the first, so that the receiver can tell that it is one message.
#[tokio::test]
async fn a_second_try_has_the_same_id() {
    let fake = still().await;
    let sender = sender(gateway(&fake, |_| {}));
    let other = Sms { id: u128::MAX, ..sms(TO) };
    for (message, id) in [(sms(TO), MESSAGE), (other, "msg_ffffffffffffffffffffffffffffffff")] {
        fake.next(Step::Answer(Reply::new(503, "")));
        let report = deliver(&sender, message).await;
        assert!(report.result.is_ok() && report.tries == 2);
        assert_eq!(fake.taken().pop().unwrap().field("id"), Some(id));
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// Where only codes can go, a notice is refused before anything is sent.
#[tokio::test]
async fn a_notice_does_not_go_where_only_codes_can() {
    let fake = still().await;
    let codes = gateway(&fake, |settings| settings.body = r#"{"to":"{to}","otp":"{code}"}"#.to_owned());
    codes.send(&sms(TO)).await.unwrap();
    let error = codes.send(&Sms { code: None, ..sms(TO) }).await.unwrap_err();
    assert_eq!((error.class, fake.requests()), (SendClass::BadConfig, 1));
}

/// While secrets change over both sign, so the receiver may know the old or the new one.
#[tokio::test]
async fn two_secrets_sign_while_they_change_over() {
    let fake = still().await;
    let rotating = gateway(&fake, |settings| {
        settings.secret = OTHER_SECRET.into();
        settings.secret_previous = Some(SECRET.into());
    });
    assert!(rotating.send(&sms(TO)).await.is_ok());
    let over = gateway(&fake, |settings| settings.secret = OTHER_SECRET.into());
    assert_eq!(over.send(&sms(TO)).await.unwrap_err().class, SendClass::AuthFailed);
    assert_eq!(fake.violations(), ["credentials"]);
}

/// A receiver whose clock is another refuses: the time is signed and sent.
#[tokio::test]
async fn the_time_is_the_clocks() {
    let fake = start().await;
    let error = gateway(&fake, |_| {}).send(&sms(TO)).await.unwrap_err();
    assert_eq!((error.class, fake.violations()), (SendClass::BadConfig, vec!["timestamp"]));
}

/// Without a pointer the operator said that the status is enough, whatever the body is.
#[tokio::test]
async fn a_status_can_be_enough() {
    let fake = still().await;
    let gateway = gateway(&fake, |settings| {
        settings.success_pointer = None;
        settings.success_equals.clear();
    });
    for reply in [Reply::new(204, ""), Reply::new(200, "<html>"), refusal(201, "x")] {
        fake.next(Step::Answer(reply));
        let id = gateway.send(&sms(TO)).await.unwrap().provider_id.unwrap();
        assert!(id.starts_with("msg_"), "the request's own id stands in for the receiver's");
    }
}

/// security 111: reasons in the receiver's own words, in a failure of HTTP or a success. `None` is a second try that
/// was taken.
#[tokio::test]
async fn every_reason_its_class_and_its_tries() {
    use SendClass as C;
    let fake = still().await;
    let gateway = gateway(&fake, |settings| {
        settings.error_classes =
            vec![("E12".to_owned(), "opted_out".to_owned()), ("busy".to_owned(), "throttled".to_owned())];
    });
    let sender = sender(gateway);
    for (reply, class, detail) in [
        (refusal(200, "E12"), Some(C::OptedOut), "webhook opted_out"),
        (refusal(400, "E12"), Some(C::OptedOut), "webhook opted_out"),
        (refusal(200, "busy"), None, ""),
        (refusal(422, "landline"), Some(C::Landline), "webhook landline"),
        (refusal(409, "who knows"), Some(C::BadConfig), "webhook http 409"),
        (refusal(200, "who knows"), Some(C::UnknownOutcome), "webhook answer of no known meaning"),
        (refusal(206, "who knows"), Some(C::UnknownOutcome), "webhook answer of no known meaning"),
        (refusal(503, "who knows"), None, ""),
    ] {
        let (before, taken) = (fake.requests(), fake.taken().len());
        fake.next(Step::Answer(reply.clone()));
        let report = send(&sender, TO).await;
        assert_hidden(&format!("{report:?} {sender:?}"), &[SECRET, API_KEY]);
        let shown = report.result.as_ref().err().map(|error| (error.class, error.detail.as_str()));
        assert_eq!(shown, class.map(|class| (class, detail)), "{reply:?}");
        let tries = if class.is_none() { 2 } else { 1 };
        assert_eq!((fake.requests() - before, fake.taken().len() - taken), (tries, tries - 1), "{reply:?}");
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}
