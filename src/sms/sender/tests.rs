//! Failover, retries, breakers and limits over scripted gateways, in paused time.

use std::{collections::VecDeque, sync::Mutex};

use async_trait::async_trait;

use super::*;
use crate::{guard::NumberKind, record::PhoneNumber, sms::routes::RouteRow};

/// One scripted answer; `None` never answers.
type Step = Option<Result<Accepted, SendError>>;

/// Gives the scripted answers in order and notes when it was asked.
#[derive(Debug)]
struct Scripted {
    name: &'static str,
    steps: Mutex<VecDeque<Step>>,
    asked: Mutex<Vec<Instant>>,
    /// How long it takes to answer.
    slow: Mutex<Duration>,
}

#[async_trait]
impl Gateway for Scripted {
    fn name(&self) -> &'static str {
        self.name
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms, Channel::Voice]
    }

    fn is_real(&self) -> bool {
        false
    }

    async fn send(&self, _: &Sms) -> Result<Accepted, SendError> {
        self.asked.lock().unwrap().push(Instant::now());
        let step = self.steps.lock().unwrap().pop_front().expect("a step is left");
        let slow = *self.slow.lock().unwrap();
        match step {
            Some(result) => {
                if !slow.is_zero() {
                    time::sleep(slow).await;
                }
                result
            }
            None => std::future::pending().await,
        }
    }
}

/// Draws the same number always.
#[derive(Debug)]
struct Fixed(u64);

impl Entropy for Fixed {
    fn fill(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.0.to_le_bytes());
    }
}

fn sms() -> Sms {
    Sms::notice(1, PhoneNumber::from_e164("+989123456789").unwrap(), "482913")
}

fn failure(class: SendClass, retry_after_ms: Option<u64>) -> Step {
    Some(Err(SendError { class, detail: "x".to_owned(), retry_after: retry_after_ms.map(Duration::from_millis) }))
}

fn scripted(name: &'static str, steps: Vec<Step>) -> Arc<Scripted> {
    Arc::new(Scripted { name, steps: Mutex::new(steps.into()), asked: Mutex::default(), slow: Mutex::default() })
}

fn sender(steps: Vec<Step>, draw: u64, inflight_max: usize) -> (Sender, Arc<Scripted>) {
    let gateway = scripted("scripted", steps);
    let settings = SenderSettings { inflight_max, ..SenderSettings::default() };
    (Sender::new(Routes::only(gateway.clone()), settings, Arc::new(Fixed(draw))).unwrap(), gateway)
}

fn destination() -> Destination {
    Destination { number: sms().to, country: "IR".parse().ok(), kind: NumberKind::Mobile }
}

fn plan(sender: &Sender) -> Plan {
    sender.plan(destination(), Way::Channel(Channel::Sms))
}

fn reserve(sender: &Sender) -> Option<SendPermit> {
    sender.reserve(&plan(sender)).ok()
}

async fn deliver(sender: &Sender) -> SendReport {
    sender.send(reserve(sender).unwrap(), sms(), &plan(sender)).await
}

/// The gap between the two tries in milliseconds, and the outcome; steps left over are tries not made.
async fn run(steps: Vec<Step>, draw: u64) -> (SendReport, Option<u64>) {
    let (sender, gateway) = sender(steps, draw, 1);
    let report = deliver(&sender).await;
    let asked = gateway.asked.lock().unwrap();
    assert_eq!(asked.len(), usize::from(report.tries));
    let gap = asked.get(1).map(|second| u64::try_from((*second - asked[0]).as_millis()).unwrap());
    (report, gap)
}

