//! One connection from handshake to close: TLS, HTTP/1.1 or h2, the time limits, the request to finish.
//!
//! Owns the protocol settings; the time limits' facts are `watch`'s, and who may connect is `listener`'s.

use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{Request, Version, body::Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, Sleep},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use super::{
    listener::{ListenerSettings, PeerAddr},
    watch::{Limits, Phase, Watch, WatchedBody, WatchedIo},
};

/// How long an idle connection that was told to finish may take for its goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// What all connections of a listener share.
pub(super) struct Shared {
    router: Router,
    protocol: auto::Builder<TokioExecutor>,
    tls: Option<TlsAcceptor>,
    limits: Limits,
}

impl Shared {
    pub(super) fn new(router: Router, settings: &ListenerSettings) -> Self {
        let limits = Limits {
            header_read: settings.header_read_timeout,
            keep_alive_idle: settings.keep_alive_idle,
            exchange: settings.exchange_timeout,
        };
        let tls = settings.tls.clone().map(TlsAcceptor::from);
        Self { router, protocol: protocol(settings), tls, limits }
    }

    /// Serves one connection until it ends, is shed, or was told to stop and has finished.
    pub(super) async fn serve(&self, stream: TcpStream, peer: SocketAddr, stop: &CancellationToken) {
        // Answers are small: waiting for more to send only adds to their latency.
        let _ = stream.set_nodelay(true);
        let watch = Watch::new();
        let Some(tls) = &self.tls else {
            return self.drive(stream, peer, watch, stop).await;
        };
        // Boxed: a handshake takes much room, which connections without one would carry all their life.
        Box::pin(self.shake_hands(tls, stream, peer, watch, stop)).await;
    }

    async fn shake_hands(
        &self,
        tls: &TlsAcceptor,
        stream: TcpStream,
        peer: SocketAddr,
        watch: Arc<Watch>,
        stop: &CancellationToken,
    ) {
        let handshake = Box::pin(tokio::time::timeout(self.limits.header_read, tls.accept(stream)));
        match stop.run_until_cancelled(handshake).await {
            Some(Ok(Ok(stream))) => self.drive(Box::new(stream), peer, watch, stop).await,
            Some(Ok(Err(_))) => tracing::debug!("tls handshake failed"),
            Some(Err(_)) => shed(Phase::Head),
            None => {}
        }
    }

    async fn drive<I>(&self, io: I, peer: SocketAddr, watch: Arc<Watch>, stop: &CancellationToken)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let router = self.router.clone();
        let requests = Arc::clone(&watch);
        let service = hyper::service::service_fn(move |request: Request<Incoming>| {
            let in_flight = requests.begin(request.version() == Version::HTTP_2);
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(PeerAddr(peer));
            let answer = router.clone().call(request);
            async move { answer.await.map(|response| response.map(|body| WatchedBody::new(body, in_flight))) }
        });
        let io = TokioIo::new(WatchedIo::new(io, Arc::clone(&watch)));
        let mut connection = pin!(self.protocol.serve_connection(io, service));
        let mut stopped = pin!(stop.cancelled());
        let mut guard = Guard::new(&watch, &self.limits);
        let mut is_told = false;
        let mut timer = pin!(tokio::time::sleep_until(guard.deadline()));
        poll_fn(|cx| {
            loop {
                if connection.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let told_now = !is_told && stopped.as_mut().poll(cx).is_ready();
                if !told_now {
                    match guard.poll(timer.as_mut(), cx) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(Expired::Drop) => return Poll::Ready(()),
                        Poll::Ready(Expired::Tell) => {}
                    }
                }
                is_told = true;
                connection.as_mut().graceful_shutdown();
            }
        })
        .await;
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// What a passed deadline asks for.
enum Expired {
    /// Ask the connection to finish: it is idle, and its client deserves a goodbye.
    Tell,
    /// Close it now.
    Drop,
}

/// Applies the limits to one connection.
struct Guard<'a> {
    watch: &'a Watch,
    limits: &'a Limits,
    /// Set once an idle connection was told to finish.
    goodbye_until: Option<Instant>,
}

impl<'a> Guard<'a> {
    fn new(watch: &'a Watch, limits: &'a Limits) -> Self {
        Self { watch, limits, goodbye_until: None }
    }

    fn deadline(&self) -> Instant {
        self.watch.deadline(self.limits).0
    }

    /// Ready when a limit has passed. The timer is set anew only when it fired or is too late, so a busy
    /// connection touches it once per idle limit and not once per request.
    fn poll(&mut self, mut timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Expired> {
        loop {
            let (limit, phase) = self.watch.deadline(self.limits);
            // A request that came in with the goodbye is still answered.
            let until = match self.goodbye_until {
                Some(until) if phase != Phase::Exchange => until,
                Some(_) | None => limit,
            };
            if timer.deadline() > until || timer.is_elapsed() {
                timer.as_mut().reset(until);
            }
            std::task::ready!(timer.as_mut().poll(cx));
            if Instant::now() < until {
                continue;
            }
            if phase != Phase::Idle || self.goodbye_until.is_some() {
                shed(phase);
                return Poll::Ready(Expired::Drop);
            }
            self.goodbye_until = Some(Instant::now() + GOODBYE);
            return Poll::Ready(Expired::Tell);
        }
    }
}

fn shed(phase: Phase) {
    let phase = match phase {
        Phase::Head => "head",
        Phase::Idle => "idle",
        Phase::Exchange => "exchange",
    };
    metrics::counter!("otpd_connections_shed_total", "phase" => phase).increment(1);
}

/// hyper's settings. Its own header timer stays off: see `watch`.
fn protocol(settings: &ListenerSettings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(settings.header_bytes_max.max(HEADER_BYTES_MIN))
        .max_headers(settings.headers_max);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.h2_streams_max)
        .max_pending_accept_reset_streams(settings.h2_resets_max)
        .max_local_error_reset_streams(settings.h2_resets_max)
        .max_header_list_size(u32::try_from(settings.header_bytes_max).unwrap_or(u32::MAX))
        .max_send_buf_size(H2_SEND_BUFFER_BYTES)
        .keep_alive_interval(settings.h2_ping_interval)
        .keep_alive_timeout(settings.header_read_timeout);
    builder
}

/// hyper refuses a smaller buffer.
const HEADER_BYTES_MIN: usize = 8 * 1024;
/// Bytes of answers buffered per h2 stream; ours are small.
const H2_SEND_BUFFER_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand silent connections are ten thousand of these, and most servers' TLS ends elsewhere.
    #[tokio::test]
    async fn a_plain_connection_carries_no_handshake() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = listener.local_addr().unwrap();
        let stream = TcpStream::connect(peer).await.unwrap();
        let (shared, stop) = (Shared::new(Router::new(), &ListenerSettings::default()), CancellationToken::new());
        let bytes = size_of_val(&shared.serve(stream, peer, &stop));
        assert!(bytes <= 8 << 10, "{bytes} bytes");
    }
}
