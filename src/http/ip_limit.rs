//! Requests per minute and address: the first and cheapest limit, before any actor is woken.
//!
//! Owns one keyed limiter (governor) per door, with a bound on its keys. Never sees raw text: the key is
//! [`IpBucket`].

use std::{
    fmt,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, DefaultClock},
    middleware::NoOpMiddleware,
    state::keyed::DashMapStateStore,
};
use metrics::Counter;

use super::{
    client_ip::IpBucket,
    problem::{Problem, ProblemCode},
};

/// How many addresses one limiter remembers at most. An address that asked once is forgotten after two
/// minutes, so this is met only by thousands of new addresses a second; a million take about 80 MiB.
pub const IP_KEYS_MAX_DEFAULT: usize = 1_000_000;
/// Shared keys for addresses the limiter has no room for.
const OVERFLOW_KEYS: u64 = 1_024;

/// How often one address may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpLimitSettings {
    /// The door's name in metrics: one of a closed set.
    pub scope: &'static str,
    /// Requests per minute and address, as a burst and as a rate; 0 is off.
    pub per_minute: u32,
    /// Addresses remembered at most; beyond, new addresses share a few buckets.
    pub keys_max: usize,
}

impl Default for IpLimitSettings {
    fn default() -> Self {
        Self { scope: "v1", per_minute: 60, keys_max: IP_KEYS_MAX_DEFAULT }
    }
}

/// The address has asked too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many requests from one address")]
pub struct IpLimited {
    /// Whole seconds until the next request is allowed, at least 1.
    pub retry_after_s: u64,
}

impl From<IpLimited> for Problem {
    fn from(limited: IpLimited) -> Self {
        Self::new(ProblemCode::RateLimited).retry_after(limited.retry_after_s)
    }
}

/// A limiter of one door. Cheap to clone; clones share the counts.
pub struct IpLimiter<C: Clock = DefaultClock>(Option<Arc<Inner<C>>>);

struct Inner<C: Clock> {
    limiter: Limiter<C>,
    clock: C,
    keys_max: usize,
    /// Checks since the last pruning: an upper bound on the keys added since.
    checks: AtomicUsize,
    /// The last pruning left too many keys.
    full: AtomicBool,
    limited: Counter,
}

type Limiter<C> = RateLimiter<Key, DashMapStateStore<Key>, C, NoOpMiddleware<<C as Clock>::Instant>>;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Address(IpBucket),
    Overflow(u64),
}

impl IpLimiter {
    /// A limiter on the machine's monotonic clock.
    pub fn new(settings: &IpLimitSettings) -> Self {
        Self::with_clock(settings, DefaultClock::default())
    }
}

impl<C: Clock + Clone + Send + Sync + 'static> IpLimiter<C>
where
    C::Instant: Send + Sync,
{
    /// A limiter on another clock.
    pub fn with_clock(settings: &IpLimitSettings, clock: C) -> Self {
        Self(NonZeroU32::new(settings.per_minute).map(|per_minute| {
            Arc::new(Inner {
                limiter: RateLimiter::dashmap_with_clock(Quota::per_minute(per_minute), clock.clone()),
                clock,
                keys_max: settings.keys_max.max(8),
                checks: AtomicUsize::new(0),
                full: AtomicBool::new(false),
                limited: metrics::counter!("otpd_ip_limited_total", "scope" => settings.scope),
            })
        }))
    }

    /// Counts one request of the address, or says when to come back. Costs no lock across addresses.
    pub fn check(&self, bucket: IpBucket) -> Result<(), IpLimited> {
        let Some(inner) = &self.0 else { return Ok(()) };
        inner.prune_when_due();
        inner.limiter.check_key(&inner.key(bucket)).map_err(|not_until| {
            inner.limited.increment(1);
            let wait = not_until.wait_time_from(inner.clock.now());
            let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            IpLimited { retry_after_s: whole.max(1) }
        })
    }

    /// Forgets addresses that have been quiet for a minute or two; [`IpLimiter::check`] does it when it must, and a tick of the
    /// application may do it when it is quiet. Takes milliseconds for many addresses: not on a runtime thread.
    pub fn prune(&self) {
        if let Some(inner) = &self.0 {
            inner.prune();
        }
    }

    /// Addresses remembered now.
    #[cfg(test)]
    fn key_count(&self) -> usize {
        self.0.as_ref().map_or(0, |inner| inner.limiter.len())
    }
}

