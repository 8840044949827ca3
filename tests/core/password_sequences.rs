//! Every sequence of a few commands about passwords: begin, end, lose, erase, register anew, shut, clocks.

use std::collections::BTreeMap;

use otpd::record::{
    BlockPolicy, Command, Decision, HOUR, Keyring, Label, OnMatch, Outcome, PasswordHash, Policy, ProfilePatch, Record,
    Refusal, Request, Rules, SECOND, SignIn, Target, UnixMillis, decide,
};

use super::world::{T0, door, phone, policy, ring, sound, start};

/// Longest sequence.
const DEPTH: usize = 5;
/// Wrong answers that block: few, so that short sequences get there.
const STRIKES: u8 = 2;

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    BeginHere,
    BeginElsewhere,
    NewestRight,
    NewestWrong,
    FirstRight,
    Erase,
    Register,
    ShutOrOpen,
    ALittleLater,
    AMinuteLater,
    ALittleBack,
    FarBack,
}

const ACTS: [Act; 12] = [
    Act::BeginHere,
    Act::BeginElsewhere,
    Act::NewestRight,
    Act::NewestWrong,
    Act::FirstRight,
    Act::Erase,
    Act::Register,
    Act::ShutOrOpen,
    Act::ALittleLater,
    Act::AMinuteLater,
    Act::ALittleBack,
    Act::FarBack,
];

/// A comparison that was begun.
#[derive(Debug, Clone, Copy)]
struct Begun {
    nonce: u64,
    address: u64,
    /// By the record's own time.
    at: u64,
    /// How often the account had changed by then.
    account: u64,
    ended: bool,
}

/// A path, and what the outside remembers of it.
#[derive(Clone)]
struct Path {
    acts: Vec<Act>,
    record: Record,
    now: UnixMillis,
    begun: Vec<Begun>,
    /// Tries of each address since its last success, those under way among them.
    spent: BTreeMap<u64, u8>,
    /// Accounts that came and went.
    account: u64,
    session: u64,
    draws: u64,
    /// The latest time that a commit saw.
    seen: u64,
}

/// What every path is judged by.
struct Judge {
    policy: Policy,
    keys: Keyring,
}

/// I1–I9 hold on every path; a password signs in for a comparison of that very account, within its minute and once;
/// no address compares more often than it may.
#[test]
fn every_short_sequence_of_passwords() {
    let block = Some(BlockPolicy { strikes: STRIKES, block_ms: HOUR });
    let judge = Judge { policy: Policy { block, ..policy(Label::of("pair")) }, keys: ring(1, &[]) };
    let mut path = Path {
        acts: Vec::new(),
        record: Record::new(phone('A')),
        now: T0.plus(24 * HOUR),
        begun: Vec::new(),
        spent: BTreeMap::new(),
        account: 0,
        session: 0,
        draws: 0,
        seen: 0,
    };
    judge.register(&mut path);
    let count = judge.walk(&path);
    let sequences: usize = (1..=DEPTH).map(|length| ACTS.len().pow(u32::try_from(length).unwrap())).sum();
    assert_eq!(count, sequences);
}

impl Path {
    fn is_set_back(&self) -> bool {
        self.now.0 + HOUR < self.seen
    }

    /// The time that a decision goes by.
    fn time(&self) -> u64 {
        if self.is_set_back() { self.now.0 } else { self.now.0.max(self.seen) }
    }

    /// Whoever begins or ends one finds those that nobody ended within a minute: they were wrong.
    fn lose(&mut self, time: u64) {
        for begun in &mut self.begun {
            begun.ended |= begun.at.min(time) + 60 * SECOND <= time;
        }
    }

    /// What is under way is not about the account there is now, and holds nothing against anyone.
    fn account_changes(&mut self) {
        self.account += 1;
        for begun in self.begun.iter_mut().filter(|begun| !begun.ended) {
            begun.ended = true;
            *self.spent.entry(begun.address).or_default() -= 1;
        }
    }
}

impl Judge {
    fn walk(&self, path: &Path) -> usize {
        if path.acts.len() == DEPTH {
            return 0;
        }
        ACTS.into_iter().map(|act| 1 + self.walk(&self.step(path, act))).sum()
    }

    fn step(&self, path: &Path, act: Act) -> Path {
        let mut path = path.clone();
        path.acts.push(act);
        let last = path.begun.len().saturating_sub(1);
        match act {
            Act::ALittleLater => path.now = path.now.plus(31 * SECOND),
            Act::AMinuteLater => path.now = path.now.plus(60 * SECOND),
            Act::ALittleBack => path.now = path.now.minus(10 * SECOND),
            Act::FarBack => path.now = path.now.minus(3 * HOUR),
            Act::BeginHere => self.begin(&mut path, 1),
            Act::BeginElsewhere => self.begin(&mut path, 2),
            Act::NewestRight => self.end(&mut path, last, true),
            Act::NewestWrong => self.end(&mut path, last, false),
            Act::FirstRight => self.end(&mut path, 0, true),
            Act::Erase => {
                let session = path.session;
                let erased = self.decide(&mut path, Command::Erase { session }).outcome == Outcome::Done;
                if erased {
                    path.account_changes();
                }
            }
            Act::Register => self.register(&mut path),
            Act::ShutOrOpen => {
                let active = path.record.account().is_some_and(|account| !account.active);
                self.decide(&mut path, Command::SetActive { active });
            }
        }
        path
    }

