//! Where every account is: with a number, or in a parcel between two, and never in two numbers or nowhere.

use std::collections::{BTreeMap, BTreeSet};

use otpd::record::PhoneNumber;

use super::seen::Seen;

/// All accounts there ever were.
#[derive(Debug, Default)]
pub(crate) struct Places {
    accounts: BTreeMap<u64, Place>,
}

#[derive(Debug, Default)]
struct Place {
    with: BTreeSet<PhoneNumber>,
    /// Parcels that have not arrived. One that has may lie about for a while; it is a copy.
    parcels: BTreeSet<PhoneNumber>,
    erased: bool,
}

impl Places {
    /// Accounts that live, and that were erased.
    pub(crate) fn count(&self) -> (usize, usize) {
        let erased = self.accounts.values().filter(|place| place.erased).count();
        (self.accounts.len() - erased, erased)
    }

    pub(crate) fn is_erased(&self, user_id: u64) -> bool {
        self.accounts.get(&user_id).is_some_and(|place| place.erased)
    }

    /// Enters one step of one number; answers which rules it breaks.
    pub(crate) fn step(
        &mut self,
        phone: PhoneNumber,
        before: Option<&Seen>,
        after: Option<&Seen>,
        erasures_asked: &mut u32,
    ) -> Vec<String> {
        let account = |seen: Option<&Seen>| seen?.account.as_ref().map(|account| account.user_id);
        let parcel = |seen: Option<&Seen>| seen?.parcel.as_ref().map(|parcel| (parcel.account.user_id, parcel.to));
        let (old, new) = (account(before), account(after));
        let (old_parcel, new_parcel) = (parcel(before), parcel(after));
        let mut broken = Vec::new();
        if new != old
            && let Some(user_id) = new
        {
            broken.extend(self.arrive(phone, user_id, before));
        }
        if new != old
            && let Some(user_id) = old
        {
            let place = self.accounts.entry(user_id).or_default();
            place.with.remove(&phone);
            if new_parcel.map(|(it, _)| it) == Some(user_id) {
                place.parcels.insert(phone);
            } else if *erasures_asked > 0 {
                *erasures_asked -= 1;
                place.erased = true;
            } else {
                broken.push(format!("account {user_id} was lost"));
            }
        }
        if let Some((user_id, _)) = old_parcel.filter(|_| new_parcel != old_parcel) {
            let place = self.accounts.entry(user_id).or_default();
            if place.parcels.remove(&phone) && !place.erased {
                broken.push(format!("the parcel with account {user_id} was dropped before it had arrived"));
            }
        }
        if new_parcel.is_some() && old_parcel.is_none() && new_parcel.map(|(it, _)| it) != old {
            broken.push("a parcel without the account that left".to_owned());
        }
        broken
    }

    fn arrive(&mut self, phone: PhoneNumber, user_id: u64, before: Option<&Seen>) -> Option<String> {
        let claimed = before.and_then(|before| before.claim.as_ref()).map(|claim| claim.from);
        let known = self.accounts.contains_key(&user_id);
        let place = self.accounts.entry(user_id).or_default();
        let comes_rightly = claimed.is_some_and(|from| place.parcels.remove(&from));
        place.with.insert(phone);
        if place.erased {
            Some(format!("erased account {user_id} came back"))
        } else if place.with.len() > 1 {
            Some(format!("account {user_id} is with two numbers"))
        } else if known && !comes_rightly {
            Some(format!("user id {user_id} was given twice"))
        } else {
            None
        }
    }
}