impl<C: Clock + Send + Sync + 'static> Inner<C>
where
    C::Instant: Send + Sync,
{
    /// Without room, addresses share: a flood then limits newcomers together instead of eating memory.
    fn key(&self, bucket: IpBucket) -> Key {
        if !self.full.load(Ordering::Relaxed) {
            return Key::Address(bucket);
        }
        use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(bucket);
        Key::Overflow(hash % OVERFLOW_KEYS)
    }

    /// A quarter of the bound may be added between two prunings, so the keys stay within it.
    fn prune_when_due(self: &Arc<Self>) {
        let step = self.keys_max / 4;
        if self.checks.fetch_add(1, Ordering::Relaxed) + 1 != step {
            return;
        }
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if step > 1_024 => {
                let inner = Arc::clone(self);
                drop(runtime.spawn_blocking(move || inner.prune()));
            }
            Ok(_) | Err(_) => self.prune(),
        }
    }

    fn prune(&self) {
        self.limiter.retain_recent();
        self.full.store(self.limiter.len() > self.keys_max / 4 * 3, Ordering::Relaxed);
        self.checks.store(0, Ordering::Relaxed);
    }
}

impl<C: Clock> Clone for IpLimiter<C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<C: Clock> fmt::Debug for IpLimiter<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IpLimiter").field("on", &self.0.is_some()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use governor::clock::FakeRelativeClock;

    use super::*;
    use crate::http::client_ip::ClientIpRules;

    fn bucket(n: u32) -> IpBucket {
        ClientIpRules::default().bucket(Ipv4Addr::from(n).into())
    }

    fn limiter(per_minute: u32, keys_max: usize) -> (IpLimiter<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let settings = IpLimitSettings { scope: "test", per_minute, keys_max };
        (IpLimiter::with_clock(&settings, clock.clone()), clock)
    }

    #[test]
    fn limits_per_address_and_says_when_to_come_back() {
        let (limiter, clock) = limiter(5, 1_000);
        for _ in 0..5 {
            assert_eq!(limiter.check(bucket(1)), Ok(()));
        }
        assert_eq!(limiter.check(bucket(1)), Err(IpLimited { retry_after_s: 12 }));
        assert_eq!(limiter.check(bucket(2)), Ok(()));
        clock.advance(Duration::from_millis(11_500));
        assert_eq!(limiter.check(bucket(1)), Err(IpLimited { retry_after_s: 1 }));
        clock.advance(Duration::from_millis(500));
        assert_eq!(limiter.check(bucket(1)), Ok(()));
    }

    #[test]
    fn zero_is_off() {
        let (limiter, _clock) = limiter(0, 1_000);
        assert!((0..10_000).all(|_| limiter.check(bucket(1)).is_ok()));
        assert_eq!(limiter.key_count(), 0);
    }

    /// security 101: distinct addresses never take more entries than the bound, and a limited address
    /// does not get away by drowning the limiter.
    #[test]
    fn a_flood_of_addresses_stays_within_the_bound() {
        let (limiter, clock) = limiter(2, 4_000);
        for n in 0..100_000 {
            let _ = limiter.check(bucket(n));
            if n % 500 == 0 {
                assert!(limiter.key_count() <= 4_000 + 1_024, "{} keys", limiter.key_count());
            }
        }
        assert!(limiter.key_count() > 3_000);
        let refused = (0..4_096).filter(|n| limiter.check(bucket(1_000_000 + n)).is_err()).count();
        assert!(refused > 1_000, "newcomers of a flood share buckets: {refused}");
        clock.advance(Duration::from_secs(121));
        limiter.prune();
        assert_eq!(limiter.key_count(), 0);
        assert_eq!(limiter.check(bucket(7)), Ok(()));
    }
}
