//! Random sequences of commands and clock steps against the naive model, and what holds of every record reached.

use otpd::record::{
    Arrival, Code, Command, Decision, Door, Label, MINUTE, OnMatch, Outcome, PASSWORD, PasswordHash, ProfilePatch,
    Received, Record, Refusal, Request, Rules, SECOND, SendLimit, SendResult, Sender, SignIn, Status, Target,
    UnixMillis, decide, snapshot,
};
use proptest::prelude::*;

use super::{
    asks::{Ask, Settled, Typed, Wanted},
    model::Model,
    script::other,
    world::{T0, door, phone, policy, ring, sound, start},
};

/// One step before it has names: which command, three choices, which clock step.
type Roll = (u8, u8, u8, u8, u8);

/// A number, the model of it, and what the outside remembers.
struct Pair {
    keys: otpd::record::Keyring,
    record: Record,
    model: Model,
    now: UnixMillis,
    /// Challenges with their codes and doors.
    issued: Vec<(u64, String, Door)>,
    sessions: Vec<u64>,
    grants: Vec<u64>,
    users: u64,
    draws: u64,
    comparing: Vec<u64>,
    passwords: u64,
    /// Somebody who guesses all the time and never gets it right.
    guesser: Guesser,
    /// What was done, to be read when it fails.
    told: Vec<String>,
}

/// What is guessed all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guesser {
    Nobody,
    Codes,
    Passwords,
}

/// Often the door that hardly limits sends, so that there is something to check.
const DOORS: [&str; 10] = [
    "wide/login",
    "wide/login",
    "wide/login",
    "pair/login",
    "wide/signup",
    "four/login",
    "v1/login",
    "v1/reset",
    "pair/login",
    "wide/login",
];

/// How many kinds of commands there are to draw from.
const KINDS: u8 = 45;

impl Pair {
    fn new(guesser: Guesser) -> Self {
        Self {
            guesser,
            keys: ring(1, &[]),
            record: Record::new(phone('A')),
            model: Model::default(),
            now: T0.plus(400 * 24 * 3_600 * SECOND),
            issued: Vec::new(),
            sessions: Vec::new(),
            grants: Vec::new(),
            comparing: Vec::new(),
            passwords: 0,
            users: 0,
            draws: 0,
            told: Vec::new(),
        }
    }

    /// Mostly none or a short step around the lengths that the rules know; now and then far ahead, or back.
    fn clock(&mut self, roll: u8) {
        let near = [1, 999, 5_000, 9_999, 10_000, 10_001, 29_999, 30_000, 31_000, 60_000, 119_999, 120_000];
        let far = [300_000, 301_000, 3_600_000, 43_200_000, 86_399_999, 86_400_000, 30 * 86_400_000];
        let back = [1, 1_000, 30_000, 3_500_000, 3_600_000, 3_600_001, 10_000_000, 90_000_000];
        self.now = match usize::from(roll) {
            0..140 => self.now,
            roll @ 140..233 => self.now.plus(near[roll % near.len()]),
            roll @ 233..246 => self.now.plus(far[roll % far.len()]),
            roll => self.now.minus(back[roll % back.len()]),
        };
    }

    fn draw(&mut self) -> u64 {
        self.draws += 1;
        self.draws
    }

    /// The newest most often, sometimes an older one, now and then one that never was.
    fn pick(of: &[u64], choice: u8) -> u64 {
        let back = if choice < 150 { 0 } else { usize::from(choice) % 13 };
        let place = of.len().checked_sub(1 + back);
        place.map_or(0, |place| of[place])
    }

    fn nonce(&self, choice: u8) -> u64 {
        let nonces: Vec<u64> = self.issued.iter().map(|issued| issued.0).collect();
        Self::pick(&nonces, choice)
    }

    fn session(&self, choice: u8) -> u64 {
        Self::pick(&self.sessions, choice)
    }

    fn wanted(&mut self, choice: u8) -> Wanted {
        match choice % 6 {
            0..3 => Wanted::Approval,
            3 | 4 => Wanted::Session { session: self.draw(), user: self.new_user() },
            _ => {
                let nonce = self.draw();
                self.grants.push(nonce);
                Wanted::Grant { nonce }
            }
        }
    }

    fn new_user(&mut self) -> u64 {
        self.users += 1;
        self.users
    }

    fn new_password(&mut self, choice: u8) -> Option<u64> {
        self.passwords += 1;
        (!choice.is_multiple_of(4)).then_some(self.passwords)
    }

