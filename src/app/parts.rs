//! From settings to the small structs of the parts. Each function is one part; none of them decides anything.

mod messages;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretSlice};
use tokio_util::sync::CancellationToken;

pub(super) use self::messages::proof_of_work;
pub use self::messages::texts;
use super::{StartError, World, dialects, gateways, webhooks};
use crate::{
    http::{
        body::BodyLimits,
        client_ip::ClientIpRules,
        cors::CorsOrigins,
        ip_limit::{IpLimitSettings, IpLimiter},
        listener::ListenerSettings,
        middleware::EdgeSettings,
        tls,
        v1::ReceiptDoor,
    },
    password::{Hasher, PasswordSettings},
    phone::{DirectorySettings, SweepSettings},
    record::{GuessPolicy, Keyring, Millis, PhoneNumber, Policy, SECOND},
    service::{
        Dialect, ReceiptSettings,
        number::{NumberRules, Validation},
    },
    settings::{self, GatewayKind, Settings},
    sms::{
        Gateway,
        breaker::BreakerSettings,
        routes::{Order, RouteRow, Routes},
        sender::{Sender, SenderSettings},
        statistics::StatisticsSettings,
    },
    store::{
        SnapshotStore,
        committer::{Committer, CommitterSettings},
        sled_store::{self, SledSettings, SledStore},
        slow::SlowStore,
    },
    token::{
        Algorithm, KeyFault, RECEIPT_LIFE_S, SealingKeyFile, SigningKeys, SigningOptions, TokenSettings, check_secret,
    },
};

/// The files of the data directory.
#[derive(Debug)]
pub struct Files {
    /// The database.
    pub db: PathBuf,
    /// Keys of tokens.
    pub signing: PathBuf,
    /// Keys of codes and ids.
    pub sealing: PathBuf,
    /// Digests of the back ends' keys.
    pub api: PathBuf,
}

impl Files {
    /// Those of `store.path`.
    pub fn new(path: &Path) -> Self {
        Self {
            db: path.join("db"),
            signing: path.join("signing.keys"),
            sealing: path.join("sealing.keys"),
            api: path.join("api.keys"),
        }
    }
}

pub(super) fn millis(length: Duration) -> Millis {
    Millis::try_from(length.as_millis()).unwrap_or(Millis::MAX)
}

pub(super) fn keyring(files: &Files, world: &World) -> Result<Arc<Keyring>, StartError> {
    let secrets = SealingKeyFile::new(&files.sealing).open(world.clock.now(), &*world.entropy)?;
    let mut named = secrets.iter().map(|secret| (secret.id, &*secret.secret));
    let current = named.next().ok_or_else(|| StartError::Named("sealing.keys", "has no key".to_owned()))?;
    Ok(Arc::new(Keyring::new(current, &named.collect::<Vec<_>>())))
}

/// A shared secret that is none, told before anything is started.
fn signing_secret(settings: &Settings) -> Result<(), StartError> {
    let Some(secret) = &settings.token.secret else { return Ok(()) };
    let refused = |text: String| StartError::Named("token.secret (or JWT_SECRET_KEY)", text);
    let algorithm = algorithm(settings);
    if !algorithm.is_hmac() {
        return Err(refused(KeyFault::SecretNeedsHmac(algorithm).to_string()));
    }
    // A printed one must work in development, where the `.env` of a source document is tried.
    let is_development = !settings.sms.is_real();
    check_secret(secret.expose_secret().as_bytes(), is_development).map_err(|weak| refused(weak.to_string()))
}

pub(super) fn signing_keys(settings: &Settings, files: &Files, world: &World) -> Result<SigningKeys, StartError> {
    signing_secret(settings)?;
    let secret = settings.token.secret.as_ref();
    let options = SigningOptions {
        algorithm: algorithm(settings),
        extra_secret: secret.map(|secret| SecretSlice::from(secret.expose_secret().as_bytes().to_vec())),
        tolerate_known_secret: !settings.sms.is_real(),
    };
    Ok(SigningKeys::open(&files.signing, &options, world.clock.now(), &*world.entropy)?)
}

