//! Who asks: the address of the client behind any trusted proxies, and the bucket its limits are kept in.
//!
//! The socket's peer is the truth. Only a peer in `trusted_proxies` is believed, and only what it and the
//! trusted hops before it appended to `X-Forwarded-For`. Other headers (`Forwarded`, `X-Real-IP`,
//! `CF-Connecting-IP`) are never read: each is one more way to be lied to.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Prefix length by which IPv6 addresses share limits: one /64 is one customer's network at least.
pub const IPV6_PREFIX_DEFAULT: u8 = 64;

/// Whose `X-Forwarded-For` is believed, and how IPv6 addresses are grouped.
#[derive(Debug, Clone)]
pub struct ClientIpRules {
    /// Networks of our own proxies. Default: none, so the peer is the client.
    pub trusted_proxies: Vec<IpNet>,
    /// Bits of an IPv6 address that make its bucket, 0 to 128. Default: 64.
    pub ipv6_prefix: u8,
}

impl Default for ClientIpRules {
    fn default() -> Self {
        Self { trusted_proxies: Vec::new(), ipv6_prefix: IPV6_PREFIX_DEFAULT }
    }
}

/// The client's address and its bucket; an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientIp {
    /// The address, IPv4-mapped IPv6 folded to IPv4.
    pub ip: IpAddr,
    /// The key of limits.
    pub bucket: IpBucket,
}

/// The key of everything that is limited by address: an IPv4 address or an IPv6 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IpBucket(IpAddr);

impl IpBucket {
    /// The address or the first address of the network.
    pub fn address(self) -> IpAddr {
        self.0
    }
}

impl ClientIpRules {
    /// The client of a request that came from `peer` with these headers.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientIp {
        let peer = fold(peer);
        let ip = if self.trusts(peer) { self.forwarded(headers).unwrap_or(peer) } else { peer };
        ClientIp { ip, bucket: self.bucket(ip) }
    }

    /// The bucket of an address.
    pub fn bucket(&self, ip: IpAddr) -> IpBucket {
        let network = |v6: Ipv6Addr| {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(self.ipv6_prefix.into())).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask)
        };
        IpBucket(match fold(ip) {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => network(v6).into(),
        })
    }

    /// Whether the address is one of our proxies.
    pub fn trusts(&self, ip: IpAddr) -> bool {
        let ip = fold(ip);
        self.trusted_proxies.iter().any(|net| net.contains(&ip))
    }

    /// Walks the joined header lines from the right, past trusted hops. The first other address is the
    /// client; if all are trusted, the leftmost is. `None` if an entry on the way is no address: what stands
    /// left of the client was written by the client and is never looked at.
    fn forwarded(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let mut last = None;
        for line in headers.get_all(X_FORWARDED_FOR).iter().rev() {
            for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
                let ip = address(entry)?;
                last = Some(ip);
                if !self.trusts(ip) {
                    return last;
                }
            }
        }
        last
    }
}

/// An address, with or without a port (some proxies add one) and brackets.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let ip = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip())).ok()?;
    Some(fold(ip))
}

