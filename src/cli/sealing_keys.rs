//! `otpd sealing-keys`: the keys of `sealing.keys`, which codes, ids and refresh tokens are derived from.

use super::{Failed, say};
use crate::{
    app::parts::Files,
    clock::{Clock as _, SystemClock},
    entropy::OsEntropy,
    settings::Settings,
    token::{KeyFault, SealingInfo, SealingKeyFile},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Action {
    /// Show all keys; no secrets.
    List,
    /// Make a new key for codes and sessions to come. The ones before still open what they sealed.
    Rotate,
    /// Take a key out for good: every session and open code under it ends at the next start.
    Remove {
        /// As `otpd sealing-keys list` shows it.
        id: u16,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
}

pub(super) fn run(settings: &Settings, action: &Action) -> Result<(), Failed> {
    let path = Files::new(&settings.store.path).sealing;
    let file = SealingKeyFile::new(&path);
    let life = say::length(settings.token.session_ttl.as_secs());
    match action {
        Action::List => list(&file.list()?),
        Action::Rotate => {
            let key = file.rotate(SystemClock.now(), &OsEntropy)?;
            say::result(&format!("{}\n", key.id))?;
            say::note(&format!("Key {} seals from the next start of the server: restart it.", key.id));
            say::note(&format!(
                "Keys before it still open what they sealed. Their last session ends {life} after that start."
            ));
            say::note("Back up sealing.keys with the data: without it no session and no open code survives.");
            say::warn_of_owner(&path);
            Ok(())
        }
        &Action::Remove { id, yes } => {
            let key = file.list()?.into_iter().find(|key| key.id == id).ok_or_else(|| none(id))?;
            if key.current {
                return Err(KeyFault::InUse.into());
            }
            say::note(&format!(
                "Removing key {id} of {}: from the next start every session and open code under it is over, \
                 and those people sign in again.",
                say::time(key.created_at)
            ));
            say::note(&format!("They are over by themselves {life} after the start that followed its rotation."));
            say::confirm("Remove it for good?", yes)?;
            file.remove(id)?;
            say::note("Removed. A running server still uses it until it is restarted.");
            say::warn_of_owner(&path);
            Ok(())
        }
    }
}

fn list(keys: &[SealingInfo]) -> Result<(), Failed> {
    if keys.is_empty() {
        say::note("No sealing keys yet: the server makes the first at its first start.");
        return Ok(());
    }
    let row = |key: &SealingInfo| {
        let state = if key.current { "seals and opens" } else { "opens only" };
        [key.id.to_string(), state.to_owned(), say::time(key.created_at)]
    };
    let rows: Vec<_> = keys.iter().map(row).collect();
    say::result(&say::table(["ID", "STATE", "CREATED"], &rows))
}

fn none(id: u16) -> Failed {
    Failed::new(format!("there is no sealing key {id}; `otpd sealing-keys list` shows all"))
}
