//! SNS's own rows: the request as documented, its signature and time, and its codes in XML.

use std::sync::Arc;

use otpd::{
    clock::{Clock, SystemClock},
    record::UnixMillis,
    sms::{
        Gateway, SendClass,
        outbound::HttpLimits,
        sns::{Sns, SnsSettings},
    },
};

use crate::{
    fake_http::{FakeHttp, Reply, Step},
    fake_sns::{ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, error, start, start_at},
    kit::{TEXT, TO, assert_hidden, patient, send, sender, sms},
    subject::{Account, Fake, Reason, Subject},
};

const WRONG_KEY: &str = "wrong/key+5f1c";

/// What the contract is run over.
pub(crate) async fn subject() -> Subject {
    Subject {
        name: "sns",
        config: format!(
            "region = \"{REGION}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\nsecret_access_key = \"{SECRET_ACCESS_KEY}\"\n"
        ),
        wire_to: TO,
        secrets: &[SECRET_ACCESS_KEY, WRONG_KEY, "AWS4-HMAC-SHA256"],
        make,
        fake: Fake::Http(start().await, refused),
    }
}

fn make(base_url: &str, account: Account, limits: HttpLimits) -> Arc<dyn Gateway> {
    let key = if account == Account::Good { SECRET_ACCESS_KEY } else { WRONG_KEY };
    let settings = SnsSettings { secret_access_key: key.into(), limits, ..settings(base_url.to_owned()) };
    Arc::new(Sns::new(settings, Arc::new(SystemClock)).unwrap())
}

/// No code for an empty balance is known: HTTP's own status says it, and a success cannot.
fn refused(reason: Reason, lie: bool) -> Reply {
    let (status, code, message) = match reason {
        Reason::Number => (400, "InvalidParameter", "Invalid parameter: PhoneNumber Reason: not valid to publish to"),
        Reason::Settings => (400, "InvalidParameter", "Invalid parameter: Message Reason: empty"),
        Reason::Credentials => (403, "InvalidClientTokenId", "The security token included in the request is invalid"),
        Reason::Credit => (402, "Unheard", "?"),
    };
    error(if lie { 200 } else { status }, code, message)
}

