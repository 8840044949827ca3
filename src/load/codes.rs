//! Where a worker gets a code that nobody showed it: from the inbox, or made again from the keys of the generator's own
//! server, as that server made it.

use std::{path::Path, sync::Arc};

use super::{LoadError, inbox::Inbox};
use crate::{
    clock::{Clock as _, SystemClock},
    entropy::OsEntropy,
    record::{Command, Door, IdKind, Keyring, LOGIN, Label, Policy, Record, Rules, SealedId, Sender, Start, decide},
    token::SealingKeyFile,
};

/// Where codes come from. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Codes {
    /// The provider that the server sends by.
    Inbox(Inbox),
    /// The keys of the server's data directory.
    Derived(Arc<Derived>),
    /// Nowhere: scenarios that need codes cannot be run.
    None,
}

impl Codes {
    /// The code of a verification; `None`: it is not known.
    pub fn code(&self, number: u64, id: &str) -> Option<Box<str>> {
        match self {
            Self::Inbox(inbox) => inbox.code(number),
            Self::Derived(derived) => derived.code(id),
            Self::None => None,
        }
    }

    /// The inbox, if messages go there.
    pub(super) fn inbox(&self) -> Option<&Inbox> {
        match self {
            Self::Inbox(inbox) => Some(inbox),
            Self::Derived(_) | Self::None => None,
        }
    }
}

/// Makes codes anew: they are derived, so whoever has the keys has them.
#[derive(Debug)]
pub struct Derived {
    keys: Keyring,
    policy: Policy,
}

impl Derived {
    /// Reads the keys of a data directory, and makes codes of so many digits.
    ///
    /// # Errors
    /// The keys cannot be read.
    pub fn open(data: &Path, digits: u8) -> Result<Self, LoadError> {
        let secrets = SealingKeyFile::new(&data.join("sealing.keys")).open(SystemClock.now(), &OsEntropy);
        let secrets = secrets.map_err(|fault| LoadError::new(fault.to_string()))?;
        let mut named = secrets.iter().map(|secret| (secret.id, &*secret.secret));
        let current = named.next().ok_or_else(|| LoadError::new("sealing.keys has no key"))?;
        let keys = Keyring::new(current, &named.collect::<Vec<_>>());
        Ok(Self { keys, policy: Policy { code_digits: digits, ..Policy::default() } })
    }

    /// The same decision with the same random bits makes the same code.
    fn code(&self, id: &str) -> Option<Box<str>> {
        let sealed = SealedId::from_hex(id.strip_prefix("ver_")?)?;
        let opened = self.keys.open(IdKind::Verification, sealed)?;
        let start = Start::plain(
            opened.nonce,
            Door { dialect: Label::of("v1"), purpose: LOGIN },
            Sender { address: 0, keyed: true, unpaid: false },
        );
        let rules = Rules { policy: &self.policy, keys: &self.keys };
        let request = Command::Start(Box::new(start)).into();
        let decision = decide(rules, &Record::new(opened.phone), &request, SystemClock.now());
        Some(decision.draft?.code.reveal().into())
    }
}
