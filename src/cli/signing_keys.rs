//! `otpd signing-keys`: the keys of `signing.keys`, which sign access tokens and receipts.

use super::{Failed, say};
use crate::{
    app::parts::{self, Files},
    clock::{Clock as _, SystemClock},
    entropy::OsEntropy,
    settings::Settings,
    token::{Algorithm, KeyFault, KeyInfo, KeyState, SigningKeyFile},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Show all keys; no secrets.
    List,
    /// Make a new signing key. The one before still verifies what it signed, until it is removed.
    Rotate {
        /// HS256, HS384, HS512, RS256, ES256 or EdDSA; without it the algorithm of `token.algorithm`.
        #[arg(long)]
        algorithm: Option<Algorithm>,
    },
    /// Take a key out for good: every token it signed is refused from the next start.
    Remove {
        /// As `otpd signing-keys list` shows it.
        kid: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn run(settings: &Settings, action: Action) -> Result<(), Failed> {
    let path = Files::new(&settings.store.path).signing;
    let file = SigningKeyFile::new(&path);
    let in_use = parts::algorithm(settings);
    match action {
        Action::List => list(&file.list()?, in_use),
        Action::Rotate { algorithm } => {
            let algorithm = algorithm.unwrap_or(in_use);
            let key = file.rotate(algorithm, SystemClock.now(), &OsEntropy)?;
            say::result(&format!("{}\n", key.kid))?;
            say::note(&format!("{algorithm} key {} signs from the next start of the server: restart it.", key.kid));
            if algorithm != in_use {
                say::note(&format!("warning: token.algorithm is {in_use}, so a {algorithm} key signs nothing of /v1."));
            }
            say::note(&format!(
                "Keys before it still verify. Remove them once their tokens are over: {}.",
                lives(settings)
            ));
            say::warn_of_owner(&path);
            Ok(())
        }
        Action::Remove { kid, yes } => {
            let key = file.list()?.into_iter().find(|key| key.kid == kid).ok_or_else(|| none(&kid))?;
            if key.state == KeyState::Active && key.algorithm == in_use {
                return Err(KeyFault::InUse.into());
            }
            say::note(&format!(
                "Removing {} key {kid} of {}: from the next start every token it signed is refused.",
                key.algorithm,
                say::time(key.created_at)
            ));
            say::note(&format!("They are over by themselves after {}.", lives(settings)));
            say::confirm("Remove it for good?", yes)?;
            file.remove(&kid, in_use)?;
            say::note("Removed. A running server still takes its tokens until it is restarted.");
            say::warn_of_owner(&path);
            Ok(())
        }
    }
}

/// How long what a key signed can live.
fn lives(settings: &Settings) -> String {
    let token = &settings.token;
    format!(
        "access tokens after {}, refresh tokens that are signed (some dialects' are) after {}",
        say::length(token.access_ttl.as_secs()),
        say::length(token.session_ttl.as_secs())
    )
}

fn list(keys: &[KeyInfo], in_use: Algorithm) -> Result<(), Failed> {
    if keys.is_empty() {
        say::note("No signing keys yet: the server makes them at its first start.");
        return Ok(());
    }
    let row = |key: &KeyInfo| {
        let state = match key.state {
            KeyState::Active if key.algorithm == in_use => "signs and verifies",
            KeyState::Active => "newest of its algorithm",
            KeyState::Verify => "verifies only",
        };
        [key.kid.clone(), key.algorithm.to_string(), state.to_owned(), say::time(key.created_at)]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    say::result(&say::table(["KID", "ALGORITHM", "STATE", "CREATED"], &rows))
}

fn none(kid: &str) -> Failed {
    Failed::new(format!("there is no signing key {kid}; `otpd signing-keys list` shows all"))
}