fn settings(base_url: String) -> SnsSettings {
    SnsSettings {
        base_url: Some(base_url),
        region: REGION.to_owned(),
        access_key_id: ACCESS_KEY_ID.to_owned(),
        secret_access_key: SECRET_ACCESS_KEY.into(),
        limits: patient(),
        ..SnsSettings::default()
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

fn gateway(fake: &FakeHttp, change: impl FnOnce(&mut SnsSettings)) -> Arc<dyn Gateway> {
    let mut settings = settings(fake.base_url());
    change(&mut settings);
    Arc::new(Sns::new(settings, Arc::new(Still)).unwrap())
}

/// Every message is transactional; sender and number are attributes where they are set.
#[tokio::test]
async fn the_request_is_as_documented() {
    let fake = start_at(Arc::new(Still)).await;
    let named = gateway(&fake, |settings| {
        settings.sender_id = Some("Acme".to_owned());
        settings.origination_number = Some("+12025550100".to_owned());
    });
    let mut expected = vec![
        ("Action".to_owned(), "Publish".to_owned()),
        ("Version".to_owned(), "2010-03-31".to_owned()),
        ("Message".to_owned(), TEXT.to_owned()),
    ];
    let attributes = [
        ("AWS.SNS.SMS.SMSType", "Transactional"),
        ("AWS.SNS.SMS.SenderID", "Acme"),
        ("AWS.MM.SMS.OriginationNumber", "+12025550100"),
    ];
    for (at, (name, value)) in attributes.into_iter().enumerate() {
        let entry = |rest: &str| format!("MessageAttributes.entry.{}.{rest}", at + 1);
        expected.push((entry("Name"), name.to_owned()));
        expected.push((entry("Value.DataType"), "String".to_owned()));
        expected.push((entry("Value.StringValue"), value.to_owned()));
    }
    let accepted = named.send(&sms(TO)).await.unwrap();
    assert_eq!(accepted.provider_id.as_deref(), Some("94f20ce6-13c5-43a0-9a9e-000000000001"));
    let taken = fake.taken().pop().unwrap();
    assert_eq!((taken.to.as_str(), &taken.fields), (TO, &expected));

    gateway(&fake, |_| {}).send(&sms(TO)).await.unwrap();
    assert_eq!(fake.taken().pop().unwrap().fields, expected.get(..6).unwrap());
    assert_eq!(fake.violations(), Vec::<&str>::new());
}

/// AWS refuses a time that is some minutes off: the credentials of now, not of once.
#[tokio::test]
async fn the_time_is_the_clocks() {
    let fake = start().await;
    let error = gateway(&fake, |_| {}).send(&sms(TO)).await.unwrap_err();
    assert_eq!((error.class, fake.violations()), (SendClass::AuthFailed, vec!["time"]));
}

/// Key, region and id are all in the signature.
#[tokio::test]
async fn another_region_or_id_is_refused() {
    let fake = start_at(Arc::new(Still)).await;
    let region = gateway(&fake, |settings| settings.region = "us-east-1".to_owned());
    let id = gateway(&fake, |settings| settings.access_key_id = "AKIDEXAMPLE5F1C0001".to_owned());
    for gateway in [region, id] {
        let error = gateway.send(&sms(TO)).await.unwrap_err();
        assert_eq!((error.class, error.detail.as_str()), (SendClass::AuthFailed, "sns InvalidClientTokenId"));
    }
    assert_eq!(fake.violations(), ["credentials", "credentials"]);
}

/// security 111: each documented code in its own status and inside a success. `None` is a second try that was taken.
#[tokio::test]
async fn every_code_its_class_and_its_tries() {
    use SendClass as C;
    let fake = start_at(Arc::new(Still)).await;
    let number = "Invalid parameter: PhoneNumber Reason: +989123456789 is not valid to publish to";
    let table = [
        (400, "InvalidParameter", number, Some(C::InvalidNumber)),
        (400, "InvalidParameter", "Invalid parameter: Message", Some(C::BadConfig)),
        (400, "ParameterValueInvalid", "?", Some(C::BadConfig)),
        (400, "OptedOut", "?", Some(C::OptedOut)),
        (403, "AuthorizationError", "?", Some(C::AuthFailed)),
        (403, "InvalidSecurity", "?", Some(C::AuthFailed)),
        (429, "Throttled", "Rate exceeded", None),
        (400, "Throttling", "Rate exceeded", None),
        (500, "InternalError", "?", None),
        (503, "ServiceUnavailable", "?", None),
        (400, "KMSAccessDenied", "?", Some(C::BadConfig)),
        (404, "NotFound", "?", Some(C::BadConfig)),
    ];
    for (status, code, message, class) in table {
        for status in [status, 200] {
            // A policy of its own per row: the breaker of one must not refuse the next.
            let sender = sender(gateway(&fake, |_| {}));
            let (before, taken) = (fake.requests(), fake.taken().len());
            fake.next(Step::Answer(error(status, code, message)));
            let report = send(&sender, TO).await;
            assert_hidden(&format!("{report:?} {sender:?}"), &[ACCESS_KEY_ID, SECRET_ACCESS_KEY]);
            let shown = report.result.as_ref().err().map(|error| (error.class, error.detail.clone()));
            assert_eq!(shown, class.map(|class| (class, format!("sns {code}"))), "{status}");
            let tries = if class.is_none() { 2 } else { 1 };
            assert_eq!((fake.requests() - before, fake.taken().len() - taken), (tries, tries - 1), "{status} {code}");
        }
    }
    assert_eq!(fake.violations(), Vec::<&str>::new());
}
