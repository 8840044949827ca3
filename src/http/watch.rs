//! What a connection is doing and how long it may go on: the facts behind every connection time limit.
//!
//! hyper's own header timer starts with the connection's idleness, does not run while the protocol is being
//! recognised, and knows nothing of h2; so the limits are kept here, for all protocols alike:
//!
//! ```text
//! accepted --(header_read)--> first request        silent, slow TLS, slow head
//! idle, no byte --(keep_alive_idle)--> closed      kept alive for nothing
//! idle, a byte came --(header_read)--> closed      slow head of a later request (HTTP/1)
//! in flight --(exchange, from the last progress)--> closed   answer not taken
//! ```
//!
//! Owns no socket and no timer; `connection` asks for the deadline and acts.

use std::{
    mem::MaybeUninit,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) header_read: Duration,
    pub(super) keep_alive_idle: Duration,
    pub(super) exchange: Duration,
}

/// Which limit a connection runs under now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A request's head is awaited.
    Head,
    /// Nothing is going on.
    Idle,
    /// A request is being answered.
    Exchange,
}

/// Facts of one connection. Times are milliseconds since it was accepted; each field stands for itself, so
/// relaxed order is enough.
#[derive(Debug)]
pub(super) struct Watch {
    accepted: Instant,
    in_flight: AtomicU32,
    /// Last start, progress or end of a request.
    progress_ms: AtomicU64,
    /// First byte since the connection is idle, plus one; 0 if none came.
    first_byte_ms: AtomicU64,
    served: AtomicBool,
    is_h2: AtomicBool,
}

