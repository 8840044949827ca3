//! `[codes]`, `[limits]`, `[token]`, `[api]`, `[dev]`: what a code, a number, a token and a caller may do.

use std::time::Duration;

use secrecy::SecretString;

use super::{reader::Reader, server::is_authority};

/// `[codes]`: the policy of `/v1`.
#[derive(Debug, Clone)]
pub struct Codes {
    /// Digits of a code, 4 to 10.
    pub digits: u8,
    /// Fewer than six digits are meant.
    pub weak: bool,
    /// Life of a code.
    pub ttl: Duration,
    /// Wrong checks that end a code.
    pub attempts: u8,
    /// Waiting time before each resend.
    pub resend_after: Vec<Duration>,
    /// No new code for a number this soon after its last message.
    pub cooldown: Duration,
}

impl Codes {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            digits: r.number("codes.digits", 4..=10),
            weak: r.flag("codes.weak"),
            ttl: r.seconds("codes.ttl_s", 60..=600),
            attempts: r.number("codes.attempts", 3..=10),
            resend_after: r.seconds_list("codes.resend_after_s", 1..=3_600, 1..=7),
            cooldown: r.seconds("codes.cooldown_s", 0..=3_600),
        }
    }
}

/// `[limits]`: what stands above every door.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Calls of one client address per minute; 0: no limit.
    pub ip_per_minute: u32,
    /// Leading bits of an IPv6 address that are one client.
    pub ipv6_prefix: u8,
    /// Client addresses remembered at once.
    pub ip_entries_max: usize,
    /// Messages per number and window.
    pub sends_per_window: u8,
    /// Length of that window.
    pub send_window: Duration,
    /// Messages per number and day.
    pub sends_per_day: u8,
    /// Messages per number and day that one client address may ask for.
    pub sends_per_day_per_ip: u8,
    /// Wrong codes in a row without a wait.
    pub guess_free: u16,
    /// First wait.
    pub guess_delay: Duration,
    /// Longest wait.
    pub guess_delay_max: Duration,
    /// Wrong codes in a row that end checks by number.
    pub guess_stop: u16,
}

impl Limits {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            ip_per_minute: r.number("limits.ip_per_minute", 0..=1_000_000),
            ipv6_prefix: r.number("limits.ipv6_prefix", 48..=64),
            ip_entries_max: r.number("limits.ip_entries_max", 1_000..=10_000_000),
            sends_per_window: r.number("limits.sends_per_window", 1..=50),
            send_window: r.seconds("limits.send_window_s", 10..=86_400),
            sends_per_day: r.number("limits.sends_per_day", 1..=50),
            sends_per_day_per_ip: r.number("limits.sends_per_day_per_ip", 1..=50),
            guess_free: r.number("limits.guess_free", 0..=20),
            guess_delay: r.seconds("limits.guess_delay_s", 1..=3_600),
            guess_delay_max: r.seconds("limits.guess_delay_max_s", 1..=86_400),
            guess_stop: r.number("limits.guess_stop", 6..=100),
        }
    }
}

/// `[token]`.
#[derive(Debug, Clone)]
pub struct Token {
    /// Signature algorithm by its JOSE name; one that `token::Algorithm` knows.
    pub algorithm: &'static str,
    /// A shared secret that signs in place of the key file's, HS* only.
    pub secret: Option<SecretString>,
    /// `aud` of access tokens; `None`: the public URL.
    pub audience: Option<String>,
    /// Life of an access token.
    pub access_ttl: Duration,
    /// Life of a session from its sign-in.
    pub session_ttl: Duration,
    /// How long a used refresh token answers again.
    pub refresh_grace: Duration,
    /// Tolerated difference of clocks.
    pub leeway: Duration,
    /// Access tokens, and receipts, whose signature is not checked again.
    pub known_max: usize,
    /// How old the sign-in may be for a change of number.
    pub fresh_login: Duration,
}

impl Token {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            algorithm: r.word("token.algorithm", &["HS256", "HS384", "HS512", "RS256", "ES256", "EdDSA"]),
            secret: r.secret("token.secret"),
            audience: r.optional("token.audience"),
            access_ttl: r.seconds("token.access_ttl_s", 60..=86_400),
            session_ttl: r.seconds("token.session_ttl_s", 300..=31_536_000),
            refresh_grace: r.seconds("token.refresh_grace_s", 0..=60),
            leeway: r.seconds("token.leeway_s", 0..=60),
            known_max: r.number("token.known_max", 0..=10_000_000),
            fresh_login: r.seconds("token.fresh_login_s", 60..=3_600),
        }
    }
}

/// `[password]`: what a hash costs, and how many are made at once.
#[derive(Debug, Clone)]
pub struct Password {
    /// Memory of one hash, in KiB.
    pub memory_kib: u32,
    /// Passes over that memory.
    pub passes: u32,
    /// Hashes made at once.
    pub hashing_max: usize,
    /// Callers that may wait for a place.
    pub waiting_max: usize,
}

impl Password {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            memory_kib: r.number("password.memory_kib", 19_456..=1_048_576),
            passes: r.number("password.passes", 2..=20),
            hashing_max: r.number("password.hashing_max", 1..=64),
            waiting_max: r.number("password.waiting_max", 0..=10_000),
        }
    }
}

/// `[api]`: who may call.
#[derive(Debug, Clone)]
pub struct Api {
    /// Refuse callers without an API key.
    pub require_key: bool,
    /// Origins whose pages may call us (CORS), lower case.
    pub cors_origins: Vec<String>,
}

impl Api {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            require_key: r.flag("api.require_key"),
            cors_origins: r.list(
                "api.cors_origins",
                "an origin, as in https://app.example.com (no *, no path)",
                origin,
            ),
        }
    }
}

fn origin(text: &str) -> Option<String> {
    let authority = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    is_authority(authority).then(|| text.to_ascii_lowercase())
}

/// When a client must have done work before a message is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProofMode {
    /// Never.
    Off,
    /// Before every message, unless a back end asks with its key.
    Always,
}

/// `[proof_of_work]`.
#[derive(Debug, Clone)]
pub struct ProofOfWork {
    /// When it is asked for.
    pub mode: ProofMode,
    /// Leading zero bits of the hash.
    pub bits: u8,
    /// Life of a challenge.
    pub ttl: Duration,
    /// Spent challenges remembered at once.
    pub used_max: usize,
}

impl ProofOfWork {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self {
            mode: r.choice("proof_of_work.mode", ("off", ProofMode::Off), &[("always", ProofMode::Always)]),
            bits: r.number("proof_of_work.bits", 8..=30),
            ttl: r.seconds("proof_of_work.ttl_s", 10..=3_600),
            used_max: r.number("proof_of_work.used_max", 100..=10_000_000),
        }
    }
}

/// `[dev]`: switches that are refused in earnest.
#[derive(Debug, Clone)]
pub struct Dev {
    /// Show codes in answers.
    pub show_codes: bool,
    /// How much longer every batch of changes takes.
    pub store_delay: Duration,
}

impl Dev {
    pub(super) fn read(r: &mut Reader<'_>) -> Self {
        Self { show_codes: r.flag("dev.show_codes"), store_delay: r.millis("dev.store_delay_ms", 0..=60_000) }
    }
}
