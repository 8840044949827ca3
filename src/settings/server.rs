//! `[server]`, `[ops]`, `[log]`: doors, their limits, and what is written about them.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use tracing_subscriber::EnvFilter;

use super::reader::Reader;

/// The clients' door.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where clients connect; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// What clients call us, without a final slash; `None`: see [`Server::public_url`].
    pub public_url: Option<String>,
    /// Time for a request head.
    pub header_read_timeout: Duration,
    /// Time for a body after its head.
    pub body_timeout: Duration,
    /// Time for one request in all.
    pub request_timeout: Duration,
    /// How long a connection may be idle.
    pub keep_alive_max: Duration,
    /// Longest time of a request without progress.
    pub exchange_timeout: Duration,
    /// Connections open at once.
    pub connections_max: usize,
    /// Connections open at once from one client address.
    pub connections_per_ip_max: usize,
    /// Largest request head, bytes.
    pub header_bytes_max: usize,
    /// Most header lines of an HTTP/1.1 request.
    pub headers_max: usize,
    /// Largest request body, bytes.
    pub body_bytes_max: usize,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a stop waits for what is open.
    pub shutdown_deadline: Duration,
    /// Certificate and key, if TLS ends here.
    pub tls: Option<TlsFiles>,
    /// HTTP/2's own limits.
    pub http2: Http2,
}

/// `[server.tls]`: where certificate chain and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM file of the chain.
    pub cert: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// `[server.http2]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// Requests open at once on one connection.
    pub streams_max: u32,
    /// Streams a client may reset before its connection ends.
    pub resets_max: usize,
    /// How often a silent connection is asked whether it is alive.
    pub ping_interval: Duration,
}

impl Server {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            listen: r.address("server.listen"),
            public_url: r.checked("server.public_url", BASE_URL, is_base_url),
            header_read_timeout: r.millis("server.header_read_timeout_ms", 100..=60_000),
            body_timeout: r.millis("server.body_timeout_ms", 100..=60_000),
            request_timeout: r.millis("server.request_timeout_ms", 1_000..=300_000),
            keep_alive_max: r.seconds("server.keep_alive_max_s", 1..=3_600),
            exchange_timeout: r.millis("server.exchange_timeout_ms", 1_000..=600_000),
            connections_max: r.number("server.connections_max", 1..=1_000_000),
            connections_per_ip_max: r.number("server.connections_per_ip_max", 1..=1_000_000),
            header_bytes_max: r.number("server.header_bytes_max", 8_192..=1_048_576),
            headers_max: r.number("server.headers_max", 16..=1_000),
            body_bytes_max: r.number("server.body_bytes_max", 1_024..=1_048_576),
            trusted_proxies: r.list("server.trusted_proxies", NETWORK, network),
            shutdown_deadline: r.millis("server.shutdown_deadline_ms", 0..=600_000),
            tls: read_tls(r),
            http2: Http2 {
                streams_max: r.number("server.http2.streams_max", 1..=10_000),
                resets_max: r.number("server.http2.resets_max", 1..=10_000),
                ping_interval: r.millis("server.http2.ping_interval_ms", 1_000..=600_000),
            },
        }
    }

    /// What clients call us: as set, or made of the address that was really bound.
    #[must_use]
    pub fn public_url(&self, bound: SocketAddr) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        self.public_url.clone().unwrap_or_else(|| format!("{scheme}://{bound}"))
    }
}

fn read_tls(r: &mut Reader<'_>) -> Option<TlsFiles> {
    match (r.optional("server.tls.cert"), r.optional("server.tls.key")) {
        (Some(cert), Some(key)) => Some(TlsFiles { cert: cert.into(), key: key.into() }),
        (None, None) => None,
        (Some(_), None) => missing(r, "server.tls.key", "server.tls.cert"),
        (None, Some(_)) => missing(r, "server.tls.cert", "server.tls.key"),
    }
}

fn missing(r: &mut Reader<'_>, key: &str, other: &str) -> Option<TlsFiles> {
    r.problem(key, format!("must be set when {other} is"));
    None
}

/// The operators' door.
#[derive(Debug, Clone)]
pub struct Ops {
    /// Where metrics, health and readiness are served.
    pub listen: SocketAddr,
}

impl Ops {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self { listen: r.address("ops.listen") }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For eyes.
    Human,
    /// One JSON object per line.
    Json,
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// Directives of `tracing_subscriber::EnvFilter`; checked to parse.
    pub filter: String,
    /// Lines that may wait to be written.
    pub queue_lines: usize,
}

impl Log {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        let format = r.choice("log.format", ("human", LogFormat::Human), &[("json", LogFormat::Json)]);
        let what = "a level or target=level, comma-separated";
        let filter = r.checked("log.filter", what, |text| EnvFilter::try_new(text).is_ok());
        let queue_lines = r.number("log.queue_lines", 16..=1_000_000);
        Self { format, filter: filter.unwrap_or_default(), queue_lines }
    }
}

pub(super) const BASE_URL: &str = "http:// or https:// and a host, without final slash, query or fragment";

/// True for a URL that paths can be appended to.
pub(super) fn is_base_url(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else { return false };
    let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
    is_authority(authority) && !text.ends_with('/') && !text.contains(['?', '#', ' ', '\\', '"', '<', '>'])
}

/// True for a host, or a host and port; no user name, no wildcard.
pub(super) fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (text, None),
    };
    let sound_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0));
    sound_port && is_host(host)
}

/// True for a DNS name, an IPv4 address or a bracketed IPv6 address.
pub(super) fn is_host(text: &str) -> bool {
    if let Some(inner) = text.strip_prefix('[') {
        return inner.strip_suffix(']').is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
    }
    let sound_label = |label: &str| {
        !label.is_empty() && label.len() <= 63 && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    text.len() <= 253 && text.split('.').all(sound_label)
}

pub(super) const NETWORK: &str = "a network, as in 10.0.0.0/8, or an address";

pub(super) fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Two capital letters: ISO 3166-1 alpha-2.
pub(super) fn is_region(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// `/api/auth`: plain segments, no final slash, nothing that a router would take for a pattern.
pub(super) fn is_path(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let segments = text.strip_prefix('/').map(|rest| rest.split('/'));
    text.len() <= 100
        && segments.is_some_and(|mut all| {
            all.all(|segment| !segment.trim_matches('.').is_empty() && segment.bytes().all(plain))
        })
}