/// security 44: each class, its retry, and never more than two tries.
#[tokio::test(start_paused = true)]
async fn each_class_is_tried_again_only_where_that_is_safe() {
    for class in SendClass::ALL {
        let (report, _) = run(vec![failure(class, None), Some(Ok(Accepted::default()))], 0).await;
        let retried = matches!(class, SendClass::Throttled | SendClass::ProviderDown);
        assert_eq!((report.result.is_ok(), report.tries), if retried { (true, 2) } else { (false, 1) }, "{class:?}");

        let twice = vec![failure(class, None), failure(class, None), Some(Ok(Accepted::default()))];
        let (report, _) = run(twice, 0).await;
        assert_eq!(report.result.unwrap_err().class, class);
        assert_eq!(report.tries, if retried { 2 } else { 1 });
    }
}

/// The wait before the second try: jitter from half to one and a half, `Retry-After` up to its limit.
#[tokio::test(start_paused = true)]
async fn the_wait_before_the_second_try() {
    use SendClass::{ProviderDown, Throttled};
    // (class, retry-after in ms, draw, wait in ms)
    let table = [
        (ProviderDown, None, 0, Some(125)),
        (ProviderDown, None, 250, Some(375)),
        (ProviderDown, None, 251, Some(125)),
        (Throttled, None, 100, Some(225)),
        (Throttled, Some(1_000), 0, Some(1_000)),
        (Throttled, Some(0), 0, Some(125)),
        (Throttled, Some(2_000), 0, Some(2_000)),
        (Throttled, Some(2_001), 0, None),
        (ProviderDown, Some(30_000), 0, None),
    ];
    for (class, retry_after, draw, wait) in table {
        let (report, gap) = run(vec![failure(class, retry_after), Some(Ok(Accepted::default()))], draw).await;
        assert_eq!(gap, wait, "{class:?} {retry_after:?} {draw}");
        assert_eq!(report.result.is_ok(), wait.is_some());
    }
}

/// security 44: a gateway that never answers is an unknown outcome after the limit, and not repeated.
#[tokio::test(start_paused = true)]
async fn silence_is_an_unknown_outcome() {
    let begin = Instant::now();
    let (report, _) = run(vec![None, Some(Ok(Accepted::default()))], 0).await;
    assert_eq!(begin.elapsed(), Duration::from_secs(10));
    let error = report.result.unwrap_err();
    assert_eq!((error.class, error.detail.as_str()), (SendClass::UnknownOutcome, "scripted timeout"));
    assert_eq!((report.tries, report.route), (1, "scripted"));
}

#[tokio::test(start_paused = true)]
async fn the_longest_send_is_what_the_settings_say() {
    // Just inside every limit: each try ends at the last moment and the wait is the longest.
    #[derive(Debug)]
    struct Late;
    #[async_trait]
    impl Gateway for Late {
        fn name(&self) -> &'static str {
            "late"
        }
        fn is_real(&self) -> bool {
            false
        }
        async fn send(&self, _: &Sms) -> Result<Accepted, SendError> {
            time::sleep(Duration::from_millis(9_999)).await;
            let retry_after = Some(Duration::from_secs(2));
            Err(SendError { retry_after, ..SendError::new(SendClass::Throttled, "late") })
        }
    }
    let settings = SenderSettings::default();
    let sender = Sender::new(Routes::only(Arc::new(Late)), settings, Arc::new(Fixed(0))).unwrap();
    let begin = Instant::now();
    let report = deliver(&sender).await;
    assert_eq!(report.tries, 2);
    assert_eq!(begin.elapsed() + Duration::from_millis(2), settings.longest_send());
}

#[tokio::test(start_paused = true)]
async fn a_full_sender_refuses_at_once_and_takes_again_when_one_ends() {
    let (sender, gateway) = sender(vec![None, Some(Ok(Accepted::default()))], 0, 2);
    let (first, second) = (reserve(&sender).unwrap(), reserve(&sender).unwrap());
    assert!(reserve(&sender).is_none());
    drop(second);
    let second = reserve(&sender).unwrap();
    assert!(reserve(&sender).is_none());

    // Neither a hung send nor a dropped one keeps its slot.
    let hung = time::timeout(Duration::from_secs(1), sender.send(first, sms(), &plan(&sender))).await;
    assert!(hung.is_err());
    assert!(sender.send(second, sms(), &plan(&sender)).await.result.is_ok());
    assert_eq!(gateway.asked.lock().unwrap().len(), 2);
    let _both = (reserve(&sender).unwrap(), reserve(&sender).unwrap());
    assert!(reserve(&sender).is_none());
}

