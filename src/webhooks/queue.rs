//! What the dispatcher has in hand: entries to post now, and which are due when.
//!
//! Bounded by the outbox itself: of waiting entries only id and time are kept, of those to be posted at most
//! [`READY_MAX`]. Knows no time of its own.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::render::Told;
use crate::{
    record::{PhoneNumber, UnixMillis},
    store::Entry,
};

/// Entries read ahead: at a few hundred bytes each nothing to speak of, and one read for so many posts.
pub(super) const READY_MAX: usize = 256;

/// An entry that can be posted.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) id: u64,
    pub(super) tries: u8,
    pub(super) told: Told,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Last id read in order.
    cursor: u64,
    ready: VecDeque<Ready>,
    waiting: BTreeSet<(UnixMillis, u64)>,
    /// Numbers with a post under way: their next event waits for it, so that events of one number come in order.
    busy: HashSet<PhoneNumber>,
}

impl Queue {
    /// How many entries it would take, and after which id.
    pub(super) fn wants(&self) -> Option<(u64, usize)> {
        let room = READY_MAX - self.ready.len().min(READY_MAX);
        // Half empty: else each post would be followed by a read of one.
        (room >= READY_MAX / 2).then_some((self.cursor, room))
    }

    /// Takes an entry read in order. Answers its id if it can't be read.
    pub(super) fn arrived(&mut self, entry: Entry, now: UnixMillis) -> Option<u64> {
        self.cursor = self.cursor.max(entry.id);
        self.take(entry, now)
    }

    /// Takes an entry, to be posted now or when it is due. Answers its id if it can't be read.
    pub(super) fn take(&mut self, entry: Entry, now: UnixMillis) -> Option<u64> {
        let Entry { id, tries, due, event } = entry;
        if due > now {
            self.waiting.insert((due, id));
            return None;
        }
        let Some(told) = Told::decode(&event) else { return Some(id) };
        self.ready.push_back(Ready { id, tries, told });
        None
    }

    /// Remembers that an entry is due later.
    pub(super) fn postpone(&mut self, id: u64, due: UnixMillis) {
        self.waiting.insert((due, id));
    }

    /// An entry that is due, if there is room for it.
    pub(super) fn pop_due(&mut self, now: UnixMillis) -> Option<u64> {
        let (due, _) = *self.waiting.first()?;
        let ripe = due <= now && self.ready.len() < READY_MAX;
        if ripe { self.waiting.pop_first().map(|(_, id)| id) } else { None }
    }

    /// When the next entry is due that there is room for; without room it waits for a post to end.
    pub(super) fn next_due(&self) -> Option<UnixMillis> {
        let next = self.waiting.first().filter(|_| self.ready.len() < READY_MAX);
        next.map(|(due, _)| *due)
    }

    /// The first entry whose number has no post under way; the number has one from now on.
    pub(super) fn begin(&mut self) -> Option<Ready> {
        let free = |ready: &Ready| ready.told.phone().is_none_or(|phone| !self.busy.contains(&phone));
        let position = self.ready.iter().position(free)?;
        let ready = self.ready.remove(position)?;
        self.busy.extend(ready.told.phone());
        Some(ready)
    }

    /// The number's post is over.
    pub(super) fn end(&mut self, phone: Option<PhoneNumber>) {
        if let Some(phone) = phone {
            self.busy.remove(&phone);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Event, Occurred, UserChange};

    fn entry(id: u64, phone: u64, due: u64) -> Entry {
        let phone = PhoneNumber::try_from(989_120_000_000 + phone).unwrap();
        let event = Event::User { change: UserChange::Updated, user_id: id };
        let event = Occurred { at: UnixMillis(1), phone, event }.encode();
        Entry { id, tries: 0, due: UnixMillis(due), event }
    }

    #[test]
    fn a_number_has_one_post_at_a_time() {
        let mut queue = Queue::default();
        for (id, phone) in [(1, 1), (2, 1), (3, 2)] {
            assert_eq!(queue.arrived(entry(id, phone, 0), UnixMillis(0)), None);
        }
        let first = queue.begin().unwrap();
        assert_eq!((first.id, queue.begin().unwrap().id), (1, 3));
        assert!(queue.begin().is_none(), "the second of the first number waits");
        queue.end(first.told.phone());
        assert_eq!(queue.begin().unwrap().id, 2);
        assert_eq!(queue.wants(), Some((3, READY_MAX)));
    }

    /// Else the loop would wake for an entry that it cannot take, again and again.
    #[test]
    fn without_room_nothing_is_due() {
        let mut queue = Queue::default();
        queue.postpone(1_000, UnixMillis(50));
        for id in 0..READY_MAX as u64 {
            assert_eq!(queue.next_due(), Some(UnixMillis(50)));
            assert_eq!(queue.arrived(entry(id, 1, 0), UnixMillis(0)), None);
        }
        assert_eq!((queue.next_due(), queue.pop_due(UnixMillis(60))), (None, None));
        assert!(queue.begin().is_some());
        assert_eq!(queue.pop_due(UnixMillis(60)), Some(1_000));
    }

    #[test]
    fn what_is_due_later_waits_and_takes_no_room() {
        let mut queue = Queue::default();
        assert_eq!(queue.arrived(entry(1, 1, 50), UnixMillis(10)), None);
        assert_eq!(queue.next_due(), Some(UnixMillis(50)));
        assert_eq!((queue.pop_due(UnixMillis(49)), queue.pop_due(UnixMillis(50))), (None, Some(1)));
        assert!(queue.begin().is_none());
        let broken = Entry { event: vec![9, 9], ..entry(2, 1, 0) };
        assert_eq!(queue.arrived(broken, UnixMillis(0)), Some(2));
    }
}
