//! One HTTP/1.1 connection that is kept open, driven within the task that asks: no second task has to be woken for an
//! answer, which matters where client and server share the cores.

use std::{future::poll_fn, net::SocketAddr, pin::Pin, task::Poll, time::Duration};

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Body as _, Bytes, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than the server waits for a provider (25 s).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(40);
/// Longest answer, in bytes. Ours have a few KiB.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A request as it goes out.
pub(super) type Asked = Request<Full<Bytes>>;

type Link = http1::Connection<TokioIo<TcpStream>, Full<Bytes>>;

/// The connection, and the body of the last answer.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    link: Pin<Box<Link>>,
    closed: bool,
    body: Vec<u8>,
}

/// The connection has ended, or the answer was none; whether the server has seen the request is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> Result<Self, Broken> {
        let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(|_| Broken)?;
        let stream = stream.map_err(|_| Broken)?;
        // Requests are small and wait for their answers: Nagle's algorithm would hold them back.
        stream.set_nodelay(true).map_err(|_| Broken)?;
        let (sender, link) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Broken)?;
        Ok(Self { sender, link: Box::pin(link), closed: false, body: Vec::with_capacity(2048) })
    }

    /// True once a request can be sent; false if the server has closed the connection.
    pub(super) async fn is_usable(&mut self) -> bool {
        poll_fn(|cx| {
            self.drive(cx);
            if self.closed { Poll::Ready(Ok(())) } else { self.sender.poll_ready(cx) }
        })
        .await
        .is_ok_and(|()| !self.closed)
    }

    /// Sends a request and reads the answer; its status.
    pub(super) async fn ask(&mut self, request: Asked) -> Result<u16, Broken> {
        let answered = timeout(ANSWER_TIMEOUT, self.exchange(request)).await;
        let answered = answered.map_err(|_| Broken).flatten();
        self.closed |= answered.is_err();
        answered
    }

    /// The last answer's body.
    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    async fn exchange(&mut self, request: Asked) -> Result<u16, Broken> {
        let mut response = std::pin::pin!(self.sender.send_request(request));
        let (link, closed) = (&mut self.link, &mut self.closed);
        let response = poll_fn(|cx| {
            *closed = *closed || link.as_mut().poll(cx).is_ready();
            response.as_mut().poll(cx)
        });
        let response = response.await.map_err(|_| Broken)?;
        let status = response.status().as_u16();
        self.read(response).await?;
        Ok(status)
    }

    async fn read(&mut self, response: Response<Incoming>) -> Result<(), Broken> {
        let mut incoming = response.into_body();
        self.body.clear();
        loop {
            let frame = poll_fn(|cx| {
                // Asking for the body is what lets the connection read it, so it is asked before and after.
                match Pin::new(&mut incoming).poll_frame(cx) {
                    Poll::Ready(frame) => Poll::Ready(frame),
                    Poll::Pending => {
                        self.drive(cx);
                        Pin::new(&mut incoming).poll_frame(cx)
                    }
                }
            });
            let Some(frame) = frame.await else { return Ok(()) };
            if let Ok(data) = frame.map_err(|_| Broken)?.into_data() {
                self.body.extend_from_slice(&data);
            }
            if self.body.len() > ANSWER_BYTES_MAX {
                return Err(Broken);
            }
        }
    }

    fn drive(&mut self, cx: &mut std::task::Context<'_>) {
        // What has ended must not be polled again.
        self.closed = self.closed || self.link.as_mut().poll(cx).is_ready();
    }
}