    /// Door, address and what is known of the number, for a password.
    fn ask_password(&mut self, kind: u8, (a, b, c): (u8, u8, u8)) -> Ask {
        let via = Label::of(if a.is_multiple_of(8) { "v1" } else { "pair" });
        match kind {
            0..4 => {
                let nonce = self.draw();
                self.comparing.push(nonce);
                Ask::Begin { nonce, via, address: u64::from(b % 3), reveal: !c.is_multiple_of(4) }
            }
            4..7 => {
                let nonce = Self::pick(&self.comparing, c);
                let renewed = self.new_password(a % 4).filter(|_| c.is_multiple_of(2));
                Ask::Tell { nonce, via, right: b.is_multiple_of(3), session: self.draw(), renewed }
            }
            7 if c.is_multiple_of(4) => Ask::Activate { active: false },
            7 if c.is_multiple_of(2) => Ask::Identify,
            7 => Ask::Activate { active: true },
            _ if c.is_multiple_of(3) => Ask::ReadGrant { nonce: Self::pick(&self.grants, a / 2) },
            _ => {
                let (nonce, password) = (Self::pick(&self.grants, a / 2), self.new_password(b));
                Ask::Register { nonce, session: self.draw(), user: self.new_user(), password }
            }
        }
    }

    fn guess(&mut self, at: Door, (b, c): (u8, u8)) -> Ask {
        match self.guesser {
            Guesser::Passwords if b.is_multiple_of(3) => {
                let nonce = Self::pick(&self.comparing, c);
                Ask::Tell { nonce, via: Label::of("v1"), right: false, session: 0, renewed: None }
            }
            Guesser::Passwords => {
                let nonce = self.draw();
                self.comparing.push(nonce);
                Ask::Begin { nonce, via: Label::of("v1"), address: u64::from(b), reveal: false }
            }
            Guesser::Codes | Guesser::Nobody => {
                let typed = if b.is_multiple_of(16) { Typed::Short } else { Typed::Wrong };
                Ask::CheckByNumber { door: at, typed, wanted: Wanted::Approval, address: u64::from(c % 3) }
            }
        }
    }

    fn ask(&mut self, (kind, a, b, c, _): Roll) -> Ask {
        let at = door(DOORS[usize::from(a) % DOORS.len()]);
        let sender = Sender { address: u64::from(b % 3), keyed: b % 4 == 0, unpaid: false };
        let typed =
            [Typed::Wrong, Typed::Right, Typed::Wrong, Typed::Wrong, Typed::Right, Typed::Short][usize::from(b) % 6];
        if self.guesser != Guesser::Nobody && kind >= 96 {
            return self.guess(at, (b, c));
        }
        let address = u64::from(c % 3);
        match kind % KINDS {
            0..5 => Ask::Start { nonce: self.draw(), door: at, sender },
            5..7 => Ask::Resend { nonce: self.nonce(a), sender },
            7..9 => {
                let result = [Settled::Accepted, Settled::Failed, Settled::Dead, Settled::Unknown][usize::from(b) % 4];
                Ask::Settle { nonce: self.nonce(a), send: usize::from(c % 3), route: route(c), result }
            }
            42.. => {
                let arrival = [Arrival::Sent, Arrival::Delivered, Arrival::Undelivered][usize::from(b) % 3];
                Ask::Receipt { nonce: self.nonce(a), send: usize::from(c % 3), route: route(c), arrival }
            }
            9..14 => {
                let nonce = self.nonce(a);
                Ask::CheckById { nonce, via: self.door_of(nonce), typed, wanted: self.wanted(c), address }
            }
            14..21 => Ask::CheckByNumber { door: at, typed, wanted: self.wanted(c), address },
            21 if c.is_multiple_of(2) => Ask::Cancel { nonce: self.nonce(a) },
            21 | 22 => Ask::Read { nonce: self.nonce(a) },
            23..25 => Ask::Redeem { nonce: self.nonce(a / 2), session: self.draw(), user: self.new_user() },
            25 => {
                let nonce = Self::pick(&self.grants, a / 2);
                Ask::Register { nonce, session: self.draw(), user: self.new_user(), password: self.new_password(b) }
            }
            26..29 => Ask::Refresh { session: self.session(a / 2), generation: u32::from(b % 3) },
            29 => Ask::Authenticate { session: self.session(a) },
            30 if c.is_multiple_of(4) => Ask::Erase { session: self.session(a / 2) },
            30 => Ask::End { session: self.session(a) },
            31 if c.is_multiple_of(4) => Ask::Unlock,
            31 => Ask::Authenticate { session: self.session(a) },
            kind @ 32..42 => self.ask_password(kind - 32, (a, b, c)),
        }
    }

