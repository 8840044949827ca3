//! A few numbers with their records, and the names that tests give to nonces.

use std::collections::BTreeMap;

use otpd::record::{
    Account, BlockPolicy, Command, Decision, Door, GuessPolicy, HOUR, Keyring, Label, MINUTE, Occurred, Outcome,
    PhoneNumber, Policy, Record, Request, Rules, SECOND, Sender, SessionRef, SignIn, Start, UnixMillis, decide, events,
    invariants, snapshot,
};

/// Where every script begins: some Tuesday in 2026.
pub(crate) const T0: UnixMillis = UnixMillis(1_790_000_000_000);

/// The numbers of a script by their names.
pub(crate) fn phone(name: char) -> PhoneNumber {
    let last = u64::from(u32::from(name) - u32::from('A'));
    PhoneNumber::try_from(989_121_000_001 + last).unwrap()
}

/// A ring with one key, or with two.
pub(crate) fn ring(current: u16, older: &[u16]) -> Keyring {
    let secret = |id: &u16| [u8::try_from(*id).unwrap(); 32];
    let secrets: Vec<(u16, [u8; 32])> = older.iter().map(|id| (*id, secret(id))).collect();
    let older: Vec<(u16, &[u8; 32])> = secrets.iter().map(|(id, secret)| (*id, secret)).collect();
    Keyring::new((current, &secret(&current)), &older)
}

/// The figures of a dialect: `v1` as it ships, `four` supersedes and has four digits, `wide` hardly limits sends,
/// `harsh` allows few guesses, `pair` blocks addresses.
pub(crate) fn policy(dialect: Label) -> Policy {
    let v1 = Policy::default();
    match dialect.as_str() {
        "four" => Policy {
            code_digits: 4,
            code_life_ms: 2 * MINUTE,
            attempts_max: 3,
            cooldown_ms: 0,
            resend_after_ms: vec![10 * SECOND; 2],
            supersedes: true,
            ..v1
        },
        "wide" => Policy {
            cooldown_ms: 0,
            sends_max: 50,
            sends_per_day: 50,
            sends_per_day_per_address: 25,
            resend_after_ms: vec![0; 7],
            ..v1
        },
        "harsh" => Policy {
            cooldown_ms: 0,
            sends_max: 50,
            sends_per_day: 50,
            sends_per_day_per_address: 25,
            guesses: GuessPolicy { free: 1, delay_ms: SECOND, delay_max_ms: 4 * SECOND, stop_at: 6 },
            ..v1
        },
        "pair" => Policy {
            code_digits: 4,
            code_life_ms: 10 * MINUTE,
            cooldown_ms: 0,
            sends_max: 50,
            sends_per_day: 50,
            sends_per_day_per_address: 25,
            resend_after_ms: vec![0; 7],
            supersedes: true,
            block: Some(BlockPolicy { strikes: 3, block_ms: HOUR }),
            ..v1
        },
        _ => v1,
    }
}

/// Reads `dialect/purpose`.
pub(crate) fn door(text: &str) -> Door {
    let (dialect, purpose) = text.split_once('/').unwrap_or_else(|| panic!("not dialect/purpose: {text}"));
    Door { dialect: Label::new(dialect).unwrap(), purpose: Label::new(purpose).unwrap() }
}

/// A plain start, to be changed where a test needs it.
pub(crate) fn start(nonce: u64, door: Door) -> Start {
    Start::plain(nonce, door, Sender { address: 1, keyed: false, unpaid: false })
}

/// Records of several numbers, one clock, and what the outside would remember.
pub(crate) struct World {
    pub(crate) keys: Keyring,
    pub(crate) now: UnixMillis,
    pub(crate) records: BTreeMap<char, Record>,
    /// Names of challenges, sessions and grants by their nonces.
    pub(crate) names: BTreeMap<u64, String>,
    /// Codes that were sent, by challenge.
    pub(crate) codes: BTreeMap<u64, String>,
    /// Doors of challenges.
    pub(crate) doors: BTreeMap<u64, Door>,
    /// The newest challenge of a number's door.
    pub(crate) newest: BTreeMap<(char, String), u64>,
    pub(crate) users: u64,
    /// The account that the last release handed out.
    pub(crate) released: Option<Account>,
    /// What the last decision has to tell.
    pub(crate) told: Vec<Occurred>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            keys: ring(1, &[]),
            now: T0,
            records: BTreeMap::new(),
            names: BTreeMap::new(),
            codes: BTreeMap::new(),
            doors: BTreeMap::new(),
            newest: BTreeMap::new(),
            users: 0,
            released: None,
            told: Vec::new(),
        }
    }

    /// The nonce of a name: the same name is the same thing.
    pub(crate) fn nonce(&mut self, name: &str) -> u64 {
        let nonce = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        self.names.insert(nonce, name.to_owned());
        nonce
    }

    pub(crate) fn sign_in(&mut self, session: &str) -> SignIn {
        self.users += 1;
        SignIn { session: self.nonce(session), user_id: self.users, client: Label::of("otpd") }
    }

    pub(crate) fn session_ref(&mut self, text: &str) -> SessionRef {
        let (number, name) = text.split_once('.').unwrap_or(("A", text));
        SessionRef { phone: phone(number.chars().next().unwrap()), nonce: self.nonce(name) }
    }

    pub(crate) fn record(&mut self, number: char) -> &Record {
        self.records.entry(number).or_insert_with(|| Record::new(phone(number)))
    }

    /// Decides, checks what must hold of every decision, commits, and notes the code that was sent.
    pub(crate) fn decide(&mut self, number: char, dialect: Label, request: &Request) -> Decision {
        let policy = policy(dialect);
        let now = self.now;
        self.record(number);
        let before = &self.records[&number];
        let decision = decide(Rules { policy: &policy, keys: &self.keys }, before, request, now);
        sound(&policy, before, request, &decision, now);
        if let Some(draft) = &decision.draft {
            self.codes.insert(draft.nonce, draft.code.reveal().to_owned());
            if matches!(request.command, Command::Start(_)) {
                self.doors.insert(draft.nonce, draft.door);
                self.newest.insert((number, format!("{}/{}", draft.door.dialect, draft.door.purpose)), draft.nonce);
            }
        }
        if let Outcome::Released(account) = &decision.outcome {
            self.released = Some((**account).clone());
        }
        self.told = decision.next.as_ref().map(|next| events(before, next, &decision.outcome)).unwrap_or_default();
        if let Some(next) = &decision.next {
            self.records.insert(number, next.clone());
        }
        decision
    }
}

/// What must hold of every decision whatever it is about: the named invariants, and a record that survives its
/// own snapshot within its bytes.
pub(crate) fn sound(policy: &Policy, before: &Record, request: &Request, decision: &Decision, now: UnixMillis) {
    invariants::check_record(before).unwrap();
    invariants::check_step(policy, before, request, decision, now).unwrap();
    if let Some(next) = &decision.next {
        let bytes = snapshot::encode(next);
        assert!(bytes.len() <= invariants::RECORD_BYTES_MAX, "{} bytes", bytes.len());
        assert_eq!(bytes.len(), snapshot::encoded_len(next));
        assert_eq!(snapshot::decode(next.phone(), &bytes).as_ref(), Ok(next));
    }
}
