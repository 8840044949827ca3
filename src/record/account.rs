//! The account a number may have, its profile and its password.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::time::UnixMillis;

/// Most bytes of all profile fields together, so that a record stays small.
pub const PROFILE_BYTES_MAX: usize = 2_560;

/// What a person tells about herself. Absent means never given; the edge checks each field's form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// Full name, at most 100 characters.
    pub name: Option<String>,
    /// Given name, at most 100 characters.
    pub first_name: Option<String>,
    /// Family name, at most 100 characters.
    pub last_name: Option<String>,
    /// E-mail address, at most 254 characters; not verified.
    pub email: Option<String>,
    /// A few words, at most 500 characters.
    pub bio: Option<String>,
    /// Place, at most 100 characters.
    pub location: Option<String>,
    /// ISO 8601 date.
    pub birth_date: Option<String>,
    /// Address of a picture, at most 500 characters.
    pub avatar: Option<String>,
    /// BCP 47 tag, at most 35 characters.
    pub locale: Option<String>,
}

/// A change of a profile: `None` leaves a field, `Some(None)` clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfilePatch {
    /// Full name.
    pub name: Option<Option<String>>,
    /// Given name.
    pub first_name: Option<Option<String>>,
    /// Family name.
    pub last_name: Option<Option<String>>,
    /// E-mail address.
    pub email: Option<Option<String>>,
    /// A few words.
    pub bio: Option<Option<String>>,
    /// Place.
    pub location: Option<Option<String>>,
    /// ISO 8601 date.
    pub birth_date: Option<Option<String>>,
    /// Address of a picture.
    pub avatar: Option<Option<String>>,
    /// BCP 47 tag.
    pub locale: Option<Option<String>>,
}

impl Profile {
    /// The profile after a change.
    pub(super) fn patched(&self, patch: &ProfilePatch) -> Self {
        let pick = |change: &Option<Option<String>>, old: &Option<String>| change.as_ref().unwrap_or(old).clone();
        Self {
            name: pick(&patch.name, &self.name),
            first_name: pick(&patch.first_name, &self.first_name),
            last_name: pick(&patch.last_name, &self.last_name),
            email: pick(&patch.email, &self.email),
            bio: pick(&patch.bio, &self.bio),
            location: pick(&patch.location, &self.location),
            birth_date: pick(&patch.birth_date, &self.birth_date),
            avatar: pick(&patch.avatar, &self.avatar),
            locale: pick(&patch.locale, &self.locale),
        }
    }

    /// Bytes of all fields together.
    pub(super) fn bytes(&self) -> usize {
        let fields = [
            &self.name,
            &self.first_name,
            &self.last_name,
            &self.email,
            &self.bio,
            &self.location,
            &self.birth_date,
            &self.avatar,
            &self.locale,
        ];
        fields.into_iter().flatten().map(String::len).sum()
    }
}

/// A password at rest: argon2id in PHC form, made and compared outside the core. `Debug` hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash(String);

/// Most bytes of a [`PasswordHash`]; ours have 97.
const PASSWORD_HASH_BYTES_MAX: usize = 160;

impl PasswordHash {
    /// A hash in PHC form; `None` if it is longer than any that we make.
    pub fn new(phc: String) -> Option<Self> {
        (phc.len() <= PASSWORD_HASH_BYTES_MAX).then_some(Self(phc))
    }

    /// The PHC text, for the comparison alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Account {
    /// As others may see it: the hash is for the comparison alone.
    pub fn without_password(&self) -> Self {
        Self { password: None, ..self.clone() }
    }
}

/// The user behind a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Unique among all users, never used twice.
    pub user_id: u64,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When account or profile last changed.
    pub updated_at: UnixMillis,
    /// When the number was last proved.
    pub verified_at: UnixMillis,
    /// What the person tells about herself.
    pub profile: Profile,
    /// False: an administrator has shut it; nobody signs in, and no token of its sessions is good.
    pub active: bool,
    /// What she signs in with where passwords are taken; set only by registering there.
    pub password: Option<PasswordHash>,
}
