//! What is asked of the guard for each send, read from the audit journal: nothing leaves the machine that it was not asked for.

use std::fs;

use serde_json::{Value, json};

use crate::harness::TestApp;

const TO: &str = "+989123456789";
const JOURNAL: &str = "audit.journal = on\nspend.budget = enforce\nspend.default_price = 0.01\nspend.per_day = 1000";

impl TestApp {
    /// Stops the server; the journal's lines of that type.
    async fn journal(self, kind: &str) -> Vec<Value> {
        let data = self.stop_and_keep().await;
        let files = fs::read_dir(data.path().join("audit")).unwrap().map(|entry| entry.unwrap().path());
        let text: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["type"] == kind).collect()
    }
}

/// A resend goes by the challenge's own channel unless it names another, and that is what money is set aside for.
#[tokio::test]
async fn a_resend_is_paid_for_by_the_channel_it_goes_by() {
    let app = TestApp::with_all_channels(JOURNAL).await;
    let id = app.post("/v1/verifications", json!({ "to": TO, "channel": "voice" })).await.is(201).text("id");
    app.wait_s(30);
    app.resend(&id).await.is(200);
    app.wait_s(60);
    app.post(&format!("/v1/verifications/{id}/resend"), json!({ "channel": "whatsapp" })).await.is(200);
    let asked = app.journal("asked").await;
    let channels: Vec<_> = asked.iter().map(|line| line["channel"].as_str().unwrap()).collect();
    assert_eq!(channels, ["voice", "voice", "whatsapp"]);
    assert!(asked.iter().all(|line| line["tries_max"] == 1), "one gateway is asked once: {asked:?}");
}
