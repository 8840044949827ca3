//! The gateways over HTTP and the sending policy against providers that misbehave, over real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod configured;
mod contract;
#[path = "../support/fake_http.rs"]
mod fake_http;
#[path = "../support/fake_kavenegar.rs"]
mod fake_kavenegar;
#[path = "../support/fake_mshastra.rs"]
mod fake_mshastra;
#[path = "../support/fake_sns.rs"]
mod fake_sns;
#[path = "../support/fake_telegram.rs"]
mod fake_telegram;
#[path = "../support/fake_twilio.rs"]
mod fake_twilio;
#[path = "../support/fake_vonage.rs"]
mod fake_vonage;
#[path = "../support/fake_vonage_messages.rs"]
mod fake_vonage_messages;
#[path = "../support/fake_webhook.rs"]
mod fake_webhook;
mod kavenegar;
mod kit;
mod mshastra;
mod receipts;
mod sns;
mod subject;
mod telegram;
mod twilio;
mod twilio_verify;
mod twilio_voice;
mod unsigned_receipts;
mod vonage;
mod vonage_messages;
mod webhook;
