//! TLS over h1 and h2, and what h2 adds: streams, resets, goodbyes.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use otpd::http::{listener::ListenerSettings, tls::server_config};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs, pki_types::ServerName},
};

use crate::harness::{Config, PATIENCE, Server, brisk, read_to_close, start};

/// A server with a fresh certificate, and the client settings that trust it.
async fn secure(listener: ListenerSettings) -> (Server, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let tls = server_config(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap();
    let server = start(Config { listener: ListenerSettings { tls: Some(tls), ..listener }, ..Config::default() }).await;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (server, Arc::new(client))
}

async fn connect(server: &Server, client: &ClientConfig, alpn: &[u8]) -> TlsStream<TcpStream> {
    let mut client = client.clone();
    client.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(client)).connect(name, stream).await.unwrap()
}

fn request(path: &str) -> Request<Body> {
    Request::builder().uri(format!("https://localhost{path}")).body(Body::empty()).unwrap()
}

async fn h2<I>(io: I) -> hyper::client::conn::http2::SendRequest<Body>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn tls_serves_h1_and_h2() {
    let (server, client) = secure(ListenerSettings::default()).await;
    let mut h1 = connect(&server, &client, b"http/1.1").await;
    assert_eq!(h1.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    h1.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    h1.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");

    let io = connect(&server, &client, b"h2").await;
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut sender = h2(io).await;
    let answers = (0..50).map(|_| sender.send_request(request("/hello"))).collect::<Vec<_>>();
    for answer in answers {
        let answer = answer.await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
    let problem = sender.send_request(request("/nothing")).await.unwrap();
    let id = problem.headers()["request-id"].to_str().unwrap().to_owned();
    let body = problem.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8(body.to_vec()).unwrap().contains(&id));
}

/// security 94: a handshake that stalls is shed within the header limit.
#[tokio::test]
async fn a_stalled_handshake_is_shed() {
    let (server, _client) = secure(brisk()).await;
    let opened = std::time::Instant::now();
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(&[0x16, 0x03, 0x01, 0x02]).await.unwrap();
    read_to_close(&mut stream).await;
    assert!(opened.elapsed() < Duration::from_secs(4), "{:?}", opened.elapsed());
}

/// The stop reaches h2 too: a request in flight ends well, then the connection ends.
#[tokio::test]
async fn stop_says_goodbye_to_h2() {
    let (server, client) = secure(ListenerSettings::default()).await;
    let mut sender = h2(connect(&server, &client, b"h2").await).await;
    assert_eq!(sender.send_request(request("/hello")).await.unwrap().status(), 200);
    let waiting = sender.send_request(request("/gate"));
    assert_eq!(sender.send_request(request("/hello")).await.unwrap().status(), 200);
    server.stop.cancel();
    server.gate.cancel();
    assert_eq!(waiting.await.unwrap().status(), 200);
    let drained = tokio::time::timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert_eq!(drained.cut, 0);
    assert!(sender.ready().await.is_err() || sender.send_request(request("/hello")).await.is_err());
}

/// security 95: an idle h2 connection gets its GOAWAY after the idle limit.
#[tokio::test]
async fn idle_h2_is_closed() {
    let server = start(Config { listener: brisk(), ..Config::default() }).await;
    let mut sender = h2(TcpStream::connect(server.addr).await.unwrap()).await;
    let uri = format!("http://{}/hello", server.addr);
    let hello = || Request::builder().uri(uri.clone()).body(Body::empty()).unwrap();
    assert_eq!(sender.send_request(hello()).await.unwrap().status(), 200);
    tokio::time::sleep(Duration::from_millis(800)).await;
    // Longer than a head may take, and still open.
    assert_eq!(sender.send_request(hello()).await.unwrap().status(), 200);
    let gone = async {
        while !sender.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
}

/// One h2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length.get(1..).unwrap().to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 5;

/// `GET http://x/hang` in HPACK: two static entries, a literal path, a literal authority.
fn hang() -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04, 0x05];
    block.extend(b"/hang");
    block.extend([0x01, 0x01, b'x']);
    block
}

/// Reads frames until the connection ends; the kinds, and the error code of a GOAWAY.
async fn frames(stream: &mut TcpStream) -> (Vec<u8>, Option<u32>) {
    let (mut kinds, mut code) = (Vec::new(), None);
    let read = async {
        let mut head = [0; 9];
        while stream.read_exact(&mut head).await.is_ok() {
            let [a, b, c, kind, ..] = head;
            let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
            if stream.read_exact(&mut payload).await.is_err() {
                break;
            }
            kinds.push(kind);
            if kind == GOAWAY {
                code = payload.get(4..8).map(|bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.unwrap_or_else(|_| panic!("the server did not close"));
    (kinds, code)
}

/// security 95: rapid reset (CVE-2023-44487) ends the connection with ENHANCE_YOUR_CALM.
#[tokio::test]
async fn rapid_resets_end_the_connection() {
    let server = start(Config { listener: brisk(), ..Config::default() }).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let mut flood = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
    for n in 0..1_000 {
        flood.extend(frame(HEADERS, END_STREAM_AND_HEADERS, 2 * n + 1, &hang()));
        flood.extend(frame(RST_STREAM, 0, 2 * n + 1, &8_u32.to_be_bytes()));
    }
    // The server may close before it has taken all.
    let _ = stream.write_all(&flood).await;
    let (kinds, code) = frames(&mut stream).await;
    assert_eq!(code, Some(11), "{kinds:?}");
}

/// security 95: streams beyond the limit are refused one by one, the others live.
#[tokio::test]
async fn concurrent_streams_are_bounded() {
    let listener = ListenerSettings { h2_streams_max: 5, ..brisk() };
    let server = start(Config { listener, ..Config::default() }).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let mut bytes = [PREFACE.to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
    for n in 0..12 {
        bytes.extend(frame(HEADERS, END_STREAM_AND_HEADERS, 2 * n + 1, &hang()));
    }
    stream.write_all(&bytes).await.unwrap();
    let (kinds, _) = frames(&mut stream).await;
    assert_eq!(kinds.iter().filter(|kind| **kind == RST_STREAM).count(), 7, "{kinds:?}");
}
