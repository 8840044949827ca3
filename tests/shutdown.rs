//! Stopping from outside: real signals, the deadline, and what a second signal does.

use std::{
    process::Command,
    sync::atomic::{AtomicI32, Ordering},
    time::Duration,
};

use otpd::shutdown::Shutdown;
use tokio::{sync::mpsc, time::Instant};

const DEADLINE: Duration = Duration::from_secs(25);

/// The handlers are real: the process lives through a SIGTERM and begins to drain.
#[tokio::test]
async fn sigterm_begins_the_stop() {
    let shutdown = Shutdown::new(DEADLINE);
    let _task = shutdown.on_signals().unwrap();
    assert!(!shutdown.is_draining());
    let sent = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status().unwrap();
    assert!(sent.success());
    tokio::time::timeout(Duration::from_secs(10), shutdown.draining()).await.unwrap();
    assert!(shutdown.clone().is_draining());
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_first_order() {
    let shutdown = Shutdown::new(DEADLINE);
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(shutdown.remaining(), DEADLINE, "nothing runs before the order");
    shutdown.begin();
    tokio::time::advance(Duration::from_secs(10)).await;
    shutdown.begin();
    assert_eq!(shutdown.remaining(), Duration::from_secs(15), "a second order gives no more time");
    let asked = Instant::now();
    shutdown.expired().await;
    assert!((15_000..=15_002).contains(&asked.elapsed().as_millis()), "{:?}", asked.elapsed());
    assert_eq!(shutdown.remaining(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn without_an_order_nothing_expires() {
    let shutdown = Shutdown::new(Duration::ZERO);
    assert!(tokio::time::timeout(Duration::from_secs(3600), shutdown.expired()).await.is_err());
}

#[tokio::test]
async fn the_second_signal_ends_at_once() {
    for (second, code) in [(2, 130), (15, 143)] {
        let shutdown = Shutdown::new(DEADLINE);
        let ended = AtomicI32::new(0);
        let (sender, signals) = mpsc::channel(2);
        let follow = shutdown.follow(signals, |code| ended.store(code, Ordering::SeqCst));
        let send = async {
            sender.send(15).await.unwrap();
            shutdown.draining().await;
            assert_eq!(ended.load(Ordering::SeqCst), 0, "the first signal only begins");
            sender.send(second).await.unwrap();
        };
        tokio::join!(follow, send);
        assert_eq!(ended.load(Ordering::SeqCst), code);
    }
}