/// The configured algorithm; settings has checked its name.
pub fn algorithm(settings: &Settings) -> Algorithm {
    settings.token.algorithm.parse().unwrap_or_default()
}

/// Opens the embedded store, on a thread that may wait: recovery takes 0.3 s with ten million records.
pub async fn open_store(settings: &Settings, files: &Files) -> Result<Arc<dyn SnapshotStore>, StartError> {
    let embedded = SledSettings {
        path: files.db.clone(),
        durability: match settings.store.durability {
            settings::Durability::Fsync => sled_store::Durability::Fsync,
            settings::Durability::Buffered => sled_store::Durability::Buffered,
        },
        cache_mib: settings.store.cache_mib,
        free_mib_min: settings.store.free_mib_min,
        filter_mib: settings.store.filter_mib,
        log_mib: settings.store.log_mib,
        fold_every: settings.store.fold_every,
        runs_max: settings.store.runs_max,
    };
    let open = tokio::task::spawn_blocking(move || SledStore::open(&embedded)).await;
    let store = open.map_err(|_| StartError::Named("store.path", "opening the store panicked".to_owned()))??;
    Ok(Arc::new(store))
}

/// The same store, with a disk as slow as the operator wants to see it.
pub(super) fn slowed(settings: &Settings, store: Arc<dyn SnapshotStore>) -> Arc<dyn SnapshotStore> {
    let delay = settings.dev.store_delay;
    if delay.is_zero() { store } else { Arc::new(SlowStore::over(store, delay)) }
}

pub(super) fn committer(
    settings: &Settings,
    store: Arc<dyn SnapshotStore>,
    failed: CancellationToken,
) -> Result<Committer, StartError> {
    let limits = CommitterSettings {
        queue_max: settings.store.queue_max,
        batch_max: settings.store.batch_max,
        batch_bytes_max: settings.store.batch_bytes_max,
        record_bytes_max: settings.store.record_bytes_max,
        gap: settings.store.commit_gap,
        wait_max: settings.store.wait_max,
    };
    let on_fatal = Box::new(move |fault: &crate::store::StoreFault| {
        tracing::error!(%fault, "the store failed; nothing more can be promised");
        failed.cancel();
    });
    Committer::start(store, limits, on_fatal).map_err(|error| StartError::Thread(error.kind()))
}

pub(super) fn directory_settings(settings: &Settings) -> DirectorySettings {
    let phone = &settings.phone;
    DirectorySettings {
        actors_max: phone.actors_max,
        actors_hard_max: phone.actors_hard_max,
        idle_ms: millis(phone.idle),
        inflight_max: phone.inflight_max,
        shards: phone.shards,
        call_timeout_ms: millis(phone.call_timeout),
        commit_timeout_ms: millis(settings.store.commit_timeout),
        forwards_max: phone.forwards_max,
        background_forwards_max: phone.background_forwards_max,
        quarantine_failures: phone.quarantine_failures,
        quarantine_ms: millis(phone.quarantine),
    }
}

pub(super) fn sweep_settings(settings: &Settings) -> SweepSettings {
    SweepSettings {
        tick_ms: millis(settings.store.sweep_tick),
        records_per_tick: settings.store.sweep_records_per_tick,
    }
}

/// The canonical API's name and figures.
pub(super) fn v1_dialect(settings: &Settings) -> Dialect {
    Dialect::new("v1", v1_policy(settings))
}

pub(super) fn v1_policy(settings: &Settings) -> Policy {
    let (codes, limits, token) = (&settings.codes, &settings.limits, &settings.token);
    Policy {
        code_digits: codes.digits,
        code_life_ms: millis(codes.ttl),
        attempts_max: codes.attempts,
        sends_max: limits.sends_per_window,
        send_window_ms: millis(limits.send_window),
        cooldown_ms: millis(codes.cooldown),
        resend_after_ms: codes.resend_after.iter().copied().map(millis).collect(),
        supersedes: false,
        send_deadline_ms: millis(settings.sms.send_deadline),
        receipt_life_ms: RECEIPT_LIFE_S * SECOND,
        session_life_ms: millis(token.session_ttl),
        refresh_grace_ms: millis(token.refresh_grace),
        fresh_login_ms: millis(token.fresh_login),
        sends_per_day: limits.sends_per_day,
        sends_per_day_per_address: limits.sends_per_day_per_ip,
        guesses: GuessPolicy {
            free: limits.guess_free,
            delay_ms: millis(limits.guess_delay),
            delay_max_ms: millis(limits.guess_delay_max),
            stop_at: limits.guess_stop,
        },
        block: None,
    }
}