    fn issued(&self, nonce: u64) -> Option<&(u64, String, Door)> {
        self.issued.iter().find(|issued| issued.0 == nonce)
    }

    /// Whose figures count for a challenge.
    fn door_of(&self, nonce: u64) -> Label {
        self.issued(nonce).map_or(Label::of("v1"), |issued| issued.2.dialect)
    }

    /// The same in the record's words, and whose figures count.
    fn command(&self, ask: Ask) -> (Command, Label) {
        let of = |nonce: u64| self.door_of(nonce);
        let hash = |password: u64| PasswordHash::new(password.to_string()).unwrap();
        let sign_in = |session, user_id| SignIn { session, user_id, client: Label::of("otpd") };
        let check = |target, against: Option<&(u64, String, Door)>, (typed, wanted, address)| {
            let right = against.map_or("000000", |issued| issued.1.as_str());
            let typed = match typed {
                Typed::Right => right.to_owned(),
                Typed::Wrong => other(right),
                Typed::Short => right[1..].to_owned(),
            };
            let on_match = match wanted {
                Wanted::Approval => OnMatch::Approve,
                Wanted::Session { session, user } => OnMatch::SignIn(sign_in(session, user)),
                Wanted::Grant { nonce } => OnMatch::Grant { nonce, life_ms: 10 * MINUTE },
            };
            Command::Check { target, code: Code::from_digits(&typed).unwrap(), on_match, session: None, address }
        };
        match ask {
            Ask::Start { nonce, door, sender } => {
                let mut start = start(nonce, door);
                start.sender = sender;
                (Command::Start(Box::new(start)), door.dialect)
            }
            Ask::Resend { nonce, sender } => {
                (Command::Resend { nonce, sender, channel: None, chosen: None }, of(nonce))
            }
            Ask::Settle { nonce, send, route, result } => {
                let result = match result {
                    Settled::Accepted => SendResult::Accepted,
                    Settled::Failed => SendResult::Failed { number_at_fault: false },
                    Settled::Dead => SendResult::Failed { number_at_fault: true },
                    Settled::Unknown => SendResult::Unknown,
                };
                let delivery = u8::try_from(send).unwrap();
                (Command::Settle { nonce, delivery, route, channel: Label::of("sms"), result }, of(nonce))
            }
            Ask::Receipt { nonce, send, route, arrival } => {
                let delivery = u8::try_from(send).unwrap();
                (Command::Receipt { nonce, delivery, route, arrival }, of(nonce))
            }
            Ask::CheckById { nonce, via, typed, wanted, address } => {
                (check(Target::Id(nonce), self.issued(nonce), (typed, wanted, address)), via)
            }
            Ask::CheckByNumber { door, typed, wanted, address } => {
                let meant = self.meant(door).and_then(|nonce| self.issued(nonce));
                (check(Target::Newest(door), meant, (typed, wanted, address)), door.dialect)
            }
            Ask::Cancel { nonce } => (Command::Cancel { nonce }, of(nonce)),
            Ask::Read { nonce } => (Command::Read { nonce }, of(nonce)),
            Ask::Redeem { nonce, session, user } => {
                (Command::Redeem { nonce, sign_in: sign_in(session, user) }, Label::of("v1"))
            }
            Ask::Register { nonce, session, user, password } => {
                let (profile, sign_in) = (ProfilePatch::default(), sign_in(session, user));
                (Command::Register { nonce, profile, password: password.map(hash), sign_in }, Label::of("v1"))
            }
            Ask::ReadGrant { nonce } => (Command::ReadGrant { nonce }, Label::of("v1")),
            Ask::Identify => (Command::Identify, Label::of("v1")),
            Ask::Begin { nonce, via, address, reveal } => (Command::BeginPassword { nonce, address, reveal }, via),
            Ask::Tell { nonce, via, right, session, renewed } => {
                let (right, renewed) = (right.then(|| sign_in(session, 0)), renewed.map(hash));
                let door = Door { dialect: via, purpose: PASSWORD };
                (Command::EndPassword { nonce, door, right, renewed }, via)
            }
            Ask::Activate { active } => (Command::SetActive { active }, Label::of("v1")),
            Ask::Refresh { session, generation } => {
                (Command::Refresh { session, generation, rotate: true }, Label::of("v1"))
            }
            Ask::Authenticate { session } => (Command::Authenticate { session }, Label::of("v1")),
            Ask::End { session } => (Command::EndSession { by: None, session }, Label::of("v1")),
            Ask::Erase { session } => (Command::Erase { session }, Label::of("v1")),
            Ask::Unlock => (Command::Unlock, Label::of("v1")),
        }
    }

