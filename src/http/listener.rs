//! The accept loop: who may connect, how many at once, and how it ends.
//!
//! Own loop, because axum's `serve` gives hyper no timer, so that its time limits never fire. Counts
//! connections in all and per address, sheds the rest at once, steps back when the system refuses, and on
//! stop closes the door first and then lets every connection finish, up to a deadline.

use std::{
    collections::HashMap,
    fmt, io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::Router;
use metrics::{Counter, Gauge};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use super::{
    client_ip::{ClientIpRules, IpBucket},
    connection::Shared,
};

/// First wait after a failed accept (no file descriptors, as a rule); doubles up to [`ACCEPT_WAIT_MAX`].
const ACCEPT_WAIT_MIN: Duration = Duration::from_millis(10);
/// Longest wait after failed accepts.
const ACCEPT_WAIT_MAX: Duration = Duration::from_secs(1);

/// Bounds of a listener and its connections.
#[derive(Clone)]
pub struct ListenerSettings {
    /// Its name in metrics: `main` or `ops`.
    pub name: &'static str,
    /// Most connections at once. Default 16,384: about 0.5 GiB of buffers at worst, and within a usual limit
    /// of 65,536 file descriptors. Beyond, a new one is closed at once.
    pub connections_max: usize,
    /// Most connections at once of one address (IPv6 by network); trusted proxies aside. Default 1,024: many
    /// people share an address behind a carrier's NAT.
    pub connections_per_ip_max: usize,
    /// Longest time from accept to the first complete request head (TLS handshake included), and from the
    /// first byte of a later head to its last. Default 10 s.
    pub header_read_timeout: Duration,
    /// How long a connection may stay open without a request. Default 75 s: above the 60 s of usual proxies,
    /// so that they close first and never send into a closing connection.
    pub keep_alive_idle: Duration,
    /// Longest time without progress of a request in flight: handler, or an answer the client does not take.
    /// Default 60 s; must be longer than the edge's request timeout (30 s).
    pub exchange_timeout: Duration,
    /// How long connections may take to finish after the stop. Default 20 s.
    pub drain_timeout: Duration,
    /// Most bytes of a request's head. Default 16 KiB; at least 8 KiB.
    pub header_bytes_max: usize,
    /// Most header lines of an HTTP/1.1 request. Default 64.
    pub headers_max: usize,
    /// Most concurrent streams of an h2 connection. Default 100, the least RFC 9113 recommends.
    pub h2_streams_max: u32,
    /// Most streams a client may have reset before they were looked at (rapid reset); beyond, the connection
    /// is closed. Default 20.
    pub h2_resets_max: usize,
    /// How often a silent h2 connection is asked whether it is alive. Default 20 s.
    pub h2_ping_interval: Duration,
    /// Certificate and key; `None` is plain HTTP. Default: none.
    pub tls: Option<Arc<ServerConfig>>,
    /// How addresses are grouped, and which belong to our own proxies.
    pub client_ip: ClientIpRules,
}

impl Default for ListenerSettings {
    fn default() -> Self {
        Self {
            name: "main",
            connections_max: 16_384,
            connections_per_ip_max: 1_024,
            header_read_timeout: Duration::from_secs(10),
            keep_alive_idle: Duration::from_secs(75),
            exchange_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(20),
            header_bytes_max: 16 * 1024,
            headers_max: 64,
            h2_streams_max: 100,
            h2_resets_max: 20,
            h2_ping_interval: Duration::from_secs(20),
            tls: None,
            client_ip: ClientIpRules::default(),
        }
    }
}

impl fmt::Debug for ListenerSettings {
    /// Leaves the key material out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerSettings")
            .field("name", &self.name)
            .field("connections_max", &self.connections_max)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

/// The socket's peer: an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddr(pub SocketAddr);

/// How a listener ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had not finished at the deadline and were cut.
    pub cut: usize,
}

/// Serves until `stop` is cancelled and the connections have finished, or the drain deadline has passed.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: ListenerSettings,
    stop: CancellationToken,
) -> Drained {
    let shared = Arc::new(Shared::new(router, &settings));
    let door = Arc::new(Door::new(&settings));
    let mut connections = JoinSet::new();
    let mut wait = ACCEPT_WAIT_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            // Before the next one, or finished connections would pile up under a constant stream of new ones.
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                wait = ACCEPT_WAIT_MIN;
                if let Some(ticket) = door.admit(peer) {
                    connections.spawn(run(Arc::clone(&shared), stream, peer, stop.clone(), ticket));
                }
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), listener = settings.name, "accept failed");
                let _ = stop.run_until_cancelled(tokio::time::sleep(wait)).await;
                wait = (wait * 2).min(ACCEPT_WAIT_MAX);
            }
        }
    }
    // First the door: the system refuses new connections from here on.
    drop(listener);
    drain(connections, settings.drain_timeout).await
}

