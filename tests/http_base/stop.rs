//! The end: the door closes first, requests finish, the deadline is kept.

use std::time::{Duration, Instant};

use otpd::http::listener::{Drained, ListenerSettings};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::harness::{Config, PATIENCE, read_answer, read_to_close, start, status};

/// Requests in flight are answered, idle and silent connections closed, new ones refused.
#[tokio::test]
async fn stop_finishes_what_is_in_flight() {
    let server = start(Config::default()).await;
    let mut busy = TcpStream::connect(server.addr).await.unwrap();
    let mut idle = TcpStream::connect(server.addr).await.unwrap();
    let mut silent = TcpStream::connect(server.addr).await.unwrap();
    idle.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_answer(&mut idle).await), 200);
    busy.write_all(b"GET /gate HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    // An answered request on another connection shows that the server has taken up the one before.
    idle.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_answer(&mut idle).await), 200);

    server.stop.cancel();
    let told = Instant::now();
    assert_eq!(read_to_close(&mut idle).await, "");
    assert_eq!(read_to_close(&mut silent).await, "");
    server.gate.cancel();
    assert_eq!(status(&read_to_close(&mut busy).await), 200);
    assert_eq!(server.task.await.unwrap(), Drained { cut: 0 });
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert!(TcpStream::connect(server.addr).await.is_err());
}

/// What does not finish is cut at the deadline and counted.
#[tokio::test]
async fn the_drain_deadline_is_kept() {
    let listener = ListenerSettings { drain_timeout: Duration::from_millis(300), ..ListenerSettings::default() };
    let server = start(Config { listener, ..Config::default() }).await;
    let mut hanging = TcpStream::connect(server.addr).await.unwrap();
    hanging.write_all(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut other = TcpStream::connect(server.addr).await.unwrap();
    other.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_answer(&mut other).await), 200);
    server.stop.cancel();
    let drained = tokio::time::timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert_eq!(drained, Drained { cut: 1 });
    assert_eq!(read_to_close(&mut hanging).await, "");
}