/// The pool that hashes passwords.
pub(super) fn passwords(settings: &Settings, world: &World) -> Result<Hasher, StartError> {
    let password = &settings.password;
    let figures = PasswordSettings {
        memory_kib: password.memory_kib,
        passes: password.passes,
        places: password.hashing_max,
        waiting_max: password.waiting_max,
    };
    Hasher::new(&figures, Arc::clone(&world.entropy))
        .map_err(|error| StartError::Named("password.memory_kib", error.to_string()))
}

pub(super) fn token_settings(settings: &Settings, public_url: &str) -> TokenSettings {
    let token = &settings.token;
    TokenSettings {
        issuer: public_url.to_owned(),
        audience: token.audience.clone().unwrap_or_else(|| public_url.to_owned()),
        access_life_s: token.access_ttl.as_secs(),
        leeway_s: token.leeway.as_secs(),
        known_max: token.known_max,
    }
}

/// What is wrong with settings that only the parts can judge, found without starting any of them.
pub fn faults(settings: &Settings) -> Vec<StartError> {
    let world = World::default();
    let checks = [
        texts(settings).map(drop),
        sender(settings, &world).map(drop),
        number_rules(settings).map(drop),
        edge(settings).map(drop),
        listener(settings).map(drop),
        dialects::plans(settings).map(drop),
        signing_secret(settings),
        webhooks::fault(settings),
    ];
    checks.into_iter().filter_map(Result::err).map(|error| error.placed(settings)).collect()
}

/// The sending policy over the configured gateways.
pub fn sender(settings: &Settings, world: &World) -> Result<Sender, StartError> {
    let sms = &settings.sms;
    let limits = SenderSettings {
        inflight_max: sms.inflight_max,
        attempt_timeout_ms: millis(sms.attempt_timeout),
        retry_backoff_ms: millis(sms.retry_backoff),
        retry_after_max_ms: millis(sms.retry_after_max),
        order: if sms.adaptive { Order::Adaptive } else { Order::Configured },
        breaker: BreakerSettings {
            failures: sms.breaker_failures,
            open_ms: millis(sms.breaker_open),
            open_max_ms: millis(sms.breaker_open_max),
        },
        statistics: StatisticsSettings {
            half_life_ms: millis(sms.statistics_half_life),
            silence_ms: millis(sms.silence),
            silence_min_ms: millis(sms.silence_min),
            silence_max_ms: millis(sms.silence_max),
        },
    };
    Ok(Sender::new(routes(settings, world)?, limits, Arc::clone(&world.entropy))?)
}

/// The route table over one gateway of each kind that is used.
fn routes(settings: &Settings, world: &World) -> Result<Routes, StartError> {
    let sms = &settings.sms;
    if let Some(gateway) = world.gateway.clone() {
        return Ok(Routes::only(gateway));
    }
    let mut made: HashMap<GatewayKind, Arc<dyn Gateway>> = HashMap::new();
    for kind in sms.gateways() {
        made.insert(kind, gateways::gateway(settings, world, kind)?);
    }
    let named = |kind: &GatewayKind| made.get(kind).cloned();
    let row = |route: &settings::Route| RouteRow {
        country: route.country.as_deref().and_then(|code| code.parse().ok()),
        prefix: route.prefix.clone(),
        channel: route.channel,
        gateways: route.gateways.iter().filter_map(named).collect(),
    };
    let default = named(&sms.gateway).ok_or_else(|| StartError::Named("sms.gateway", "is not made".to_owned()))?;
    Ok(Routes::new(default, sms.routes.iter().map(row).collect(), &sms.auto_channels)?)
}