#[test]
fn outcomes_are_counted_once_per_send() {
    let (recorder, page) = names::Exporter::local().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let steps = vec![
        Some(Ok(Accepted::default())),
        failure(SendClass::ProviderDown, None),
        Some(Ok(Accepted::default())),
        failure(SendClass::OptedOut, None),
    ];
    let (sender, _) = metrics::with_local_recorder(&recorder, || sender(steps, 0, 1));
    let permit = reserve(&sender).unwrap();
    assert!(page.render().contains("otpd_sms_inflight 1"));
    assert!(reserve(&sender).is_none());
    drop(permit);
    for _ in 0..3 {
        runtime.block_on(deliver(&sender));
    }
    let page = page.render();
    for line in [
        r#"otpd_sms_sends_total{route="scripted",outcome="accepted"} 2"#,
        r#"otpd_sms_sends_total{route="scripted",outcome="opted_out"} 1"#,
        r#"otpd_sms_sends_total{route="scripted",outcome="overloaded"} 1"#,
        r#"otpd_sms_sends_total{route="scripted",outcome="provider_down"} 0"#,
        r#"otpd_sms_retries_total{route="scripted"} 1"#,
        r#"otpd_sms_send_seconds_count{route="scripted"} 3"#,
        "otpd_sms_inflight 0",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[test]
fn limits_out_of_range_are_refused() {
    let good = SenderSettings::default();
    let table = [
        (SenderSettings { inflight_max: 0, ..good }, "sender.inflight_max"),
        (SenderSettings { inflight_max: usize::MAX, ..good }, "sender.inflight_max"),
        (SenderSettings { attempt_timeout_ms: 0, ..good }, "sender.attempt_timeout_ms"),
        (SenderSettings { retry_backoff_ms: u64::MAX, ..good }, "sender.retry_backoff_ms"),
        (SenderSettings { retry_after_max_ms: u64::MAX, ..good }, "sender.retry_after_max_ms"),
    ];
    for (settings, setting) in table {
        assert_eq!(settings.check().unwrap_err().setting, setting);
    }
}

fn taken() -> Step {
    Some(Ok(Accepted::default()))
}

/// A sender whose row has these gateways in this order.
fn row(gateways: &[&Arc<Scripted>], settings: SenderSettings) -> Sender {
    let default = scripted("default", vec![]);
    let all = gateways.iter().map(|gateway| -> Arc<dyn Gateway> { (*gateway).clone() }).collect();
    let row = RouteRow { country: None, prefix: String::new(), channel: Channel::Sms, gateways: all };
    let routes = Routes::new(default, vec![row], &[Channel::Sms]).unwrap();
    Sender::new(routes, settings, Arc::new(Fixed(0))).unwrap()
}

fn asked(gateway: &Scripted) -> usize {
    gateway.asked.lock().unwrap().len()
}

/// The whole table of section 0 of `providers.md`: which classes go on to another gateway, and at once.
#[tokio::test(start_paused = true)]
async fn each_class_goes_on_to_another_gateway_only_where_that_may_help() {
    for class in SendClass::ALL {
        let goes_on = !matches!(
            class,
            SendClass::InvalidNumber | SendClass::Landline | SendClass::OptedOut | SendClass::FraudBlocked
        );
        let (a, b) = (scripted("a", vec![failure(class, None), failure(class, None)]), scripted("b", vec![taken()]));
        let (begin, sender) = (Instant::now(), row(&[&a, &b], SenderSettings::default()));
        let report = deliver(&sender).await;
        assert_eq!(report.result.is_ok(), goes_on, "{class:?}");
        assert_eq!((report.route, asked(&b)), if goes_on { ("b", 1) } else { ("a", 0) }, "{class:?}");
        // Only one that throttles is given a moment and asked again first.
        let again = usize::from(class == SendClass::Throttled);
        assert_eq!((asked(&a), begin.elapsed().is_zero()), (1 + again, again == 0), "{class:?}");
        let billed = u8::from(goes_on) + u8::from(class == SendClass::UnknownOutcome);
        assert_eq!((report.billed, usize::from(report.tries)), (billed, asked(&a) + asked(&b)), "{class:?}");
    }
}

/// security 44: after one that may have sent, one more may; certain failures between cost nothing.
#[tokio::test(start_paused = true)]
async fn at_most_two_may_have_sent() {
    let unknown = || failure(SendClass::UnknownOutcome, None);
    let steps = [unknown(), failure(SendClass::ProviderDown, None), unknown(), taken()];
    let gateways: Vec<_> =
        ["a", "b", "c", "d"].into_iter().zip(steps).map(|(n, step)| scripted(n, vec![step])).collect();
    let sender = row(&gateways.iter().collect::<Vec<_>>(), SenderSettings::default());
    let report = deliver(&sender).await;
    assert_eq!(report.result.unwrap_err().class, SendClass::UnknownOutcome);
    assert_eq!(gateways.iter().map(|gateway| asked(gateway)).collect::<Vec<_>>(), [1, 1, 1, 0]);
    // The first one that may have sent is named: its receipt is the likeliest to come.
    assert_eq!((report.route, report.billed), ("a", 2));
}

/// What may have been sent is never told as a certain failure, whoever fails after it.
#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_stays_one() {
    for class in [SendClass::ProviderDown, SendClass::InvalidNumber, SendClass::AuthFailed] {
        let a = scripted("a", vec![failure(SendClass::UnknownOutcome, None)]);
        let b = scripted("b", vec![failure(class, None), failure(class, None)]);
        let report = deliver(&row(&[&a, &b], SenderSettings::default())).await;
        assert_eq!((report.route, report.billed), ("a", 1), "{class:?}");
        assert_eq!(report.result.unwrap_err().class, SendClass::UnknownOutcome, "{class:?}");
    }
}

/// However many hang, the whole ends in time.
#[tokio::test(start_paused = true)]
async fn hanging_gateways_do_not_add_up() {
    let gateways: Vec<_> = ["a", "b", "c", "d"].into_iter().map(|name| scripted(name, vec![None, None])).collect();
    let sender = row(&gateways.iter().collect::<Vec<_>>(), SenderSettings::default());
    let begin = Instant::now();
    let report = deliver(&sender).await;
    assert_eq!(report.result.unwrap_err().class, SendClass::UnknownOutcome);
    assert_eq!(begin.elapsed(), Duration::from_secs(20));
    assert!(begin.elapsed() <= SenderSettings::default().longest_send());
}

/// What certainly failed stays so: it is not tried again for the moment that is left, which could only end in silence.
#[tokio::test(start_paused = true)]
async fn there_is_no_retry_without_time_for_it() {
    let asks_to_wait = failure(SendClass::Throttled, Some(2_000));
    let a = scripted("a", vec![None]);
    let b = scripted("b", vec![asks_to_wait, None]);
    *b.slow.lock().unwrap() = Duration::from_millis(9_900);
    let report = deliver(&row(&[&a, &b], SenderSettings::default())).await;
    assert_eq!((report.route, report.billed, asked(&b)), ("a", 1, 1), "a hung, b refused");
}

/// However short a try may be, others are asked.
#[tokio::test(start_paused = true)]
async fn short_limits_leave_time_for_another_gateway() {
    let settings = SenderSettings {
        attempt_timeout_ms: 100,
        retry_backoff_ms: 0,
        retry_after_max_ms: 0,
        ..SenderSettings::default()
    };
    let (a, b) = (scripted("a", vec![None]), scripted("b", vec![taken()]));
    let report = deliver(&row(&[&a, &b], settings)).await;
    assert_eq!((report.route, report.billed), ("b", 2));
}

/// A gateway that keeps failing is left alone, probed by one message and used again; and each change is told once.
#[tokio::test(start_paused = true)]
async fn a_breaker_opens_probes_and_closes() {
    let down = || failure(SendClass::ProviderDown, None);
    let breaker = BreakerSettings { failures: 3, open_ms: 1_000, open_max_ms: 4_000 };
    let a = scripted("a", vec![down(), down(), down(), down(), taken(), taken()]);
    let b = scripted("b", (0..20).map(|_| taken()).collect());
    let told = Arc::new(Mutex::new(Vec::new()));
    let on_change = {
        let told = Arc::clone(&told);
        Box::new(move |route, change| told.lock().unwrap().push((route, change)))
    };
    let sender = row(&[&a, &b], SenderSettings { breaker, ..SenderSettings::default() }).telling(on_change);
    for _ in 0..6 {
        assert_eq!(deliver(&sender).await.route, "b");
    }
    assert_eq!(asked(&a), 3, "open after three");
    time::advance(Duration::from_secs(1)).await;
    assert_eq!(deliver(&sender).await.route, "b", "the probe failed");
    assert_eq!(deliver(&sender).await.route, "b");
    assert_eq!(asked(&a), 4);
    time::advance(Duration::from_secs(1)).await;
    assert_eq!((deliver(&sender).await.route, asked(&a)), ("b", 4), "twice as long");
    time::advance(Duration::from_secs(1)).await;
    assert_eq!(deliver(&sender).await.route, "a", "the probe went through");
    assert_eq!(deliver(&sender).await.route, "a");
    assert_eq!(*told.lock().unwrap(), [("a", Change::Opened), ("a", Change::Closed)]);
}

#[tokio::test(start_paused = true)]
async fn when_all_fail_a_message_is_refused_before_anything_is_decided() {
    let a = scripted("a", vec![failure(SendClass::AuthFailed, None)]);
    let b = scripted("b", vec![failure(SendClass::InsufficientCredit, None)]);
    let sender = row(&[&a, &b], SenderSettings::default());
    assert_eq!(deliver(&sender).await.result.unwrap_err().class, SendClass::InsufficientCredit);
    let refused = sender.reserve(&plan(&sender)).unwrap_err();
    assert_eq!(refused, NoPermit::AllFailing { retry_after: Duration::from_secs(5) });
    let nowhere = sender.plan(destination(), Way::Channel(Channel::Whatsapp));
    assert_eq!(sender.reserve(&nowhere).unwrap_err(), NoPermit::NoRoute);
}

/// Adaptive order: whose codes are used goes first, per country, and the configured order is what newcomers have.
#[tokio::test(start_paused = true)]
async fn the_order_follows_what_is_used() {
    let answers = || (0..200).map(|_| taken()).collect();
    let (a, b) = (scripted("a", answers()), scripted("b", answers()));
    for (order, expected) in [(Order::Adaptive, "b"), (Order::Configured, "a")] {
        let sender = row(&[&a, &b], SenderSettings { order, ..SenderSettings::default() });
        for _ in 0..50 {
            assert_eq!(deliver(&sender).await.route, "a", "nothing is known yet");
        }
        time::advance(Duration::from_secs(120)).await;
        let report = deliver(&sender).await;
        assert_eq!(report.route, expected, "fifty codes of a were not used");
        let elsewhere = Destination { country: "US".parse().ok(), ..destination() };
        let plan = sender.plan(elsewhere, Way::Channel(Channel::Sms));
        let report = sender.send(sender.reserve(&plan).unwrap(), sms(), &plan).await;
        assert_eq!(report.route, "a", "in another country nothing is known");
        for _ in 0..50 {
            sender.verified("a", "IR".parse().ok(), Duration::from_secs(5));
        }
        assert_eq!(deliver(&sender).await.route, "a", "now they were");
    }
}
