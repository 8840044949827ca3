//! Clients that hang up in the middle: what they set going ends as if they had waited (security 35).

use std::time::Duration;

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::harness::TestApp;

/// How long a commit takes here: time enough to hang up within.
const COMMIT: Duration = Duration::from_millis(300);
/// Looks at the account, and the pause between two: far longer than the steps of a move take.
const LOOKS: usize = 100;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// security 35: the right code of a phone change has been taken, and its client hangs up before the account is at the
/// new number. It arrives all the same; without that, the used code would leave it waiting for the number's next load.
#[tokio::test]
async fn a_phone_change_arrives_without_its_client() {
    let app = TestApp::start().await;
    let access = app.sign_in("+989120000001").await.text("access_token");
    let change = json!({ "to": "+989120000002" });
    let started = app.post_as(&access, "/v1/me/phone-change", change).await;
    assert_eq!(started.status, 201, "{started:?}");
    let body = json!({ "code": app.gateway.code("+989120000002") }).to_string();
    let request = format!(
        "POST /v1/verifications/{}/check HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {access}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        started.text("id"),
        app.address,
        body.len()
    );

    app.store.slow(COMMIT, Duration::ZERO);
    let mut client = TcpStream::connect(app.address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    // Taken by the server, and still being committed.
    tokio::time::sleep(COMMIT / 3).await;
    drop(client);

    for _ in 0..LOOKS {
        if app.get_as(&access, "/v1/me").await.status == 401 {
            app.stop().await;
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    panic!("the account still waits on its old number");
}