/// The numbers that nothing is sent to; settings has checked their form.
pub(super) fn test_numbers(settings: &Settings) -> HashMap<PhoneNumber, String> {
    let listed = settings.test_numbers.iter();
    listed.filter_map(|(number, code)| Some((PhoneNumber::from_e164(number).ok()?, code.clone()))).collect()
}

pub(super) fn ip_limiter(settings: &Settings) -> IpLimiter {
    let limits = &settings.limits;
    IpLimiter::new(&IpLimitSettings { scope: "v1", per_minute: limits.ip_per_minute, keys_max: limits.ip_entries_max })
}

pub(super) fn number_rules(settings: &Settings) -> Result<NumberRules, StartError> {
    let phone = &settings.phone;
    let region = phone.default_region.as_deref().map(str::parse).transpose();
    let unknown = |_| StartError::Named("phone.default_region", "has no numbering plan".to_owned());
    Ok(NumberRules {
        default_region: region.map_err(unknown)?,
        validation: match phone.validation {
            settings::Validation::Syntax => Validation::Syntax,
            settings::Validation::Valid => Validation::Valid,
        },
        bare_is_international: false,
    })
}

pub(super) fn body_limits(settings: &Settings) -> BodyLimits {
    BodyLimits { bytes_max: settings.server.body_bytes_max, read_timeout: settings.server.body_timeout }
}

/// How receipts are worked on.
pub(super) fn receipts(settings: &Settings) -> ReceiptSettings {
    let receipts = &settings.sms.receipts;
    let ids_life_ms = millis(receipts.ids_life);
    ReceiptSettings { inflight_max: receipts.inflight_max, ids_max: receipts.ids_max, ids_life_ms }
}

/// How they are let in.
pub(super) fn receipt_door(settings: &Settings) -> ReceiptDoor {
    let (receipts, keys_max) = (&settings.sms.receipts, settings.limits.ip_entries_max);
    let limits = IpLimitSettings { scope: "receipts", per_minute: receipts.ip_per_minute, keys_max };
    ReceiptDoor {
        ip_limiter: IpLimiter::new(&limits),
        body_limits: BodyLimits { bytes_max: receipts.body_bytes_max, read_timeout: settings.server.body_timeout },
    }
}

fn client_ip(settings: &Settings) -> ClientIpRules {
    ClientIpRules { trusted_proxies: settings.server.trusted_proxies.clone(), ipv6_prefix: settings.limits.ipv6_prefix }
}

pub(super) fn edge(settings: &Settings) -> Result<EdgeSettings, StartError> {
    let server = &settings.server;
    let is_https = server.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
    let cors = CorsOrigins::new(&settings.api.cors_origins);
    Ok(EdgeSettings {
        request_timeout: server.request_timeout,
        hsts: server.tls.is_some() || is_https,
        client_ip: client_ip(settings),
        cors: cors.map_err(|error| StartError::Named("api.cors_origins", error.to_string()))?,
    })
}

pub(super) fn listener(settings: &Settings) -> Result<ListenerSettings, StartError> {
    let server = &settings.server;
    let read = |key: &'static str, path: &Path| {
        std::fs::read(path).map_err(|error| StartError::Named(key, format!("cannot be read: {}", error.kind())))
    };
    let tls = server.tls.as_ref().map(|files| {
        let (chain, key) = (read("server.tls.cert", &files.cert)?, read("server.tls.key", &files.key)?);
        tls::server_config(&chain, &key).map_err(|error| StartError::Named("server.tls", error.to_string()))
    });
    Ok(ListenerSettings {
        name: "main",
        connections_max: server.connections_max,
        connections_per_ip_max: server.connections_per_ip_max,
        header_read_timeout: server.header_read_timeout,
        keep_alive_idle: server.keep_alive_max,
        exchange_timeout: server.exchange_timeout,
        // The rest is for sends under way, the actors and the last flush.
        drain_timeout: server.shutdown_deadline * 3 / 4,
        header_bytes_max: server.header_bytes_max,
        h2_streams_max: server.http2.streams_max,
        headers_max: server.headers_max,
        h2_resets_max: server.http2.resets_max,
        h2_ping_interval: server.http2.ping_interval,
        tls: tls.transpose()?,
        client_ip: client_ip(settings),
    })
}