    /// Which challenge a check by number is against: the newest of the door that was not taken back.
    fn meant(&self, at: Door) -> Option<u64> {
        let of_door = self.issued.iter().rev().filter(|issued| issued.2 == at);
        let stands = |nonce: u64| {
            let rules = policy(at.dialect);
            let read = Request::from(Command::Read { nonce });
            let decision = decide(Rules { policy: &rules, keys: &self.keys }, &self.record, &read, self.now);
            matches!(decision.outcome, Outcome::Verification(view)
                if !matches!(view.status, Status::Canceled | Status::Failed))
        };
        of_door.map(|issued| issued.0).find(|nonce| stands(*nonce))
    }

    /// A number that registers with a password, to begin with.
    fn register(&mut self) -> Result<(), TestCaseError> {
        let (sender, at, grant) = (Sender { address: 0, keyed: true, unpaid: false }, door("wide/signup"), self.draw());
        self.step(Ask::Start { nonce: 900, door: at, sender })?;
        let (typed, wanted) = (Typed::Right, Wanted::Grant { nonce: grant });
        self.step(Ask::CheckById { nonce: 900, via: at.dialect, typed, wanted, address: 0 })?;
        let (session, user, password) = (self.draw(), self.new_user(), self.new_password(1));
        self.step(Ask::Register { nonce: grant, session, user, password })
    }

    fn roll(&mut self, roll: Roll) -> Result<(), TestCaseError> {
        self.clock(roll.4);
        let ask = self.ask(roll);
        self.step(ask)
    }

    fn step(&mut self, ask: Ask) -> Result<(), TestCaseError> {
        let (command, dialect) = self.command(ask);
        let policy = policy(dialect);
        let request = Request::from(command);
        let decision = decide(Rules { policy: &policy, keys: &self.keys }, &self.record, &request, self.now);
        sound(&policy, &self.record, &request, &decision, self.now);
        let (expected, written) = self.model.answer(ask, self.now.0);
        let got = (words(&decision), decision.next.is_some());
        self.told.push(format!("t{} {ask:?} → {} {}", self.now.0, got.0, got.1));
        prop_assert_eq!(&got, &(expected, written), "\n{}", self.told.join("\n"));
        if let (Some(draft), Command::Start(start)) = (&decision.draft, &request.command) {
            self.issued.push((draft.nonce, draft.code.reveal().to_owned(), start.door));
        }
        if let Outcome::SignedIn(signed_in) = &decision.outcome {
            self.sessions.retain(|session| *session != signed_in.session);
            self.sessions.push(signed_in.session);
        }
        if let Some(next) = decision.next {
            self.record = next;
        }
        Ok(())
    }
}

/// One of two gateways, the first three times out of four.
fn route(choice: u8) -> Label {
    if choice < 192 { Label::of("console") } else { Label::of("simulated") }
}

/// The outcome in the model's words.
fn words(decision: &Decision) -> String {
    match &decision.outcome {
        Outcome::Issued(_) => "issued".to_owned(),
        Outcome::Approved { is_new_user, .. } => format!("approved new {is_new_user}"),
        Outcome::Verification(view) => {
            let (status, tries, resends) = (view.status, view.attempts_remaining, view.resends_remaining);
            format!("{status:?} tries {tries} resends {resends} from {}", view.resend_at.0)
        }
        Outcome::SignedIn(signed_in) => {
            let (session, generation) = (signed_in.session, signed_in.generation);
            format!("signed in {session} gen {generation} user {} new {}", signed_in.user_id, signed_in.is_new_user)
        }
        Outcome::Granted { expires_at, .. } => format!("granted {}", expires_at.0),
        Outcome::Authenticated { .. } => "alive".to_owned(),
        Outcome::Done => "done".to_owned(),
        Outcome::Refused(refusal) => refused(refusal),
        Outcome::Comparing(hash) => format!("comparing {:?}", hash.as_ref().map(number)),
        Outcome::Received(Received::Unknown) => "no such message".to_owned(),
        Outcome::Received(Received::Known) => "no news".to_owned(),
        Outcome::Received(Received::Moved { sent_at, .. }) => format!("moved {}", sent_at.0),
        Outcome::Identified(account) => {
            let account = account.as_deref();
            let password = account.and_then(|account| account.password.as_ref()).map(number);
            let shut = account.is_some_and(|account| !account.active);
            format!("user {:?} password {password:?} shut {shut}", account.map(|account| account.user_id))
        }
        other @ (Outcome::Exported(_) | Outcome::Claimed { .. } | Outcome::Released(_)) => format!("{other:?}"),
    }
}