    /// Decides, and holds what is seen from outside against the path.
    fn decide(&self, path: &mut Path, command: Command) -> Decision {
        let request = Request::from(command);
        let rules = Rules { policy: &self.policy, keys: &self.keys };
        let decision = decide(rules, &path.record, &request, path.now);
        sound(&self.policy, &path.record, &request, &decision, path.now);
        let (set_back, time) = (path.is_set_back(), path.time());
        if let Some(next) = &decision.next {
            let spends = matches!(
                decision.outcome,
                Outcome::Refused(Refusal::WrongPassword { .. } | Refusal::Inactive | Refusal::WrongCode { .. })
            );
            let refused = matches!(decision.outcome, Outcome::Refused(_)) && !spends;
            assert!(!refused || set_back, "a refusal wrote: {:?}", path.acts);
            let steps = path.record.expected_version().is_none_or(|old| next.expected_version() == Some(old + 1));
            assert!(steps, "the version does not step by one: {:?}", path.acts);
            path.record = next.clone();
            for begun in path.begun.iter_mut().filter(|_| set_back) {
                begun.at = begun.at.min(time);
            }
            path.seen = time;
        }
        decision
    }

    fn begin(&self, path: &mut Path, address: u64) {
        path.draws += 1;
        let (nonce, account) = (path.draws, path.account);
        let decision = self.decide(path, Command::BeginPassword { nonce, address, reveal: false });
        if let Outcome::Comparing(hash) = decision.outcome {
            let has_password = path.record.account().is_some();
            assert_eq!(hash.is_some(), has_password, "another hash: {:?}", path.acts);
            path.lose(path.seen);
            let spent = path.spent.entry(address).or_default();
            *spent += 1;
            assert!(*spent <= STRIKES, "compared more often than it may: {:?}", path.acts);
            path.begun.push(Begun { nonce, address, at: path.seen, account, ended: false });
        }
    }

    fn end(&self, path: &mut Path, place: usize, right: bool) {
        path.draws += 1;
        let sign_in = SignIn { session: path.draws, user_id: 0, client: Label::of("otpd") };
        path.lose(path.time());
        let begun = path.begun.get(place).copied();
        let was_active = path.record.account().is_some_and(|account| account.active);
        let (nonce, right) = (begun.map_or(u64::MAX, |begun| begun.nonce), right.then_some(sign_in));
        let command = Command::EndPassword { nonce, door: door("pair/password"), right, renewed: None };
        let outcome = self.decide(path, command).outcome;
        let acts = &path.acts;
        let good = begun.is_some_and(|begun| !begun.ended && begun.account == path.account && right.is_some());
        match outcome {
            Outcome::SignedIn(session) => {
                assert!(good && was_active, "signed in without a comparison: {acts:?}");
                path.session = session.session;
            }
            Outcome::Refused(Refusal::Inactive) => assert!(good && !was_active, "not shut: {acts:?}"),
            Outcome::Refused(Refusal::WrongPassword { .. }) => {
                assert!(!good || path.record.account().is_none(), "a right password was refused: {acts:?}");
            }
            other => panic!("{other:?} to a comparison: {acts:?}"),
        }
        if let Some(begun) = begun.filter(|begun| !begun.ended) {
            path.begun[place].ended = true;
            if good {
                // Those still under way stay spent.
                let of_address = |other: &&Begun| other.address == begun.address && !other.ended;
                let open = path.begun.iter().filter(of_address).count();
                path.spent.insert(begun.address, u8::try_from(open).unwrap());
            }
        }
    }

    /// A code, a grant, an account: all in one act.
    fn register(&self, path: &mut Path) {
        path.draws += 3;
        let (challenge, grant, session) = (path.draws, path.draws - 1, path.draws - 2);
        let began = start(challenge, door("pair/registration"));
        let Some(draft) = self.decide(path, Command::Start(Box::new(began))).draft else { return };
        let on_match = OnMatch::Grant { nonce: grant, life_ms: HOUR };
        let target = Target::Id(challenge);
        let check = Command::Check { target, code: draft.code, on_match, session: None, address: 9 };
        self.decide(path, check);
        let password = PasswordHash::new(format!("password {grant}"));
        let sign_in = SignIn { session, user_id: grant, client: Label::of("otpd") };
        let profile = ProfilePatch::default();
        let outcome = self.decide(path, Command::Register { nonce: grant, profile, password, sign_in }).outcome;
        if matches!(outcome, Outcome::SignedIn(_)) {
            path.account_changes();
            path.session = session;
        }
    }
}
