//! Posts over real sockets: signatures, rotation, what each answer means, and the limits of a call (security 107, 117).

use std::{sync::Arc, time::Duration};

use otpd::{
    clock::{Clock, SystemClock},
    record::{Event, Keyring, Occurred, PhoneNumber, UserChange},
    sms::outbound::HttpLimits,
    store::{Shelf, SnapshotStore, memory::MemoryStore},
    webhooks::{Courier, Dispatcher, HttpCourier, Letter, Posted, WebhooksSettings},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::event_receiver::{EventReceiver, SECRET, sign};

/// A secret that is none of the receiver's.
const OTHER_SECRET: &str = "whsec_d3Jvbmctc2VjcmV0LTVmMWMtd3Jvbmctc2VjcmV0";

fn to(url: String) -> WebhooksSettings {
    WebhooksSettings { url, secret: SECRET.into(), ..WebhooksSettings::default() }
}

fn letter() -> Letter {
    let body = br#"{"type":"user.created","timestamp":"2026-01-01T00:00:00.000Z","data":{}}"#.to_vec();
    Letter { id: "evt_1".to_owned(), timestamp_s: SystemClock.now().0 / 1_000, body }
}

async fn post(settings: &WebhooksSettings) -> Posted {
    HttpCourier::new(settings).unwrap().post(letter()).await
}

/// The vector that the reference libraries of Standard Webhooks share: the receiver of these tests is right.
#[test]
fn the_receiver_passes_the_published_vector() {
    let signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn an_answer_means_what_its_status_says() {
    let receiver = EventReceiver::start().await;
    for status in [200, 201, 202, 204, 299] {
        receiver.answers(move |_, _| (status, None));
        assert_eq!(post(&to(receiver.url())).await, Posted::Taken, "{status}");
    }
    receiver.answers(|_, _| (410, None));
    assert_eq!(post(&to(receiver.url())).await, Posted::Gone);
    for status in [300, 304, 307, 400, 401, 404, 409, 429, 500, 502, 503] {
        receiver.answers(move |_, _| (status, None));
        assert_eq!(post(&to(receiver.url())).await, Posted::Failed { retry_after: None }, "{status}");
    }
    for (status, asked, wait) in [(429, "17", Some(17)), (503, "3", Some(3)), (503, "tomorrow", None)] {
        receiver.answers(move |_, _| (status, Some(asked)));
        let retry_after = wait.map(Duration::from_secs);
        assert_eq!(post(&to(receiver.url())).await, Posted::Failed { retry_after }, "{status} {asked}");
    }
    assert!(receiver.faults().is_empty());
}

/// While the receiver changes over it knows the one or the other.
#[tokio::test]
async fn a_secret_is_changed_without_a_gap() {
    let receiver = EventReceiver::start().await;
    let settings = |secret: &str, previous: Option<&str>| WebhooksSettings {
        secret: secret.into(),
        secret_previous: previous.map(Into::into),
        ..to(receiver.url())
    };
    assert_eq!(post(&settings(OTHER_SECRET, Some(SECRET))).await, Posted::Taken);
    assert_eq!(post(&settings(SECRET, Some(OTHER_SECRET))).await, Posted::Taken);
    assert!(receiver.faults().is_empty());
    assert_eq!(post(&settings(OTHER_SECRET, None)).await, Posted::Failed { retry_after: None });
    assert_eq!(receiver.faults(), ["signature"]);
}

/// security 107: nobody there, nothing said, too much said, and a way to somewhere else.
#[tokio::test]
async fn a_bad_receiver_costs_a_bounded_time() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let nowhere = format!("http://{}/", closed.local_addr().unwrap());
    drop(closed);
    assert_eq!(post(&to(nowhere)).await, Posted::Failed { retry_after: None });

    let limits = HttpLimits { timeout_ms: 300, ..WebhooksSettings::default().limits };
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let settings = WebhooksSettings { limits, ..to(format!("http://{}/", silent.local_addr().unwrap())) };
    assert_eq!(post(&settings).await, Posted::Failed { retry_after: None }, "it takes connections and says nothing");

    // Taken is taken, however much comes behind it: it is not read.
    let endless = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/", endless.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (mut socket, _) = endless.accept().await.unwrap();
        let mut head = [0; 4_096];
        let _read = socket.read(&mut head).await.unwrap();
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await.unwrap();
        let piece = vec![b' '; 64 << 10];
        let mut written = 0;
        while socket.write_all(&piece).await.is_ok() {
            written += piece.len();
        }
        written
    });
    assert_eq!(post(&to(url)).await, Posted::Taken);
    assert!(serving.await.unwrap() < 64 << 20, "a gibibyte was offered");
}

/// The dispatcher over HTTP: an event comes whole, is tried again as the schedule says, and is forgotten.
#[tokio::test]
async fn from_the_outbox_to_the_receiver() {
    let receiver = EventReceiver::start().await;
    receiver.answers(|_, number| if number <= 2 { (500, None) } else { (204, None) });
    let store = Arc::new(MemoryStore::new(false));
    let phone = PhoneNumber::try_from(989_120_000_001).unwrap();
    let event = Event::User { change: UserChange::Created, user_id: 7 };
    let occurred = Occurred { at: SystemClock.now(), phone, event };
    let settings = WebhooksSettings { retry_after: vec![Duration::from_millis(20); 5], ..to(receiver.url()) };
    let dispatcher = Dispatcher {
        store: store.clone(),
        courier: Arc::new(HttpCourier::new(&settings).unwrap()),
        clock: Arc::new(SystemClock),
        keys: Arc::new(Keyring::new((1, &[7; 32]), &[])),
    };
    let webhooks = dispatcher.start(&settings).unwrap();
    store.outbox().note(vec![occurred.encode()]).await.unwrap();
    let posts = receiver.until(|posts| posts.len() >= 3).await;
    assert!(posts.iter().all(|post| post.id == "evt_1" && post.body == posts[0].body), "the same each time");
    assert_eq!(posts[0].body["data"]["phone_number"], "+989120000001");
    webhooks.finish(Duration::from_secs(5)).await;
    assert!(store.outbox().entries(Shelf::Pending, 0, 9).await.unwrap().is_empty());
    assert!(receiver.faults().is_empty());
}
