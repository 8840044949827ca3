//! `spend.ledger`: how much of each budget may have been spent on a day, whatever happens to the process.

use std::{collections::BTreeMap, io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::state_file;
use crate::guard::{Country, Micros, Scope};

/// The form of the file.
const FORMAT: u8 = 1;

/// The ledger cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LedgerFault {
    /// It cannot be read or written.
    #[error("spend.ledger: {0}")]
    Io(#[from] io::Error),
    /// It is none of ours. Deleting it forgets what was spent today.
    #[error("spend.ledger: not a ledger that this otpd reads")]
    Malformed,
}

/// What is leased, as it stands on the disk.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    day: u64,
    leased: BTreeMap<Scope, Micros>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u8,
    /// Days since 1970.
    day: u64,
    leased: Vec<Row>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    /// `null`: all together.
    country: Option<Country>,
    /// Millionths of the currency.
    micros: u64,
}

impl Ledger {
    /// Reads the ledger; one that is not there leases nothing.
    ///
    /// # Errors
    /// It cannot be read: what was spent today is unknown then, so nothing may be sent.
    pub fn open(path: PathBuf) -> Result<Self, LedgerFault> {
        let Some(bytes) = state_file::read(&path)? else { return Ok(Self { path, day: 0, leased: BTreeMap::new() }) };
        let content: Content = serde_json::from_slice(&bytes).map_err(|_| LedgerFault::Malformed)?;
        if content.version != FORMAT {
            return Err(LedgerFault::Malformed);
        }
        let scope = |country: Option<Country>| country.map_or(Scope::All, Scope::Country);
        let leased = content.leased.into_iter().map(|row| (scope(row.country), Micros(row.micros)));
        Ok(Self { path, day: content.day, leased: leased.collect() })
    }

    /// The day, and what is leased on it.
    pub fn leased(&self) -> (u64, BTreeMap<Scope, Micros>) {
        (self.day, self.leased.clone())
    }

    /// True if at least this is leased on that day.
    pub fn covers(&self, day: u64, wants: &[(Scope, Micros)]) -> bool {
        let leased = |scope: &Scope| self.leased.get(scope).copied().unwrap_or_default();
        self.day == day && wants.iter().all(|(scope, amount)| leased(scope) >= *amount)
    }

    /// Leases at least this, and makes it durable. Another day than the ledger's begins a new one.
    ///
    /// # Errors
    /// Nothing is leased then.
    pub fn raise(&mut self, day: u64, wants: &[(Scope, Micros)]) -> Result<(), LedgerFault> {
        let mut leased = if self.day == day { self.leased.clone() } else { BTreeMap::new() };
        for (scope, amount) in wants {
            let standing = leased.entry(*scope).or_default();
            *standing = (*standing).max(*amount);
        }
        self.write(day, leased)
    }

    /// Sets what was spent exactly: at an orderly stop, when nothing is under way.
    ///
    /// # Errors
    /// The ledger stays as it was, which is more.
    pub fn set(&mut self, day: u64, spent: BTreeMap<Scope, Micros>) -> Result<(), LedgerFault> {
        self.write(day, spent)
    }

    fn write(&mut self, day: u64, leased: BTreeMap<Scope, Micros>) -> Result<(), LedgerFault> {
        let row = |(scope, amount): (&Scope, &Micros)| Row { country: scope.country(), micros: amount.0 };
        let content = Content { version: FORMAT, day, leased: leased.iter().map(row).collect() };
        let mut bytes = serde_json::to_vec_pretty(&content).map_err(io::Error::other)?;
        bytes.push(b'\n');
        state_file::replace(&self.path, &bytes)?;
        (self.day, self.leased) = (day, leased);
        Ok(())
    }
}
