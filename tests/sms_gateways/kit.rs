//! What the tests of all gateways share: a message, patience, the sending policy, a port where nobody listens.

use std::{net::SocketAddr, sync::Arc};

use otpd::{
    entropy::OsEntropy,
    guard::NumberKind,
    record::{Code, PhoneNumber},
    sms::{
        Channel, Gateway, Sms,
        outbound::HttpLimits,
        routes::{Destination, Routes, Way},
        sender::{SendReport, Sender, SenderSettings},
    },
};
use tokio::net::TcpSocket;

pub(crate) const TO: &str = "+989123456789";
pub(crate) const ID: u128 = 0x5f1c;
pub(crate) const CODE: &str = "482913";
pub(crate) const TEXT: &str = "482913 is your Acme code.";
/// Our name of the message, as receipts bring it back.
pub(crate) const REFERENCE: &str = "00112233445566778899aabbccddeeff-0";

/// Short limits, so that a hang costs a test 400 ms.
pub(crate) fn short() -> HttpLimits {
    HttpLimits { timeout_ms: 400, connect_timeout_ms: 300, ..HttpLimits::default() }
}

/// Limits that no healthy answer meets, for tests that do not hang.
pub(crate) fn patient() -> HttpLimits {
    HttpLimits { timeout_ms: 20_000, connect_timeout_ms: 10_000, ..HttpLimits::default() }
}

/// A code's message.
pub(crate) fn sms(to: &str) -> Sms {
    let code = Code::from_digits(CODE);
    Sms {
        code,
        valid_s: 120,
        reference: REFERENCE.to_owned(),
        ..Sms::notice(ID, PhoneNumber::from_e164(to).unwrap(), TEXT)
    }
}

pub(crate) fn sender(gateway: Arc<dyn Gateway>) -> Sender {
    let policy = SenderSettings { retry_backoff_ms: 2, attempt_timeout_ms: 30_000, ..SenderSettings::default() };
    Sender::new(Routes::only(gateway), policy, Arc::new(OsEntropy)).unwrap()
}

pub(crate) async fn send(sender: &Sender, to: &str) -> SendReport {
    deliver(sender, sms(to)).await
}

/// Sends it by the one gateway there is, and by the first channel that it has.
pub(crate) async fn deliver(sender: &Sender, sms: Sms) -> SendReport {
    let destination = Destination { number: sms.to, country: None, kind: NumberKind::Unknown };
    let plans = Channel::ALL.into_iter().map(|channel| sender.plan(destination, Way::Channel(channel)));
    let plan = plans.into_iter().find(|plan| !plan.is_empty()).expect("a gateway has a channel");
    sender.send(sender.reserve(&plan).unwrap(), sms, &plan).await
}

/// A port on which nobody listens, and that nobody else can take while the socket lives.
pub(crate) fn closed_port() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// security 110 and 118: number and code are shown nowhere, nor is any of these.
pub(crate) fn assert_hidden(shown: &str, secrets: &[&str]) {
    for secret in secrets.iter().copied().chain(["9123456789", CODE]) {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
}
