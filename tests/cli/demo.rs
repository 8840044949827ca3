//! `otpd demo` against a running server.

use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;

use super::harness::{Place, Said};

/// The whole flow by the server's captured output, each request and answer on the screen; it can be run again at once.
#[tokio::test]
async fn the_whole_flow_is_walked_and_shown() {
    let place = Place::new();
    let server = place.serve().await;
    let demo = ["demo", "--url", &server.url, "--code-from", server.printed().to_str().unwrap()];
    let shown = place.run(&demo).await.well();
    let steps = [
        "> POST /v1/verifications\n",
        "\"to\": \"+14155550100\"",
        "< 201 Created\n",
        "< Location: /v1/verifications/ver_",
        "\"status\": \"pending\"",
        "/check\n",
        "\"status\": \"approved\"",
        "\"receipt\": \"eyJ…\"",
        "> POST /oauth/token\n",
        "assertion=eyJ…\n",
        "\"access_token\": \"eyJ…\"",
        "> GET /v1/me\n> Authorization: Bearer eyJ…\n",
        "> PATCH /v1/me\n",
        "\"first_name\": \"Demo\"",
        "grant_type=refresh_token\n",
        "> GET /v1/me/sessions\n",
        "\"current\": true",
        "> POST /oauth/revoke\n",
        "< 401 Unauthorized\n",
        "\"code\": \"token_invalid\"",
        "Done: 9 requests",
    ];
    let mut rest = shown.as_str();
    for step in steps {
        let at = rest.find(step).unwrap_or_else(|| panic!("no {step:?} in its place in:\n{shown}"));
        rest = &rest[at + step.len()..];
    }
    // security 118: no token stands there whole; a JWT has dots and far more than 40 characters.
    assert!(shown.split_whitespace().all(|word| !word.contains("eyJ") || word.len() < 40), "{shown}");
    assert!(!shown.contains('\u{1b}'), "no escapes where there is no terminal");
    place.run(&demo).await.well();
}

/// Without `--code-from` the person is asked; a typing error may be mended.
#[tokio::test]
async fn the_person_is_asked_for_the_code() {
    let place = Place::new();
    let server = place.serve().await;
    let mut command = place.command(&["demo", "--url", &server.url, "--to", "+1 (415) 555-0104"], &[]);
    let mut demo = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut typed = demo.stdin.take().unwrap();
    typed.write_all(b"12345\n").await.unwrap();
    // The server prints the code before it answers the start, and the demo asks after that answer.
    let mut err = demo.stderr.take().unwrap();
    let mut asked = [0; 1];
    tokio::io::AsyncReadExt::read_exact(&mut err, &mut asked).await.unwrap();
    typed.write_all(format!("{}\n", server.code("+14155550104")).as_bytes()).await.unwrap();
    drop(typed);
    let said = Said::from(demo.wait_with_output().await.unwrap());
    assert!(said.out.contains("code_format") && said.out.contains("Not this one. Try again."), "{said:#?}");
    assert!(said.well().contains("Done:"));

    let nobody = place.run(&["demo", "--url", &server.url, "--to", "+14155550105"]).await;
    nobody.failed(1, "no code was given");
}

#[tokio::test]
async fn what_goes_wrong_is_explained() {
    let place = Place::new();
    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    place.run(&["demo", "--url", &format!("http://{free}")]).await.failed(1, "no server answers at http://127.0.0.1:");
    place.run(&["demo", "--url", "ftp://x"]).await.failed(2, "must be http");
    place.run(&["demo", "--to", "5550100"]).await.failed(2, "not an E.164 number");

    let server = place.serve().await;
    let demo = ["demo", "--url", &server.url, "--to", "+14155550106"];
    place.run(&demo).await.failed(1, "no code was given");
    let limited = place.run(&demo).await;
    limited.failed(1, "429 send_limited");
    assert!(limited.err.contains("try again in") && limited.err.contains("--to"), "{limited:#?}");
    assert!(limited.out.contains("< Retry-After: "), "{limited:#?}");
}