async fn run(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, stop: CancellationToken, ticket: Ticket) {
    shared.serve(stream, peer, &stop).await;
    drop(ticket);
}

async fn drain(mut connections: JoinSet<()>, limit: Duration) -> Drained {
    let finished = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limit, finished).await;
    let cut = connections.len();
    connections.shutdown().await;
    Drained { cut }
}

/// Errors of a connection that ended before it was accepted; the listener is fine.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Counts who is inside.
struct Door {
    connections_max: usize,
    per_ip_max: usize,
    rules: ClientIpRules,
    inside: AtomicUsize,
    by_ip: Mutex<HashMap<IpBucket, usize>>,
    open: Gauge,
    refused: Counter,
    refused_of_ip: Counter,
}

impl Door {
    fn new(settings: &ListenerSettings) -> Self {
        Self {
            connections_max: settings.connections_max,
            per_ip_max: settings.connections_per_ip_max.max(1),
            rules: settings.client_ip.clone(),
            inside: AtomicUsize::new(0),
            by_ip: Mutex::new(HashMap::new()),
            open: metrics::gauge!("otpd_connections", "listener" => settings.name),
            refused: metrics::counter!("otpd_overload_total", "limit" => "connections"),
            refused_of_ip: metrics::counter!("otpd_overload_total", "limit" => "connections_per_ip"),
        }
    }

    /// A ticket for one more connection, or `None` if there is no room. Called by the accept loop only.
    fn admit(self: &Arc<Self>, peer: SocketAddr) -> Option<Ticket> {
        let bucket = (!self.rules.trusts(peer.ip())).then(|| self.rules.bucket(peer.ip()));
        if self.inside.load(Ordering::Relaxed) >= self.connections_max {
            self.refused.increment(1);
            return None;
        }
        if !bucket.is_none_or(|bucket| self.count_in(bucket)) {
            self.refused_of_ip.increment(1);
            return None;
        }
        self.inside.fetch_add(1, Ordering::Relaxed);
        self.open.increment(1.0);
        Some(Ticket { door: Arc::clone(self), bucket })
    }

    fn count_in(&self, bucket: IpBucket) -> bool {
        let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        let count = by_ip.entry(bucket).or_insert(0);
        let has_room = *count < self.per_ip_max;
        *count += usize::from(has_room);
        has_room
    }

    fn count_out(&self, bucket: IpBucket) {
        let mut by_ip = self.by_ip.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_ip.get_mut(&bucket) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_ip.remove(&bucket);
            }
        }
    }
}

/// One connection's place; given back when it drops, also by a panic or a cut.
struct Ticket {
    door: Arc<Door>,
    bucket: Option<IpBucket>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.door.inside.fetch_sub(1, Ordering::Relaxed);
        self.door.open.decrement(1.0);
        if let Some(bucket) = self.bucket {
            self.door.count_out(bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(connections_max: usize, connections_per_ip_max: usize) -> Arc<Door> {
        let client_ip =
            ClientIpRules { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..ClientIpRules::default() };
        let settings = ListenerSettings { connections_max, connections_per_ip_max, client_ip, ..Default::default() };
        Arc::new(Door::new(&settings))
    }

    fn peer(text: &str) -> SocketAddr {
        SocketAddr::new(text.parse().unwrap(), 1)
    }

    /// security 95: most connections in all and per address; proxies of our own have no bound of their own.
    #[test]
    fn the_door_counts_in_and_out() {
        let door = door(5, 2);
        let first = door.admit(peer("1.2.3.4"));
        let second = door.admit(peer("::ffff:1.2.3.4"));
        assert!(first.is_some() && second.is_some() && door.admit(peer("1.2.3.4")).is_none());
        drop(first);
        let third = door.admit(peer("1.2.3.4"));
        assert!(third.is_some() && door.admit(peer("1.2.3.4")).is_none());
        let proxied: Vec<_> = (0..3).map(|_| door.admit(peer("10.0.0.1"))).collect();
        assert!(proxied.iter().all(Option::is_some));
        assert!(door.admit(peer("10.0.0.1")).is_none() && door.admit(peer("9.9.9.9")).is_none());
        drop((second, third, proxied));
        assert_eq!(door.inside.load(Ordering::Relaxed), 0);
        // A refused address leaves an entry only while others of it are inside.
        assert!(door.by_ip.lock().unwrap().is_empty());
    }
}