/// `::ffff:1.2.3.4` is `1.2.3.4`.
fn fold(ip: IpAddr) -> IpAddr {
    ip.to_canonical()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use axum::http::HeaderValue;

    use super::*;

    fn rules() -> ClientIpRules {
        let nets = ["10.0.0.0/8", "192.168.1.1/32", "fd00::/8"];
        ClientIpRules { trusted_proxies: nets.map(|net| net.parse().unwrap()).into(), ..ClientIpRules::default() }
    }

    #[track_caller]
    fn check(peer: &str, lines: &[&[u8]], expected: &str) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap());
        }
        for liar in ["forwarded", "x-real-ip", "true-client-ip", "cf-connecting-ip"] {
            headers.insert(HeaderName::from_static(liar), HeaderValue::from_static("for=66.66.66.66"));
        }
        let client = rules().client(peer.parse().unwrap(), &headers);
        assert_eq!(client.ip.to_string(), expected, "{peer} {lines:?}");
    }

    /// security 86: the matrix of peers and headers.
    #[test]
    fn the_peer_unless_a_trusted_proxy_says_otherwise() {
        // An untrusted peer is itself, whatever it claims.
        check("203.0.113.9", &[], "203.0.113.9");
        check("203.0.113.9", &[b"1.2.3.4"], "203.0.113.9");
        check("203.0.113.9", &[b"10.0.0.1"], "203.0.113.9");
        check("2001:db8::9", &[b"1.2.3.4"], "2001:db8::9");
        // A trusted one is believed, from the right.
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &[b"1.2.3.4"], "1.2.3.4");
        check("10.0.0.1", &[b"6.6.6.6, 1.2.3.4"], "1.2.3.4");
        check("10.0.0.1", &[b"6.6.6.6,1.2.3.4,10.0.0.2"], "1.2.3.4");
        check("10.0.0.1", &[b"6.6.6.6, 1.2.3.4 , 10.0.0.2, 192.168.1.1"], "1.2.3.4");
        check("10.0.0.1", &[b"6.6.6.6, 1.2.3.4, 192.168.1.2"], "192.168.1.2");
        check("10.0.0.1", &[b"10.0.0.3, 10.0.0.2"], "10.0.0.3");
        check("fd00::1", &[b"2001:db8::1"], "2001:db8::1");
        // Several lines are one list.
        check("10.0.0.1", &[b"6.6.6.6", b"1.2.3.4"], "1.2.3.4");
        check("10.0.0.1", &[b"6.6.6.6, 1.2.3.4", b"10.0.0.2"], "1.2.3.4");
        // Ports and brackets.
        check("10.0.0.1", &[b"1.2.3.4:5678"], "1.2.3.4");
        check("10.0.0.1", &[b"[2001:db8::1]:443"], "2001:db8::1");
        check("10.0.0.1", &[b"[2001:db8::1]"], "2001:db8::1");
        // Mapped addresses fold, on both sides.
        check("::ffff:10.0.0.1", &[b"::ffff:1.2.3.4"], "1.2.3.4");
        check("::ffff:203.0.113.9", &[b"1.2.3.4"], "203.0.113.9");
    }

    /// security 86: malformed where it counts is the peer; malformed where the client wrote it is nothing.
    #[test]
    fn malformed_is_the_peer() {
        let malformed: [&[u8]; 9] = [
            b"",
            b"unknown",
            b"1.2.3.4,",
            b"1.2.3.4, ",
            b"1.2.3.4 5.6.7.8",
            b"1.2.3",
            b"1.2.3.4:port",
            b"\xff\xfe",
            b"1.2.3.4, _hidden, 10.0.0.2",
        ];
        for line in malformed {
            check("10.0.0.1", &[line], "10.0.0.1");
        }
        check("10.0.0.1", &[b"garbage, \xff, 1.2.3.4"], "1.2.3.4");
        check("10.0.0.1", &[b"\xff", b"1.2.3.4, 10.0.0.2"], "1.2.3.4");
    }

    /// security 87: mapped and plain share a bucket, and so does a /64.
    #[test]
    fn buckets() {
        let bucket = |text: &str| rules().bucket(text.parse().unwrap());
        assert_eq!(bucket("::ffff:1.2.3.4"), bucket("1.2.3.4"));
        assert_ne!(bucket("1.2.3.4"), bucket("1.2.3.5"));
        assert_eq!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(bucket("2001:db8:1:2::1"), bucket("2001:db8:1:3::1"));
        let wide = ClientIpRules { ipv6_prefix: 56, ..rules() };
        assert_eq!(wide.bucket("2001:db8:1:2::1".parse().unwrap()), wide.bucket("2001:db8:1:3::1".parse().unwrap()));
        let all = ClientIpRules { ipv6_prefix: 0, ..rules() };
        assert_eq!(all.bucket("2001:db8::1".parse().unwrap()), all.bucket("fe80::1".parse().unwrap()));
        let each = ClientIpRules { ipv6_prefix: 128, ..rules() };
        assert_ne!(each.bucket("2001:db8::1".parse().unwrap()), each.bucket("2001:db8::2".parse().unwrap()));
    }

    /// security 86: a stranger who rotates the header stays in one bucket.
    #[test]
    fn rotating_the_header_gains_nothing() {
        let peer = "203.0.113.9".parse().unwrap();
        let buckets: HashSet<IpBucket> = (0..1_000_u32)
            .map(|n| {
                let value = HeaderValue::try_from(std::net::Ipv4Addr::from(n << 12).to_string()).unwrap();
                rules().client(peer, &HeaderMap::from_iter([(X_FORWARDED_FOR, value)])).bucket
            })
            .collect();
        assert_eq!(buckets.len(), 1);
    }
}
