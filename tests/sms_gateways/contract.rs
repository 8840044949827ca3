//! What every gateway over HTTP keeps, whatever its provider's words are.

use std::{
    io,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use otpd::sms::SendClass;

use crate::{
    kit::{TEXT, TO, assert_hidden, closed_port, patient, send, sender, short, sms},
    subject::{Account, Reason, Subject, Trouble, all},
};

/// One send without a second try; what it came to is searched for secrets.
async fn class(subject: &Subject, trouble: Trouble) -> SendClass {
    subject.next(trouble);
    let gateway = subject.gateway(patient());
    let error = gateway.send(&sms(TO)).await.unwrap_err();
    assert_hidden(&format!("{error} {error:?} {gateway:?}"), subject.secrets);
    assert!(error.detail.starts_with(subject.name), "{error}");
    error.class
}

#[tokio::test]
async fn a_message_arrives_as_it_was_given() {
    let text = "کد: 482913 & 100% +a=b \"q\"\\\n@example.com #482913";
    for subject in all().await {
        let gateway = subject.gateway(patient());
        assert_eq!((gateway.name(), gateway.is_real()), (subject.name, true));
        for text in [TEXT, text] {
            let message = otpd::sms::Sms { text: text.to_owned(), ..sms(TO) };
            let accepted = gateway.send(&message).await.unwrap();
            assert!(accepted.provider_id.is_some_and(|id| !id.is_empty()), "{}", subject.name);
            assert_eq!(subject.taken().last().unwrap(), &(subject.wire_to.to_owned(), subject.heard(text)));
        }
        assert_eq!(subject.violations(), Vec::<String>::new(), "{}", subject.name);
    }
}

/// security 111: a refusal is one, whether or not HTTP calls it a success; it is certain and the number is at fault
/// only where it is.
#[tokio::test]
async fn refusals_are_told_apart() {
    for subject in all().await {
        for reason in [Reason::Number, Reason::Settings, Reason::Credentials] {
            assert_eq!(class(&subject, Trouble::Refuse(reason)).await, reason.class(), "{}", subject.name);
            assert_eq!(class(&subject, Trouble::Lie(reason)).await, reason.class(), "{}: a lie", subject.name);
        }
        // Twilio has no code for it, so it cannot be told inside a success.
        let broke = Trouble::Refuse(Reason::Credit);
        assert_eq!(class(&subject, broke).await, Reason::Credit.class(), "{}", subject.name);
        assert_eq!((subject.requests(), subject.taken().len()), (7, 0), "one request each, nothing sent");
        assert_eq!(subject.violations(), Vec::<String>::new(), "{}", subject.name);
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_apart() {
    for subject in all().await {
        let gateway = subject.gateway_at(&subject.base_url(), Account::Wrong, patient());
        let report = send(&sender(gateway), TO).await;
        assert_hidden(&format!("{report:?}"), subject.secrets);
        assert_eq!(report.result.unwrap_err().class, SendClass::AuthFailed, "{}", subject.name);
        assert_eq!((report.tries, subject.taken().len()), (1, 0));
        assert_eq!(subject.violations(), ["credentials"], "{}", subject.name);
    }
}

/// security 44: too fast and down are certain and repeated once; the message is taken once.
#[tokio::test]
async fn what_passes_is_tried_once_more() {
    for subject in all().await {
        let passing = [Trouble::Throttle(0), Trouble::Html(500), Trouble::Html(502)];
        for (at, trouble) in passing.into_iter().enumerate() {
            subject.next(trouble);
            let report = send(&sender(subject.gateway(patient())), TO).await;
            assert!(report.result.is_ok() && report.tries == 2, "{} {trouble:?}: {report:?}", subject.name);
            assert_eq!((subject.requests(), subject.taken().len()), (2 * at + 2, at + 1));
        }
        subject.next(Trouble::Throttle(7));
        let error = subject.gateway(patient()).send(&sms(TO)).await.unwrap_err();
        assert_eq!((error.class, error.retry_after), (SendClass::Throttled, Some(Duration::from_secs(7))));
    }
}

/// security 44 and 107: silence at any point after the request was written is an unknown outcome, within the time limit
/// and without a second message.
#[tokio::test]
async fn hangs_are_unknown_outcomes_and_never_repeated() {
    for subject in all().await {
        for trouble in [Trouble::Silence, Trouble::HalfBody, Trouble::Drip] {
            let (before, begin) = (subject.requests(), Instant::now());
            subject.next(trouble);
            let report = send(&sender(subject.gateway(short())), TO).await;
            assert_hidden(&format!("{report:?}"), subject.secrets);
            assert_eq!(report.result.unwrap_err().class, SendClass::UnknownOutcome, "{} {trouble:?}", subject.name);
            assert_eq!((report.tries, subject.requests() - before), (1, 1), "{} {trouble:?}", subject.name);
            assert!(begin.elapsed() < Duration::from_secs(5), "the limit is 400 ms, a slow drip included");
        }
    }
}

/// security 44, 107 and 111: a success that cannot be read may be one, so it is not repeated; a gibibyte is cut off.
#[tokio::test]
async fn garbage_is_an_unknown_outcome_and_never_repeated() {
    for subject in all().await {
        let garbage = [Trouble::Html(200), Trouble::Empty, Trouble::CutJson, Trouble::Drop, Trouble::Huge];
        for trouble in garbage {
            let before = subject.requests();
            subject.next(trouble);
            let report = send(&sender(subject.gateway(patient())), TO).await;
            assert_eq!(report.result.unwrap_err().class, SendClass::UnknownOutcome, "{} {trouble:?}", subject.name);
            assert_eq!((report.tries, subject.requests() - before), (1, 1), "{} {trouble:?}", subject.name);
        }
    }
}

/// security 107: a redirect is not followed, so number, code and credentials stay with the pinned host.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    for (subject, elsewhere) in all().await.into_iter().zip(all().await) {
        let class = class(&subject, Trouble::Redirect(elsewhere.address())).await;
        assert_eq!(class, SendClass::BadConfig, "{}", subject.name);
        assert_eq!((subject.requests(), elsewhere.requests()), (1, 0));
    }
}

/// Nothing was sent if no connection came to be: certain, and tried once more. security 110: nor is the URL shown.
#[tokio::test]
async fn a_refused_connection_and_a_name_without_address_are_certain() {
    let (_held, address) = closed_port();
    for subject in all().await {
        // RFC 6761: `.invalid` never resolves.
        for base_url in [format!("http://{address}"), "https://provider.invalid".to_owned()] {
            let report = send(&sender(subject.gateway_at(&base_url, Account::Good, patient())), TO).await;
            assert_hidden(&format!("{report:?}"), subject.secrets);
            let error = report.result.unwrap_err();
            assert_eq!((error.class, report.tries), (SendClass::ProviderDown, 2), "{error}");
            assert!(error.detail.starts_with(&format!("{} connect: ", subject.name)), "{error}");
        }
    }
}

/// Writes everything that is logged into one buffer.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// security 110 and 118: with every log of every crate switched on, the clients show no secret, whether the send is
/// accepted, refused, hangs, is dropped, or finds nobody.
#[tokio::test]
async fn no_log_at_any_level_shows_a_secret() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let (_held, address) = closed_port();
    let subjects = all().await;
    for subject in &subjects {
        let _ = send(&sender(subject.gateway(short())), TO).await;
        let refusal = Trouble::Refuse(Reason::Number);
        for trouble in [refusal, Trouble::Html(500), Trouble::Silence, Trouble::Drop, Trouble::Redirect(address)] {
            subject.next(trouble);
            let _ = send(&sender(subject.gateway(short())), TO).await;
        }
        for base_url in [format!("http://{address}"), "https://provider.invalid".to_owned()] {
            let _ = send(&sender(subject.gateway_at(&base_url, Account::Good, short())), TO).await;
        }
        let _ = send(&sender(subject.gateway_at(&subject.base_url(), Account::Wrong, short())), TO).await;
        assert!(!subject.taken().is_empty());
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("starting new connection"), "the client's log is really listened to:\n{log}");
    for subject in &subjects {
        assert_hidden(&log, subject.secrets);
    }
    use crate::fake_twilio::{ACCOUNT_SID, AUTH_TOKEN};
    use base64::Engine as _;
    let credentials = base64::prelude::BASE64_STANDARD.encode(format!("{ACCOUNT_SID}:{AUTH_TOKEN}"));
    assert!(!log.contains(&credentials));
}