impl Watch {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            accepted: Instant::now(),
            in_flight: AtomicU32::new(0),
            progress_ms: AtomicU64::new(0),
            first_byte_ms: AtomicU64::new(0),
            served: AtomicBool::new(false),
            is_h2: AtomicBool::new(false),
        })
    }

    /// Until when the connection may stay as it is, and why.
    pub(super) fn deadline(&self, limits: &Limits) -> (Instant, Phase) {
        let at = |ms: u64, limit: Duration| self.accepted + Duration::from_millis(ms) + limit;
        if self.in_flight.load(Relaxed) > 0 {
            return (at(self.progress_ms.load(Relaxed), limits.exchange), Phase::Exchange);
        }
        if !self.served.load(Relaxed) {
            return (at(0, limits.header_read), Phase::Head);
        }
        let idle = at(self.progress_ms.load(Relaxed), limits.keep_alive_idle);
        // h2 sends frames of its own while idle; there the idle limit bounds a slow head as well.
        match self.first_byte_ms.load(Relaxed) {
            first if first > 0 && !self.is_h2.load(Relaxed) => {
                let head = at(first - 1, limits.header_read);
                if head < idle { (head, Phase::Head) } else { (idle, Phase::Idle) }
            }
            _ => (idle, Phase::Idle),
        }
    }

    /// A request's head is complete; it is in flight until the guard drops.
    pub(super) fn begin(self: &Arc<Self>, is_h2: bool) -> InFlight {
        self.is_h2.store(is_h2, Relaxed);
        self.served.store(true, Relaxed);
        self.first_byte_ms.store(0, Relaxed);
        self.progress();
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(Arc::clone(self))
    }

    fn progress(&self) {
        self.progress_ms.store(self.now_ms(), Relaxed);
    }

    fn received(&self) {
        if self.in_flight.load(Relaxed) == 0 && self.first_byte_ms.load(Relaxed) == 0 {
            self.first_byte_ms.store(self.now_ms() + 1, Relaxed);
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.accepted.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A request in flight, from its head to the last byte of its answer.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Watch>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.progress();
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// An answer's body that keeps its request in flight and reports progress.
#[derive(Debug)]
pub(super) struct WatchedBody {
    inner: Body,
    in_flight: InFlight,
}

impl WatchedBody {
    pub(super) fn new(inner: Body, in_flight: InFlight) -> Self {
        Self { inner, in_flight }
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        self.in_flight.0.progress();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Head and body of a usual answer: so many bytes are copied into one piece, which costs less than a gathering write.
const PIECE_BYTES: usize = 2_048;

/// A stream that reports when bytes arrive, and writes a small answer in one piece.
#[derive(Debug)]
pub(super) struct WatchedIo<I> {
    inner: I,
    watch: Arc<Watch>,
}

impl<I> WatchedIo<I> {
    pub(super) fn new(inner: I, watch: Arc<Watch>) -> Self {
        Self { inner, watch }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for WatchedIo<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.inner).poll_read(cx, buffer));
        if buffer.filled().len() > before {
            self.watch.received();
        }
        Poll::Ready(result)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for WatchedIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        if slices.iter().map(|slice| slice.len()).sum::<usize>() > PIECE_BYTES {
            return Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        }
        let mut room = [const { MaybeUninit::uninit() }; PIECE_BYTES];
        let mut piece = ReadBuf::uninit(&mut room);
        slices.iter().for_each(|slice| piece.put_slice(slice));
        Pin::new(&mut self.inner).poll_write(cx, piece.filled())
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    const LIMITS: Limits = Limits {
        header_read: Duration::from_secs(10),
        keep_alive_idle: Duration::from_secs(75),
        exchange: Duration::from_secs(60),
    };

    fn left(watch: &Watch) -> (u64, Phase) {
        let (at, phase) = watch.deadline(&LIMITS);
        ((at - Instant::now()).as_secs(), phase)
    }

    /// security 94, 95: the limit of each phase, and that bytes alone never prolong one.
    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_limit() {
        let watch = Watch::new();
        assert_eq!(left(&watch), (10, Phase::Head));
        tokio::time::advance(Duration::from_secs(4)).await;
        watch.received();
        assert_eq!(left(&watch), (6, Phase::Head));

        let request = watch.begin(false);
        assert_eq!(left(&watch), (60, Phase::Exchange));
        tokio::time::advance(Duration::from_secs(20)).await;
        watch.received();
        assert_eq!(left(&watch), (40, Phase::Exchange));
        drop(request);
        assert_eq!(left(&watch), (75, Phase::Idle));

        tokio::time::advance(Duration::from_secs(30)).await;
        watch.received();
        assert_eq!(left(&watch), (10, Phase::Head));
        tokio::time::advance(Duration::from_secs(4)).await;
        watch.received();
        assert_eq!(left(&watch), (6, Phase::Head));
        drop(watch.begin(false));
        assert_eq!(left(&watch), (75, Phase::Idle));
    }

    /// A byte shortly before the idle limit does not prolong it, and h2's own frames do not shorten it.
    #[tokio::test(start_paused = true)]
    async fn idle_is_a_bound_of_its_own() {
        let watch = Watch::new();
        drop(watch.begin(false));
        tokio::time::advance(Duration::from_secs(70)).await;
        watch.received();
        assert_eq!(left(&watch), (5, Phase::Idle));

        let h2 = Watch::new();
        drop(h2.begin(true));
        h2.received();
        assert_eq!(left(&h2), (75, Phase::Idle));
        let (first, second) = (h2.begin(true), h2.begin(true));
        drop(first);
        assert_eq!(left(&h2), (60, Phase::Exchange));
        drop(second);
        assert_eq!(left(&h2), (75, Phase::Idle));
    }

    /// Takes whatever is written, and notes by which kind of write.
    #[derive(Default)]
    struct Writes {
        plain: Vec<Vec<u8>>,
        gathering: u32,
    }

    impl AsyncWrite for Writes {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
            self.plain.push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<std::io::Result<usize>> {
            self.gathering += 1;
            Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
        }
    }

    #[tokio::test]
    async fn a_small_answer_is_one_plain_write() {
        let mut io = WatchedIo::new(Writes::default(), Watch::new());
        let body = [7; PIECE_BYTES];
        let [head, rest] = [&body[..4], &body[4..]].map(IoSlice::new);
        assert_eq!(io.write_vectored(&[head, rest]).await.unwrap(), PIECE_BYTES);
        assert_eq!((io.inner.plain.as_slice(), io.inner.gathering), (&[body.to_vec()][..], 0));
        // Not a byte is lost of one that has no room.
        assert_eq!(io.write_vectored(&[head, rest, IoSlice::new(b"!")]).await.unwrap(), PIECE_BYTES + 1);
        assert_eq!((io.inner.plain.len(), io.inner.gathering), (1, 1));
    }
}
