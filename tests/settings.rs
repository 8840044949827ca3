//! Settings from outside: layers, types, ranges, rules, secrets, and config.toml as their reference.

#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "settings/gateways.rs"]
mod gateways;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use otpd::http::dialect;
use otpd::settings::{DEFAULTS, Durability, GatewayKind, LogFormat, Settings, Validation};
use tempfile::TempDir;

/// A settings file in a directory of its own, private unless said otherwise.
struct File {
    _dir: TempDir,
    path: PathBuf,
}

fn file(name: &str, text: &str, mode: u32) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    File { _dir: dir, path }
}

fn from_env(variables: &[(&str, &str)]) -> Result<Settings, String> {
    load(None, variables)
}

fn from_file(text: &str) -> Result<Settings, String> {
    load(Some(&file("otpd.toml", text, 0o600).path), &[])
}

fn load(file: Option<&Path>, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Settings::load(file, owned).map_err(|error| error.to_string())
}

/// The problems' lines of a load that must fail.
fn problems(result: Result<Settings, String>) -> Vec<String> {
    let text = result.err().unwrap_or_else(|| "(loaded)".to_owned());
    text.lines().skip(1).map(|line| line.trim().to_owned()).collect()
}

#[test]
fn defaults_are_the_documented_figures() {
    let s = Settings::defaults();
    assert_eq!(s.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(s.ops.listen.to_string(), "127.0.0.1:9464");
    assert_eq!(s.server.public_url(s.server.listen), "http://127.0.0.1:8080");
    assert_eq!(s.server.body_bytes_max, 16 * 1024);
    assert_eq!(s.store.durability, Durability::Fsync);
    assert_eq!(s.phone.validation, Validation::Syntax);
    assert_eq!((s.codes.digits, s.codes.attempts, s.codes.ttl), (6, 5, Duration::from_secs(300)));
    assert_eq!(s.codes.resend_after, [30, 60, 120, 120].map(Duration::from_secs));
    assert_eq!((s.limits.sends_per_window, s.limits.sends_per_day, s.limits.ip_per_minute), (3, 10, 60));
    assert_eq!((s.limits.guess_stop, s.limits.guess_free), (100, 5));
    assert_eq!(s.token.algorithm, "HS256");
    assert_eq!(s.sms.gateway, GatewayKind::Console);
    assert!(s.server.tls.is_none() && s.phone.default_region.is_none() && s.sms.twilio.auth_token.is_none());
    assert_eq!(s.warnings(), Vec::<String>::new(), "the defaults serve this machine only");
}

#[test]
fn later_layers_win_key_by_key() {
    let text =
        "[server]\nlisten = \"127.0.0.1:1\"\npublic_url = \"https://id.example.com\"\n[log]\nformat = \"json\"\n";
    let named = file("otpd.toml", text, 0o644);
    let s =
        load(Some(&named.path), &[("OTPD__SERVER__LISTEN", "[::1]:2"), ("PATH", "/bin"), ("OTPD_PORT", "x")]).unwrap();
    assert_eq!(s.server.listen.to_string(), "[::1]:2", "the environment goes before the file");
    assert_eq!(s.server.public_url.as_deref(), Some("https://id.example.com"), "the file before the defaults");
    assert_eq!(s.log.format, LogFormat::Json);
    assert_eq!(s.ops.listen.to_string(), "127.0.0.1:9464");
}

#[test]
fn variables_take_the_type_of_their_default() {
    let s = from_env(&[
        ("OTPD__LIMITS__IP_PER_MINUTE", "0"),
        ("OTPD__SMS__GATEWAY", "simulated"),
        ("OTPD__SMS__SIMULATED__FAILURE_RATE", "0.5"),
        ("OTPD__API__REQUIRE_KEY", "true"),
        ("OTPD__CODES__RESEND_AFTER_S", "10, 20"),
        ("OTPD__SERVER__TRUSTED_PROXIES", "10.0.0.0/8, ::1"),
        ("OTPD__SMS__TEMPLATES__PT_BR", "{code} e o seu codigo"),
    ])
    .unwrap();
    assert_eq!(s.limits.ip_per_minute, 0);
    assert!((s.sms.simulated.failure_rate - 0.5).abs() < f64::EPSILON);
    assert!(s.api.require_key);
    assert_eq!(s.codes.resend_after, [10, 20].map(Duration::from_secs));
    let proxies: Vec<String> = s.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["10.0.0.0/8", "::1/128"]);
    assert_eq!(s.sms.templates["pt-br"], "{code} e o seu codigo");
}

