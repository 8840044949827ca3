//! `otpd keys`: API keys of back ends. Works while the server runs, which looks at the file once a second.

use secrecy::ExposeSecret as _;

use super::{Failed, say};
use crate::{
    app::parts::Files,
    clock::{Clock as _, SystemClock},
    entropy::OsEntropy,
    settings::Settings,
    token::{ApiKey, ApiKeys, KeyFault, Scope},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Make a key. Its secret, and nothing else, is printed on standard output; it cannot be shown again.
    Create {
        /// What people call it, 1 to 64 characters; say who uses it.
        #[arg(long)]
        name: String,
        /// What it may do beyond what every key may; may be given several times. `admin`: the /v1/admin calls.
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<Scope>,
    },
    /// Show all keys, revoked ones too; no secrets.
    List,
    /// End a key for good; a running server refuses it within a second.
    Revoke {
        /// As `otpd keys list` shows it: key_…
        id: String,
    },
}

pub(super) fn run(settings: &Settings, action: Action) -> Result<(), Failed> {
    let file = Files::new(&settings.store.path).api;
    let keys = ApiKeys::open(&file)?;
    match action {
        Action::Create { name, mut scopes } => {
            scopes.dedup();
            let (key, secret) = keys.create(&name, &scopes, SystemClock.now(), &OsEntropy)?;
            let may = if key.scopes.is_empty() { String::new() } else { format!(" with scope {}", scopes_of(&key)) };
            say::note(&format!("API key {} for \"{}\"{may} is made. Its secret, shown this once:", key.id, key.name));
            say::result(&format!("{}\n", secret.expose_secret()))?;
            say::note("Send it as `Authorization: Bearer <secret>`. A running server takes it within a second.");
            say::warn_of_owner(&file);
            Ok(())
        }
        Action::List => list(&keys.list()?),
        Action::Revoke { id } => {
            let key = keys.revoke(&id, SystemClock.now()).map_err(|fault| unknown(fault, &id))?;
            let at = key.revoked_at.map(say::time).unwrap_or_default();
            say::note(&format!("{} (\"{}\") is revoked since {at}; a running server refuses it.", key.id, key.name));
            say::warn_of_owner(&file);
            Ok(())
        }
    }
}

fn list(keys: &[ApiKey]) -> Result<(), Failed> {
    if keys.is_empty() {
        say::note("No API keys yet. Make one with `otpd keys create --name NAME`.");
        return Ok(());
    }
    let row = |key: &ApiKey| {
        let state = key.revoked_at.map_or_else(|| "active".to_owned(), |at| format!("revoked {}", say::time(at)));
        [key.id.clone(), key.name.clone(), scopes_of(key), say::time(key.created_at), state]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    say::result(&say::table(["ID", "NAME", "SCOPES", "CREATED", "STATE"], &rows))
}

fn scopes_of(key: &ApiKey) -> String {
    let names: Vec<_> = key.scopes.iter().map(|scope| scope.name()).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(",") }
}

fn unknown(fault: KeyFault, id: &str) -> Failed {
    // A secret pasted in the place of an id must not be repeated.
    if matches!(fault, KeyFault::NotFound) && id.starts_with("key_") {
        return Failed::new(format!("there is no API key {id}; `otpd keys list` shows all"));
    }
    if matches!(fault, KeyFault::NotFound) {
        return Failed::new("no API key has this id; ids begin with key_, and `otpd keys list` shows all");
    }
    fault.into()
}