fn number(hash: &PasswordHash) -> u64 {
    hash.expose().parse().unwrap()
}

fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::SendLimited { limit, retry_at } => {
            let limit = match limit {
                SendLimit::Cooldown => "cooldown",
                SendLimit::Window => "window",
                SendLimit::Day => "day",
                SendLimit::Address => "address",
                SendLimit::Resends => "resends",
            };
            format!("{limit} {}", retry_at.0)
        }
        Refusal::WrongCode { attempts_remaining, .. } => format!("wrong {attempts_remaining}"),
        Refusal::GuessDelayed { until } => format!("delayed {}", until.0),
        Refusal::GuessStopped { .. } => "stopped".to_owned(),
        Refusal::AttemptsExhausted { .. } => "exhausted".to_owned(),
        Refusal::UnknownChallenge => "unknown".to_owned(),
        Refusal::NothingPending => "nothing pending".to_owned(),
        Refusal::CodeFormat => "format".to_owned(),
        Refusal::Expired => "expired".to_owned(),
        Refusal::Closed => "closed".to_owned(),
        Refusal::AlreadyApproved => "already approved".to_owned(),
        Refusal::NotForSignIn => "not for sign-in".to_owned(),
        Refusal::ReceiptInvalid => "receipt invalid".to_owned(),
        Refusal::GrantInvalid => "grant invalid".to_owned(),
        Refusal::AccountExists => "account exists".to_owned(),
        Refusal::SessionUnknown => "session unknown".to_owned(),
        Refusal::StruckOut { until } => format!("struck out {}", until.0),
        Refusal::AddressBlocked { until } => format!("blocked {}", until.0),
        Refusal::WrongPassword { blocked_until } => {
            format!("wrong password {:?}", blocked_until.map(|until| until.0))
        }
        Refusal::PasswordBusy => "busy".to_owned(),
        Refusal::Inactive => "inactive".to_owned(),
        Refusal::NoAccount => "no account".to_owned(),
        Refusal::RefreshReused => "refresh reused".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A record as text without its version, which alone may tell a remembered record from a fresh one.
fn but_for_version(record: Option<&Record>) -> Option<String> {
    let text = format!("{:?}", record?);
    let (head, rest) = text.split_once("version: ")?;
    Some(format!("{head}{}", rest.split_once(',')?.1))
}

/// The definition of `forget_at`: from then on the record answers everything as a fresh one does.
fn forgotten_is_fresh(pair: &mut Pair) -> Result<(), TestCaseError> {
    let Some(forget_at) = pair.record.forget_at() else {
        prop_assert!(pair.record.account().is_some());
        return Ok(());
    };
    let fresh = Record::new(pair.record.phone());
    pair.now = forget_at;
    for kind in 0..KINDS {
        for choice in 0..4 {
            let ask = pair.ask((kind, choice * 50, choice, choice, 0));
            let (command, dialect) = pair.command(ask);
            let (policy, request) = (policy(dialect), Request::from(command));
            let rules = Rules { policy: &policy, keys: &pair.keys };
            let remembered = decide(rules, &pair.record, &request, forget_at);
            let forgotten = decide(rules, &fresh, &request, forget_at);
            prop_assert_eq!(&remembered.outcome, &forgotten.outcome, "{:?}", ask);
            prop_assert_eq!(remembered.quota, forgotten.quota);
            match (&remembered.next, &forgotten.next) {
                // What is over by the clock alone may be written down as ended; nothing is left to remember then.
                (Some(ended), None) => prop_assert!(ended.forget_at().is_some_and(|at| at <= forget_at), "{:?}", ask),
                (next, fresh) => prop_assert_eq!(but_for_version(next.as_ref()), but_for_version(fresh.as_ref())),
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every answer, every retry time and every write is what the whole history says (I1–I9, security 8–20, 62–64, 77).
    #[test]
    fn the_record_answers_as_its_history_does(
        rolls in prop::collection::vec(any::<Roll>(), 1..120),
        guesser in prop_oneof![Just(Guesser::Nobody), Just(Guesser::Codes), Just(Guesser::Passwords)],
        registers in any::<bool>(),
    ) {
        let mut pair = Pair::new(guesser);
        if registers {
            pair.register()?;
        }
        for roll in rolls {
            pair.roll(roll)?;
        }
        forgotten_is_fresh(&mut pair)?;
    }

    /// DESIGN 2: bytes that are no snapshot are refused, whatever they are; nothing panics.
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), schema in any::<bool>()) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut().filter(|_| schema) {
            *first = snapshot::SCHEMA;
        }
        prop_assert!(snapshot::decode(phone('A'), &bytes).is_err());
    }
}
