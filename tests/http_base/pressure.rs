//! Clients that are slow, silent, greedy or many. Times are short but real: sockets do not know paused time.

use std::time::{Duration, Instant};

use otpd::http::{body::BodyLimits, listener::ListenerSettings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{
    Config, PATIENCE, brisk, get_request, post_request, raw, read_answer, read_to_close, start, status,
};

const SLOW_SOCKETS: usize = 500;

/// security 94: 500 sockets that send one byte now and then are all shed soon after the header limit, while
/// others are served without delay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slowloris_is_shed_while_others_are_served() {
    let server = start(Config { listener: brisk(), ..Config::default() }).await;
    let started = Instant::now();
    let mut slow = tokio::task::JoinSet::new();
    for _ in 0..SLOW_SOCKETS {
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        slow.spawn(async move {
            let opened = Instant::now();
            let mut byte = [0; 1];
            for drop in b"GET /hello HTTP/1.1\r\nHost: x\r\nX-Slow: ".iter().chain(std::iter::repeat(&b'x')) {
                if stream.write_all(&[*drop]).await.is_err() {
                    break;
                }
                let closed = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut byte)).await;
                if closed.is_ok() {
                    break;
                }
                assert!(opened.elapsed() < PATIENCE, "a slow socket was never closed");
            }
            opened.elapsed()
        });
    }
    let mut served = 0;
    while started.elapsed() < Duration::from_millis(400) {
        let asked = Instant::now();
        assert_eq!(status(&raw(server.addr, get_request("/hello")).await), 200);
        assert!(asked.elapsed() < Duration::from_secs(2), "others wait: {:?}", asked.elapsed());
        served += 1;
    }
    let lives: Vec<Duration> = slow.join_all().await;
    assert!(served > 0 && lives.len() == SLOW_SOCKETS);
    let (least, most) = (lives.iter().min().unwrap(), lives.iter().max().unwrap());
    assert!(*least >= Duration::from_millis(400), "shed before the limit: {least:?}");
    assert!(*most < Duration::from_secs(5), "shed long after the limit: {most:?}");
}

/// security 94, 95: what sends nothing, half a preface of h2, or a slow later head is shed as well.
#[tokio::test]
async fn silence_in_every_phase_is_shed() {
    let server = start(Config { listener: brisk(), ..Config::default() }).await;
    let shed_after = async |bytes: &[u8]| {
        let opened = Instant::now();
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read_to_close(&mut stream).await;
        opened.elapsed()
    };
    for bytes in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nS", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTT"] {
        let life = shed_after(bytes).await;
        assert!((Duration::from_millis(450)..Duration::from_secs(4)).contains(&life), "{bytes:?} {life:?}");
    }

    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(status(&read_answer(&mut stream).await), 200);
    let idle = Instant::now();
    stream.write_all(b"GET /hel").await.unwrap();
    read_to_close(&mut stream).await;
    assert!(idle.elapsed() < Duration::from_millis(1_400), "the later head has its own limit: {:?}", idle.elapsed());
}

/// security 95: a kept-alive connection is kept for its idle limit, longer than a head may take, and no longer.
#[tokio::test]
async fn idle_connections_are_kept_and_then_closed() {
    let server = start(Config { listener: brisk(), ..Config::default() }).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    for _ in 0..2 {
        stream.write_all(b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert_eq!(status(&read_answer(&mut stream).await), 200);
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    let idle = Instant::now();
    assert_eq!(read_to_close(&mut stream).await, "");
    assert!(idle.elapsed() < Duration::from_secs(4), "{:?}", idle.elapsed());
}

/// security 95: a body that trickles is answered 408 in time, and the connection ends.
#[tokio::test]
async fn slow_bodies_time_out() {
    let body = BodyLimits { read_timeout: Duration::from_millis(300), ..BodyLimits::default() };
    let server = start(Config { body, ..Config::default() }).await;
    let started = Instant::now();
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let head = post_request("/echo", &"x".repeat(1_000));
    let trickle = tokio::spawn(async move {
        let head = head.split_inclusive("\r\n\r\n").next().unwrap().to_owned();
        let _ = write.write_all(head.as_bytes()).await;
        while write.write_all(b"{").await.is_ok() && started.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut answer = vec![0; 4096];
    let count = tokio::time::timeout(PATIENCE, read.read(&mut answer)).await.unwrap().unwrap();
    answer.truncate(count);
    let answer = String::from_utf8(answer).unwrap();
    assert_eq!(status(&answer), 408, "{answer}");
    assert!(started.elapsed() < Duration::from_secs(4));
    trickle.abort();
}

/// security 93: too large a body is refused while it streams, with and without a length.
#[tokio::test]
async fn large_bodies_are_refused() {
    let server = start(Config::default()).await;
    let answer = raw(server.addr, post_request("/echo", &"x".repeat(16 * 1024 + 1))).await;
    assert_eq!(status(&answer), 413);
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    for _ in 0..5 {
        // The server may close as soon as it knows enough.
        let _ = stream.write_all(chunk.as_bytes()).await;
    }
    assert_eq!(status(&read_to_close(&mut stream).await), 413);
    // Announced but never sent: the answer does not wait for it.
    let head = post_request("/echo", "").replace("Content-Length: 0", "Content-Length: 1000000000");
    assert_eq!(status(&raw(server.addr, head).await), 413);
}

/// security 95: a handler that reads no body leaves no connection hanging on it.
#[tokio::test]
async fn unread_bodies_do_not_hold_the_connection() {
    let server = start(Config { listener: brisk(), ..Config::default() }).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    let head = "POST /unread HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(status(&read_to_close(&mut stream).await), 200);
}

/// security 95: a client that does not take its answer loses the connection.
#[tokio::test]
async fn answers_nobody_takes_are_dropped() {
    let server = start(Config { listener: brisk(), ..Config::default() }).await;
    let mut stream = TcpStream::connect(server.addr).await.unwrap();
    stream.write_all(get_request("/endless").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Nothing was read so far: the buffers are full, and the limit has passed.
    let drain = async {
        let (mut part, mut sum) = (vec![0; 1 << 20], 0_usize);
        while let Ok(count @ 1..) = stream.read(&mut part).await {
            sum += count;
        }
        sum
    };
    let sum = tokio::time::timeout(PATIENCE, drain).await.unwrap();
    assert!(sum > 16 * 1024, "{sum}");
}

/// security 95: beyond the caps a connection is closed at once; inside them all goes on; places come back.
#[tokio::test]
async fn connections_are_capped() {
    for (connections_max, connections_per_ip_max) in [(2, 100), (100, 2)] {
        let listener = ListenerSettings { connections_max, connections_per_ip_max, ..ListenerSettings::default() };
        let server = start(Config { listener, ..Config::default() }).await;
        let request = b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n";
        let mut inside = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            stream.write_all(request).await.unwrap();
            assert_eq!(status(&read_answer(&mut stream).await), 200);
            inside.push(stream);
        }
        let mut third = TcpStream::connect(server.addr).await.unwrap();
        let _ = third.write_all(request).await;
        assert_eq!(read_to_close(&mut third).await, "");
        for stream in &mut inside {
            stream.write_all(request).await.unwrap();
            assert_eq!(status(&read_answer(stream).await), 200);
        }
        inside.pop();
        let freed = async {
            while status(&raw(server.addr, get_request("/hello")).await) != 200 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, freed).await.unwrap();
    }
}