/// A whole number does where a fraction is asked for; nothing else is turned into another type.
#[test]
fn files_are_typed() {
    assert!(
        (from_file("sms.simulated.failure_rate = 1").unwrap().sms.simulated.failure_rate - 1.0).abs() < f64::EPSILON
    );
    let found =
        problems(from_file("codes.digits = \"6\"\napi.require_key = 1\nserver.trusted_proxies = [1]\nlog = 3\n"));
    expect_test::expect![[r#"
        [
            "otpd.toml: api.require_key: must be true or false",
            "otpd.toml: codes.digits: must be a whole number",
            "otpd.toml: log: no such setting; config.toml has them all",
            "otpd.toml: server.trusted_proxies: must be a list of texts",
        ]
    "#]]
    .assert_debug_eq(&found);
}

#[test]
fn everything_wrong_is_reported_at_once_and_by_name() {
    let text = "[server]\nlisten = \"localhost\"\nlisen = 1\n[sms.carrier]\n[store]\ndurability = \"maybe\"\n";
    let named = file("otpd.toml", text, 0o600);
    let variables = [
        ("OTPD__CODES__DIGITS", "eleven"),
        ("OTPD__CODES__TTL_S", "660"),
        ("OTPD__SMS__GATEWEY", "twilio"),
        ("OTPD__SERVER__LISTEN__FILE", "x"),
        ("OTPD__CODES__DIGITS_FILE", "/dev/null"),
    ];
    expect_test::expect![[r#"
        [
            "otpd.toml: server.lisen: no such setting; did you mean server.listen?",
            "otpd.toml: sms.carrier: no such setting; config.toml has them all",
            "OTPD__CODES__DIGITS: must be a whole number",
            "OTPD__CODES__DIGITS_FILE: no such setting; did you mean codes.digits?",
            "OTPD__SERVER__LISTEN__FILE: no such setting; did you mean server.listen?",
            "OTPD__SMS__GATEWEY: no such setting; did you mean sms.gateway?",
            "server.listen: must be an IP address and a port, as in 127.0.0.1:8080",
            "store.durability: must be one of \"fsync\", \"buffered\"",
            "OTPD__CODES__TTL_S: must be 60 to 600, not 660",
        ]
    "#]]
    .assert_debug_eq(&problems(load(Some(&named.path), &variables)));
}

#[test]
fn an_unreadable_or_broken_file_is_named_without_its_content() {
    let missing = problems(load(Some(Path::new("/nonexistent/otpd.toml")), &[]));
    assert_eq!(missing, ["otpd.toml: cannot be read (No such file or directory (os error 2))"]);
    let broken = problems(from_file("[sms.twilio]\nauth_token = \"s3cret\" oops\n"));
    assert!(broken[0].starts_with("otpd.toml: line 2: "), "{broken:?}");
    assert!(!broken[0].contains("s3cret"), "{broken:?}");
}

/// One row per value that must be refused: key, value in TOML, words of the answer. security 1, 8, 18.
#[test]
fn ranges() {
    let table = [
        ("codes.digits", "3", "4 to 10"),
        ("codes.digits", "5", "codes.weak = true"),
        ("codes.digits", "11", "4 to 10"),
        ("codes.ttl_s", "59", "60 to 600"),
        ("codes.ttl_s", "601", "60 to 600"),
        ("codes.attempts", "2", "3 to 10"),
        ("codes.attempts", "11", "3 to 10"),
        ("codes.resend_after_s", "[]", "1 to 7 entries"),
        ("codes.resend_after_s", "[0]", "each 1 to 3600"),
        ("limits.ip_per_minute", "-1", "0 to 1000000"),
        ("limits.guess_stop", "101", "6 to 100"),
        ("limits.guess_free", "21", "0 to 20"),
        ("limits.sends_per_day", "51", "1 to 50"),
        ("limits.guess_delay_max_s", "29", "limits.guess_delay_s"),
        ("limits.ipv6_prefix", "65", "48 to 64"),
        ("token.algorithm", "\"none\"", "one of \"HS256\""),
        ("token.access_ttl_s", "86401", "60 to 86400"),
        ("token.session_ttl_s", "600", "token.access_ttl_s"),
        ("token.leeway_s", "61", "0 to 60"),
        ("store.path", "\"\"", "a directory"),
        ("store.batch_bytes_max", "131072", "8192 to 126976"),
        ("store.wait_max_ms", "5001", "store.commit_timeout_ms"),
        ("dev.store_delay_ms", "60001", "0 to 60000"),
        ("phone.default_region", "\"ir\"", "two capital letters"),
        ("phone.actors_hard_max", "49999", "phone.actors_max"),
        ("phone.call_timeout_ms", "5000", "store.commit_timeout_ms"),
        ("phone.forwards_max", "3", "0 to 2"),
        ("server.public_url", "\"id.example.com\"", "http:// or https://"),
        ("server.public_url", "\"https://id.example.com/\"", "without final slash"),
        ("server.public_url", "\"https://user@id.example.com\"", "a host"),
        ("server.trusted_proxies", "[\"proxy\"]", "a network"),
        ("server.request_timeout_ms", "25000", "sms.send_deadline_ms"),
        ("server.exchange_timeout_ms", "30000", "server.request_timeout_ms"),
        ("server.connections_max", "1000", "must not be above"),
        ("server.tls.cert", "\"cert.pem\"", "must be set when server.tls.cert is"),
        ("ops.listen", "\"127.0.0.1:8080\"", "must differ from server.listen"),
        ("log.filter", "\"otpd=loud\"", "a level or target=level"),
        ("sms.send_deadline_ms", "22000", "two tries"),
        ("sms.simulated.failure_rate", "1.01", "0.0 to 1.0"),
        ("sms.webotp_hosts", "[\"https://example.com\"]", "a host name"),
        ("sms.webotp_host", "\"example.com\"", "must be in sms.webotp_hosts"),
        ("sms.app_hashes", "[\"short\"]", "11 characters"),
        ("sms.twilio.account_sid", "\"AC/../1\"", "letters, digits and hyphens only"),
        ("sms.twilio.base_url", "\"ftp://x\"", "http:// or https://"),
        ("sms.kavenegar.base_url", "\"api.kavenegar.com\"", "http:// or https://"),
        ("sms.kavenegar.timeout_ms", "99", "100 to 60000"),
        ("sms.mshastra.connect_timeout_ms", "60001", "100 to 60000"),
        ("sms.mshastra.response_bytes_max", "1023", "1024 to 1048576"),
        ("sms.webhook.success_statuses", "[200, 302]", "each 200 to 299, 1 to 16 entries"),
        ("sms.webhook.success_statuses", "[]", "each 200 to 299, 1 to 16 entries"),
        ("sms.webhook.error_classes", "[\"E12\"]", "a word, = and a class"),
    ];
    for (key, value, words) in table {
        let found = problems(from_file(&format!("{key} = {value}\n")));
        assert_eq!(found.len(), 1, "{key} = {value}: {found:?}");
        assert!(found[0].contains(words), "{key} = {value}: {found:?}");
    }
}

/// security 109: what could end a header or a log line is refused in every text.
#[test]
fn no_text_holds_control_characters() {
    let providers = [
        "sms.twilio.from",
        "sms.twilio.auth_token",
        "sms.kavenegar.api_key",
        "sms.mshastra.password",
        "sms.vonage.api_secret",
        "sms.webhook.secret",
        "sms.webhook.body",
    ];
    for key in providers.into_iter().chain(["sms.app_name", "token.audience", "store.path"]) {
        let found = problems(from_file(&format!("{key} = \"a\\r\\nb\"\n")));
        assert_eq!(found, [format!("{key}: must be text without line breaks and other control characters")]);
    }
}

/// security 88: exact origins only.
#[test]
fn cross_origins_are_exact() {
    let good = from_env(&[("OTPD__API__CORS_ORIGINS", "https://App.example.com,http://localhost:3000")]).unwrap();
    assert_eq!(good.api.cors_origins, ["https://app.example.com", "http://localhost:3000"]);
    for bad in
        ["*", "null", "https://*.example.com", "https://example.com/", "example.com", "https://a@b.c", "https://a:b"]
    {
        let found = problems(from_env(&[("OTPD__API__CORS_ORIGINS", bad)]));
        assert_eq!(found.len(), 1, "{bad}: {found:?}");
    }
}

/// security 1: short codes only on purpose, and then with a warning.
#[test]
fn weak_codes_need_a_word() {
    let s = from_file("codes.digits = 4\ncodes.weak = true\n").unwrap();
    assert_eq!(s.codes.digits, 4);
    assert!(s.warnings()[0].starts_with("codes.digits"));
}

/// security 7: showing codes and really sending exclude each other.
#[test]
fn codes_are_not_shown_beside_a_real_gateway() {
    let real = [
        ("OTPD__SMS__GATEWAY", "twilio"),
        ("OTPD__SMS__TWILIO__ACCOUNT_SID", "AC00000000000000000000000000000000"),
        ("OTPD__SMS__TWILIO__AUTH_TOKEN", "a-token"),
        ("OTPD__SMS__TWILIO__FROM", "+15005550006"),
    ];
    assert!(from_env(&real).is_ok());
    let mut shown = real.to_vec();
    shown.push(("OTPD__DEV__SHOW_CODES", "true"));
    assert_eq!(problems(from_env(&shown)), ["OTPD__DEV__SHOW_CODES: must be false beside a gateway that really sends"]);
    let console = from_env(&[("OTPD__DEV__SHOW_CODES", "true")]).unwrap();
    assert!(console.warnings()[0].starts_with("dev.show_codes"));
    shown.pop();
    shown.push(("OTPD__DEV__STORE_DELAY_MS", "100"));
    assert_eq!(problems(from_env(&shown)), ["OTPD__DEV__STORE_DELAY_MS: must be 0 beside a gateway that really sends"]);
    let slow = from_env(&[("OTPD__DEV__STORE_DELAY_MS", "100")]).unwrap();
    assert!(slow.warnings()[0].starts_with("dev.store_delay_ms"));
}

/// What is printed can be loaded again and says the same.
#[test]
fn the_printout_is_a_settings_file() {
    let text = "[server]\nlisten = \"127.0.0.1:7000\"\n[sms.templates]\npt-BR = \"{code} \\\"{app}\\\"\"\n";
    let named = file("otpd.toml", text, 0o600);
    let first = load(Some(&named.path), &[("OTPD__CODES__RESEND_AFTER_S", "5,6")]).unwrap();
    assert!(first.printable().contains("server.listen = \"127.0.0.1:7000\"  # file\n"));
    assert!(first.printable().contains("codes.resend_after_s = [5, 6]  # OTPD__CODES__RESEND_AFTER_S\n"));
    assert!(first.printable().contains("ops.listen = \"127.0.0.1:9464\"  # default\n"));
    let values = |s: &Settings| {
        let lines = s.printable().lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once("  # ").unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(values(&from_file(first.printable()).unwrap()), values(&first));
}

#[test]
fn public_url_follows_the_bound_address_and_tls() {
    let bound = "127.0.0.1:4242".parse().unwrap();
    assert_eq!(from_file("server.listen = \"127.0.0.1:0\"").unwrap().server.public_url(bound), "http://127.0.0.1:4242");
    let tls = from_file("[server.tls]\ncert = \"c.pem\"\nkey = \"k.pem\"\n").unwrap();
    assert_eq!(tls.server.public_url(bound), "https://127.0.0.1:4242");
    let named = from_file("server.public_url = \"https://id.example.com/otp\"").unwrap();
    assert_eq!(named.server.public_url(bound), "https://id.example.com/otp");
}

#[test]
fn exposure_is_warned_about() {
    let text = "server.listen = \"0.0.0.0:8080\"\nops.listen = \"0.0.0.0:9464\"\nstore.durability = \"buffered\"\n\
                limits.ip_per_minute = 0\n";
    let warned: Vec<String> = from_file(text).unwrap().warnings();
    let keys: Vec<&str> = warned.iter().map(|text| text.split(':').next().unwrap()).collect();
    assert_eq!(keys, ["sms.gateway", "store.durability", "ops.listen", "limits.ip_per_minute"]);
}

/// A gateway that really sends is one, whether it stands in `sms.gateway` or in a route alone.
#[test]
fn a_route_that_really_sends_is_warned_about_like_a_gateway() {
    let text = "[sms]\nroutes = [{ channel = \"sms\", gateways = [\"webhook\"] }]\n[sms.webhook]\n\
                base_url = \"http://127.0.0.1:9\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n[fraud]\n";
    let warned = |more: &str| {
        let warnings = from_file(&format!("{text}{more}")).unwrap().warnings();
        warnings.iter().any(|warning| warning.starts_with("fraud:"))
    };
    assert!(!warned(""), "auto is in force beside it");
    assert!(warned("velocity_mode = \"off\"\nruns = \"off\"\nconversion = \"off\""));
}

/// config.toml and the code name the same keys, and each key's comment says what it allows and its unit.
#[test]
fn config_toml_is_the_reference() {
    let comments = comments_by_key(DEFAULTS);
    let read: BTreeMap<String, String> = Settings::keys().into_iter().map(|info| (info.key, info.allowed)).collect();
    for (key, comment) in &comments {
        assert!(read.contains_key(key.as_str()), "{key} stands in config.toml, but no code reads it");
        assert!(comment.len() > 20 || key.starts_with("dialects."), "{key}: its comment does not say what it means");
    }
    for (key, allowed) in &read {
        let comment = comments.get(&explained(&comments, key)).map_or("", String::as_str);
        assert!(!comment.is_empty(), "{key} is read, but does not stand in config.toml with a comment above it");
        let missing = |part: &&str| !comment.to_lowercase().contains(&part.to_lowercase());
        let unsaid: Vec<&str> = allowed.split(", ").filter(missing).collect();
        assert!(unsaid.is_empty(), "{key}: its comment does not say {unsaid:?}");
    }
}

/// Keys that every dialect has are explained at the first one that shows them.
fn explained(comments: &BTreeMap<String, String>, key: &str) -> String {
    let Some((_, own)) = key.strip_prefix("dialects.").and_then(|rest| rest.split_once('.')) else {
        return key.to_owned();
    };
    let has = |(known, comment): &(&String, &String)| known.ends_with(&format!(".{own}")) && !comment.is_empty();
    let found = comments.iter().filter(|(known, _)| known.starts_with("dialects.")).find(has);
    found.map_or_else(|| key.to_owned(), |(known, _)| known.clone())
}

/// config.toml shows the figures that each dialect has by itself.
#[test]
fn dialects_are_shown_with_their_own_figures() {
    let settings = Settings::defaults();
    assert_eq!(settings.dialects.len(), dialect::ALL.len());
    for spec in dialect::ALL {
        let (shown, own) = (&settings.dialects[spec.name], &spec.figures);
        assert_eq!(shown.base_paths, Some(vec![spec.base_path.to_owned()]), "{}", spec.name);
        assert_eq!(shown.default_region.as_deref(), Some(&*own.default_region), "{}", spec.name);
        assert_eq!(
            [shown.code_digits, shown.attempts, shown.sends],
            [own.code_digits, own.attempts, own.sends].map(Some),
            "{}",
            spec.name
        );
        assert_eq!(
            [shown.code_ttl_s, shown.send_window_s, shown.block_s, shown.access_ttl_s, shown.refresh_ttl_s],
            [own.code_ttl_s, own.send_window_s, own.block_s, own.access_ttl_s, own.refresh_ttl_s].map(Some),
            "{}",
            spec.name
        );
        assert_eq!(shown.ip_per_minute, Some(own.ip_per_minute), "{}", spec.name);
    }
}

/// The comment lines right above each key, and above each table that operators fill themselves.
fn comments_by_key(text: &str) -> BTreeMap<String, String> {
    let (mut found, mut comment, mut section) = (BTreeMap::new(), String::new(), String::new());
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        if let Some(words) = line.strip_prefix('#') {
            comment.push_str(words);
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name.to_owned();
            if lines.get(at + 1).is_none_or(|next| next.is_empty()) {
                found.insert(section.clone(), comment.clone());
            }
        } else if let Some((name, _)) = line.split_once(" = ") {
            found.insert(format!("{section}.{name}"), comment.clone());
        }
        comment.clear();
    }
    found
}
