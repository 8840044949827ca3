//! Requests whose framing two parsers could read differently: refused, and never two requests.

use crate::harness::{header, plain, raw, status};

/// security 99: conflicting, repeated and malformed lengths, and Transfer-Encoding beside them.
#[tokio::test]
async fn conflicting_framing_is_refused() {
    let server = plain().await;
    let rows = [
        "Content-Length: 10\r\nContent-Length: 11",
        "Content-Length: 10, 11",
        "Content-Length: +10",
        "Content-Length: -1",
        "Content-Length: 0x0a",
        "Content-Length: 1e1",
        "Content-Length: 10 10",
        "Content-Length: ",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Content-Length : 10",
        " Content-Length: 10",
        "X: y\r\n folded: z",
        "X\0: y",
        "X: a\0b",
        "X: a\rb",
    ];
    for row in rows {
        let smuggled = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{row}\r\n\r\n{{\"to\":\"1\"}}{smuggled}"
        );
        let answer = raw(server.addr, request).await;
        assert!(matches!(status(&answer), 400 | 413), "{row:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "one answer and the end, {row:?}: {answer}");
        assert!(!answer.contains("200 OK"), "{row:?}");
    }
}

/// security 99: a length beside chunked is either refused or the chunked framing alone counts and the
/// connection ends; what follows is never taken for a request of its own.
#[tokio::test]
async fn length_beside_chunked_smuggles_nothing() {
    let server = plain().await;
    for lines in [
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\nContent-Length: 5",
    ] {
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{lines}\r\n\r\n\
             a\r\n{{\"to\":\"1\"}}\r\n0\r\n\r\nGET /panic HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let answer = raw(server.addr, request).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lines:?}: {answer}");
        assert!(!answer.contains("500 Internal"), "{lines:?}");
    }
}

/// A wrong chunk is the end of the connection, not the start of another request.
#[tokio::test]
async fn malformed_chunks_are_refused() {
    let server = plain().await;
    for chunk in
        ["zz\r\n{}\r\n0\r\n\r\n", "-1\r\n{}\r\n0\r\n\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n", "2\r\n{}xx0\r\n\r\n"]
    {
        let request = format!(
            "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n\
             {chunk}GET /hello HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        );
        let answer = raw(server.addr, request).await;
        assert_eq!(status(&answer), 400, "{chunk:?}: {answer}");
        assert!(!answer.contains("200 OK"), "{chunk:?}");
    }
}

/// Heads are bounded in bytes and lines, and nonsense is answered once and closed.
#[tokio::test]
async fn heads_are_bounded() {
    let server = plain().await;
    let long = format!("GET /hello HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(64 * 1024));
    assert_eq!(status(&raw(server.addr, long).await), 431);
    let many = format!("GET /hello HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(status(&raw(server.addr, many).await), 431);
    for nonsense in [
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}",
        "GET\r\n\r\n",
        "GET /hello\r\n\r\n",
        "hello\r\n\r\n",
        "GET /hello HTTP/9.9\r\n\r\n",
    ] {
        let answer = raw(server.addr, nonsense).await;
        assert!(matches!(status(&answer), 0 | 400), "{nonsense:?}: {answer}");
    }
}

/// The security headers hold for pipelined requests as well, each with an id of its own.
#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = plain().await;
    let one = "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
    let last = "GET /key HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = raw(server.addr, format!("{one}{one}{last}")).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
    assert_eq!(answer.matches("HTTP/1.1 401 ").count(), 1);
    assert!(header(&answer, "request-id").is_some());
}
