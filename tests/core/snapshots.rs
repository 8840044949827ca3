//! The bytes of a record: golden, damaged, misplaced, and never more than their bound.

use expect_test::expect_file;
use otpd::record::{
    Account, Arrival, CHALLENGE_SENDS_MAX, Code, Command, Decision, HOUR, IdempotencyKey, Label, MINUTE, MessageFacts,
    OnMatch, Outcome, PROFILE_BYTES_MAX, PasswordHash, Policy, Profile, ProfilePatch, Received, Record, Request, Rules,
    SECOND, SENDS_MAX, SESSIONS_MAX, SendResult, Sender, SessionRef, SignIn, Target, UnixMillis, decide,
    invariants::RECORD_BYTES_MAX,
    snapshot::{self, HEADER_LEN, Header, SCHEMA, Unreadable},
};

use super::{
    script::login,
    world::{self, T0, door, phone, policy, ring, sound, start},
};

/// A record and its clock, for building.
struct Built {
    record: Record,
    now: UnixMillis,
    policy: Policy,
}

impl Built {
    fn new(policy: Policy) -> Self {
        Self { record: Record::new(phone('A')), now: T0, policy }
    }

    fn decide(&mut self, command: Command, key: Option<u8>) -> Decision {
        let idempotency = key.map(|key| IdempotencyKey { key: [key; 16], body: [255 - key; 16] });
        let request = Request { command, idempotency };
        let keys = ring(1, &[]);
        let decision = decide(Rules { policy: &self.policy, keys: &keys }, &self.record, &request, self.now);
        sound(&self.policy, &self.record, &request, &decision, self.now);
        if let Some(next) = &decision.next {
            self.record = next.clone();
        }
        decision
    }

    /// Checks a challenge with its own code.
    fn pass(&mut self, sent: &Decision, on_match: OnMatch, session: Option<SessionRef>) -> Outcome {
        let draft = sent.draft.as_ref().unwrap();
        let (target, code) = (Target::Id(draft.nonce), draft.code.clone());
        self.decide(Command::Check { target, code, on_match, session, address: 0 }, None).outcome
    }

    /// Registers with a password by a challenge's own code.
    fn register(&mut self, sent: &Decision, sign_in: SignIn, hash: &str) {
        self.pass(sent, OnMatch::Grant { nonce: 30, life_ms: MINUTE }, None);
        let (profile, password) = (ProfilePatch::default(), PasswordHash::new(hash.to_owned()));
        let register = Command::Register { nonce: 30, profile, password, sign_in };
        assert!(matches!(self.decide(register, None).outcome, Outcome::SignedIn(_)));
    }
}

/// A hash of the form that ours have.
const PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fn sign_in(session: u64) -> SignIn {
    SignIn { session, user_id: 7_000, client: Label::of("otpd") }
}

/// Something of everything a record can hold at once, in every state it can be in.
fn rich() -> Record {
    let mut built = rich_2();
    for (nonce, delivery, arrival) in [
        (0x0102_0304_0506_0708, 0, Arrival::Delivered),
        (2, 0, Arrival::Sent),
        (4, 0, Arrival::Undelivered),
        (5, 0, Arrival::Delivered),
    ] {
        built.decide(Command::Receipt { nonce, delivery, route: Label::of("kavenegar"), arrival }, None);
    }
    built.record
}

/// The same without what schema 2 did not know.
fn rich_2() -> Built {
    let mut built = rich_of(true);
    built.policy.block = policy(Label::of("pair")).block;
    let wrong = Code::from_digits("000001").unwrap();
    let (target, on_match) = (Target::Newest(door("four/login")), OnMatch::Approve);
    built.decide(Command::Check { target, code: wrong, on_match, session: None, address: 3 }, None);
    for nonce in 71..74 {
        built.decide(Command::BeginPassword { nonce, address: 4, reveal: true }, None);
        let door = door("pair/password");
        built.decide(Command::EndPassword { nonce, door, right: None, renewed: None }, None);
    }
    built.now = built.now.plus(SECOND);
    built.decide(Command::BeginPassword { nonce: 74, address: 5, reveal: true }, None);
    built.decide(Command::SetActive { active: false }, None);
    built
}

/// The same without what schema 1 did not know.
fn rich_1() -> Record {
    rich_of(false).record
}

fn rich_of(registers: bool) -> Built {
    let mut built = Built::new(policy(Label::of("wide")));
    let begin = |nonce: u64, at: &str| start(nonce, door(at));
    let mut first = begin(0x0102_0304_0506_0708, "v1/login");
    first.facts = MessageFacts {
        locale: Some("fa-IR".into()),
        origin: Some("example.com".into()),
        app_hash: Some("FA+9qCX9VSu".into()),
    };
    first.metadata = vec![("order".to_owned(), "1042".to_owned())];
    let sent = built.decide(Command::Start(Box::new(first)), Some(1));
    let route = Label::of("kavenegar");
    let settle =
        |nonce, delivery, result| Command::Settle { nonce, delivery, route, channel: Label::of("sms"), result };
    built.decide(settle(0x0102_0304_0506_0708, 0, SendResult::Accepted), None);
    built.now = T0.plus(SECOND);
    if registers {
        built.register(&sent, sign_in(11), PASSWORD_HASH);
    } else {
        built.pass(&sent, OnMatch::SignIn(sign_in(11)), None);
    }
    built.decide(Command::Refresh { session: 11, generation: 0, rotate: true }, Some(2));
    let profile = ProfilePatch {
        name: Some(Some("آدا لاولیس".to_owned())),
        email: Some(Some("ada@example.com".to_owned())),
        ..ProfilePatch::default()
    };
    built.decide(Command::UpdateProfile { session: 11, patch: Box::new(profile) }, None);
    built.now = T0.plus(MINUTE);
    let approved = built.decide(Command::Start(Box::new(begin(2, "wide/reset"))), None);
    built.pass(&approved, OnMatch::Approve, None);
    let granted = built.decide(Command::Start(Box::new(begin(3, "wide/signup"))), None);
    built.pass(&granted, OnMatch::Grant { nonce: 31, life_ms: 10 * MINUTE }, None);
    let mut chosen = begin(4, "four/login");
    chosen.chosen = Code::from_digits("0042");
    chosen.sender = Sender { address: 2, keyed: true, unpaid: false };
    built.decide(Command::Start(Box::new(chosen)), None);
    built.decide(settle(4, 0, SendResult::Unknown), None);
    built.decide(Command::Start(Box::new(begin(5, "v1/login"))), None);
    built.decide(settle(5, 0, SendResult::Failed { number_at_fault: true }), None);
    built.decide(Command::Start(Box::new(begin(6, "v1/login"))), None);
    built.decide(Command::Cancel { nonce: 6 }, None);
    let mut bound = begin(7, "v1/phone_change");
    bound.bound_to = Some(SessionRef { phone: phone('B'), nonce: 99 });
    built.decide(Command::Start(Box::new(bound)), None);
    built.now = T0.plus(MINUTE + SECOND);
    built.policy.supersedes = true;
    built.decide(Command::Start(Box::new(begin(8, "four/login"))), None);
    let wrong = Code::from_digits("000001").unwrap();
    let (target, on_match) = (Target::Newest(door("four/login")), OnMatch::Approve);
    built.decide(Command::Check { target, code: wrong, on_match, session: None, address: 0 }, None);
    built
}

/// Golden bytes of each schema: the newest is what we write, and all are read for as long as the schema is known.
#[test]
fn golden_bytes() {
    let record = rich();
    let bytes = snapshot::encode(&record);
    let lines = bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n");
    let golden = expect_file!["../golden/snapshot_v3.hex"];
    golden.assert_eq(&lines.collect::<String>());
    assert_eq!(snapshot::decode(phone('A'), &bytes_of(golden.data())), Ok(record));
    let older = expect_file!["../golden/snapshot_v2.hex"];
    assert_eq!(snapshot::decode(phone('A'), &bytes_of(older.data())), Ok(rich_2().record));
    assert_eq!(snapshot::decode(phone('A'), &bytes_of(expect_file!["../golden/snapshot_v1.hex"].data())), Ok(rich_1()));
}

fn bytes_of(golden: impl AsRef<str>) -> Vec<u8> {
    let text: String = golden.as_ref().split_whitespace().collect();
    let byte = |place: usize| u8::from_str_radix(&text[place..place + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

/// A record of schema 1 is what it was: an open account without a password, nothing blocked; and schema 2 from its next
/// change on.
#[test]
fn schema_1_is_brought_up() {
    let bytes = bytes_of(expect_file!["../golden/snapshot_v1.hex"].data());
    assert_eq!(Header::peek(&bytes).unwrap().schema, 1);
    let mut built = Built::new(policy(Label::of("pair")));
    built.record = snapshot::decode(phone('A'), &bytes).unwrap();
    let account = built.record.account().unwrap().clone();
    assert_eq!((account.active, account.password), (true, None));
    assert_eq!(snapshot::encode(&built.record)[0], SCHEMA);
    built.now = built.now.plus(HOUR);
    let began = built.decide(Command::BeginPassword { nonce: 1, address: 1, reveal: true }, None);
    assert_eq!(began.outcome, Outcome::Comparing(None));
}

/// A record of schema 2 has its sends by their challenge's channel, takes receipts, and is of schema 3 from then on.
#[test]
fn schema_2_is_brought_up() {
    let bytes = bytes_of(expect_file!["../golden/snapshot_v2.hex"].data());
    assert_eq!(Header::peek(&bytes).unwrap().schema, 2);
    let mut built = Built::new(policy(Label::of("wide")));
    built.record = snapshot::decode(phone('A'), &bytes).unwrap();
    built.now = T0.plus(2 * MINUTE);
    let (nonce, route, arrival) = (4, Label::of("kavenegar"), Arrival::Delivered);
    let received = built.decide(Command::Receipt { nonce, delivery: 0, route, arrival }, None);
    let sent = Received::Moved { sent_at: T0.plus(MINUTE), channel: Label::of("sms") };
    assert_eq!(received.outcome, Outcome::Received(sent));
    assert_eq!(snapshot::encode(&built.record)[0], SCHEMA);
}

/// A record that has no room left for the name of a route lets the receipt be, rather than something else.
#[test]
fn a_receipt_pushes_nothing_out() {
    let mut built = Built::new(policy(Label::of("wide")));
    let begin = |nonce: u64, note: usize| {
        let mut start = start(nonce, longest_door(nonce));
        start.sender = Sender { address: nonce, keyed: true, unpaid: false };
        start.facts = longest_facts();
        start.metadata = vec![("note".to_owned(), text(note))];
        start
    };
    for nonce in 0..10 {
        built.decide(Command::Start(Box::new(begin(nonce, 400))), u8::try_from(nonce).ok());
    }
    for resend in 0..40 {
        let sender = Sender { address: 99, keyed: true, unpaid: false };
        built.decide(Command::Resend { nonce: 9 - resend / 7, sender, channel: None, chosen: None }, None);
    }
    let room = RECORD_BYTES_MAX - snapshot::encode(&built.record).len();
    assert!(room < 512, "{room} bytes are left");
    let route = longest("route", 0);
    let (mut moved, mut let_be) = (0, 0);
    for (nonce, delivery) in (0..10).flat_map(|nonce| (0..8).map(move |delivery| (nonce, delivery))) {
        let receipt = Command::Receipt { nonce, delivery, route, arrival: Arrival::Sent };
        match built.decide(receipt, None).outcome {
            Outcome::Received(Received::Moved { .. }) => moved += 1,
            Outcome::Received(Received::Known) => let_be += 1,
            _ => {}
        }
    }
    assert!(moved > 0 && let_be > 0, "{moved} moved, {let_be} let be");
}

/// Security 58: no code, nor anything that one could search for it without the key, is in the bytes.
#[test]
fn no_code_is_at_rest() {
    let mut built = Built::new(policy(Label::of("wide")));
    for nonce in 1..=10 {
        let mut start = start(nonce, login());
        (start.digits, start.chosen) = (Some(8), (nonce % 2 == 0).then(|| Code::from_digits("90817263").unwrap()));
        let sent = built.decide(Command::Start(Box::new(start)), None).draft.unwrap().code.reveal().to_owned();
        let bytes = snapshot::encode(&built.record);
        let number = sent.parse::<u64>().unwrap();
        let (big, little) = (number.to_be_bytes(), number.to_le_bytes());
        for form in [sent.as_bytes(), &big[4..], &little[..4]] {
            assert!(!bytes.windows(form.len()).any(|window| window == form));
        }
    }
}

/// The header alone tells a store what it needs.
#[test]
fn the_header_stands_alone() {
    let record = rich();
    let bytes = snapshot::encode(&record);
    let header = Header::peek(&bytes[..HEADER_LEN]).unwrap();
    assert_eq!((header.schema, header.forget_at), (SCHEMA, None));
    assert_eq!(Some(header.version), record.expected_version());
    assert_eq!(header.to_bytes(), bytes[..HEADER_LEN]);
    assert_eq!(Header::peek(&bytes[..HEADER_LEN - 1]), None);
    let fresh = Record::new(phone('B'));
    let header = Header::peek(&snapshot::encode(&fresh)).unwrap();
    assert_eq!((header.version, header.forget_at), (0, fresh.forget_at()));
}

/// An unknown schema is refused with a clear error; a body of another number or version too.
#[test]
fn strangers_are_refused() {
    let bytes = snapshot::encode(&rich());
    let own = phone('A');
    for schema in [0, SCHEMA + 1, 255] {
        let mut other = bytes.clone();
        other[0] = schema;
        let error = snapshot::decode(own, &other).unwrap_err();
        assert_eq!(error, Unreadable::Schema(schema));
        assert_eq!(error.to_string(), format!("snapshot has schema {schema}, and this otpd reads up to {SCHEMA}"));
    }
    assert_eq!(snapshot::decode(phone('B'), &bytes), Err(Unreadable::Misplaced));
    let mut other = bytes.clone();
    other[8] ^= 1;
    assert_eq!(snapshot::decode(own, &other), Err(Unreadable::Misplaced));
    assert_eq!(snapshot::decode(own, &[bytes.as_slice(), &[0]].concat()), Err(Unreadable::Damaged));
    assert_eq!(snapshot::decode(own, &[]), Err(Unreadable::Damaged));
}

/// Cut at any length it is refused; with any byte changed it is refused or read, and nothing panics.
#[test]
fn damage_is_refused() {
    let bytes = snapshot::encode(&rich());
    for length in 0..bytes.len() {
        assert_eq!(snapshot::decode(phone('A'), &bytes[..length]), Err(Unreadable::Damaged), "{length} bytes");
    }
    for place in 0..bytes.len() {
        for change in [1, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[place] ^= change;
            if let Ok(read) = snapshot::decode(phone('A'), &damaged) {
                assert_eq!(read.phone(), phone('A'));
            }
        }
    }
}

/// A length that claims more than a record can have is refused before it is believed.
#[test]
fn huge_lengths_are_refused() {
    let fresh = snapshot::encode(&Record::new(phone('A')));
    for place in HEADER_LEN..fresh.len() {
        for claim in [[0xfd; 9], [0xfc; 9], [0xfb; 9]] {
            let claimed = [&fresh[..place], &claim, &[0x7f; 64], &fresh[place..]].concat();
            assert!(snapshot::decode(phone('A'), &claimed).is_err());
        }
    }
}

/// The longest of each that a message may be made from.
fn longest_facts() -> MessageFacts {
    let longest = |bytes| Some(text(bytes).into());
    MessageFacts { locale: longest(35), origin: longest(253), app_hash: longest(11) }
}

/// A text of so many bytes, as wide as letters come.
fn text(bytes: usize) -> String {
    "𓀀".repeat(bytes / 4) + &"x".repeat(bytes % 4)
}

fn longest(head: &str, number: u64) -> Label {
    Label::new(&format!("{head}{}{number:02}", "z".repeat(24 - head.len() - 2))).unwrap()
}

fn longest_door(number: u64) -> otpd::record::Door {
    otpd::record::Door { dialect: longest("dialect", number), purpose: longest("purpose", number) }
}

/// As many addresses as are remembered, for codes and for passwords, and as many comparisons as there may be.
fn strike_from_everywhere(built: &mut Built, target: Target, door: otpd::record::Door) {
    for address in (0..8).map(|address| u64::MAX - address) {
        let (on_match, code) = (OnMatch::Approve, Code::from_digits("000000").unwrap());
        built.decide(Command::Check { target, code, on_match, session: None, address }, None);
        for (nonce, ends) in [(u64::MAX - address, true), (address, false)] {
            let began = built.decide(Command::BeginPassword { nonce, address, reveal: true }, None);
            assert!(matches!(began.outcome, Outcome::Comparing(Some(_))), "{:?}", began.outcome);
            let end = Command::EndPassword { nonce, door, right: None, renewed: None };
            if ends {
                built.decide(end, None);
            }
        }
    }
}

/// DESIGN 2: filled to every limit with the longest texts, a record stays under 8 KiB at every step, can be read
/// back, and has lost nothing that anyone was promised for good.
#[test]
fn the_fullest_record_fits() {
    let mut policy = policy(Label::of("wide"));
    (policy.attempts_max, policy.guesses.free) = (100, 1_000);
    policy.block = world::policy(Label::of("pair")).block;
    let mut built = Built::new(policy);
    built.now = T0.plus(u64::from(u32::MAX));
    let client = longest("client", 0);
    let begin = |nonce: u64| {
        let mut start = start(u64::MAX - nonce, longest_door(nonce % 100));
        start.channel = longest("channel", 0);
        start.sender = Sender { address: u64::MAX - nonce, keyed: true, unpaid: false };
        start.facts = longest_facts();
        start.metadata = (0..16).map(|note| (format!("note{note:02}"), text(26))).collect();
        start.bound_to = None;
        start
    };
    let route = longest("route", 0);
    // Sessions and a profile: an account first, by the doors that may sign in.
    for session in 0..SESSIONS_MAX as u64 {
        let mut start = begin(session);
        start.door.purpose = Label::of("login");
        let sent = built.decide(Command::Start(Box::new(start)), None);
        let sign_in = SignIn { session: u64::MAX - session, user_id: u64::MAX, client };
        if session == 0 {
            built.register(&sent, sign_in, &"x".repeat(160));
        } else {
            built.pass(&sent, OnMatch::SignIn(sign_in), None);
        }
        for generation in 0..3 {
            built.decide(Command::Refresh { session: u64::MAX - session, generation, rotate: true }, None);
        }
    }
    let half = Some(Some(text(PROFILE_BYTES_MAX / 2)));
    let patch = ProfilePatch { name: half.clone(), bio: half, ..ProfilePatch::default() };
    built.decide(Command::UpdateProfile { session: u64::MAX, patch: Box::new(patch) }, None);
    let account = built.record.account().unwrap().clone();
    assert_eq!(account.profile.name.as_ref().map(String::len), Some(PROFILE_BYTES_MAX / 2));
    // Grants, then live challenges with as many sends as the day allows, each with a kept answer.
    for nonce in 20..24 {
        let sent = built.decide(Command::Start(Box::new(begin(nonce))), None);
        built.pass(&sent, OnMatch::Grant { nonce, life_ms: 10 * MINUTE }, None);
    }
    let mut issued = Vec::new();
    for nonce in 30..40 {
        issued.push(built.decide(Command::Start(Box::new(begin(nonce))), u8::try_from(nonce).ok()));
        for resend in 1..CHALLENGE_SENDS_MAX {
            let (nonce, sender) = (u64::MAX - nonce, Sender { address: u64::MAX, keyed: true, unpaid: false });
            let (delivery, result) = (u8::try_from(resend - 1).unwrap(), SendResult::Unknown);
            let channel = longest("channel", 1);
            built.decide(Command::Settle { nonce, delivery, route, channel, result }, None);
            let key = u8::try_from(100 + resend * 10 + issued.len()).ok();
            built.decide(Command::Resend { nonce, sender, channel: Some(channel), chosen: None }, key);
        }
    }
    let live = issued.iter().rev().find_map(|sent| sent.draft.as_ref()).unwrap().nonce;
    strike_from_everywhere(&mut built, Target::Id(live), longest_door(1));
    let parts = serde_json::to_value(&built.record).unwrap();
    let lengths = [&parts["blocks"], &parts["passwords"]["comparing"]].map(|list| list.as_array().unwrap().len());
    assert_eq!(lengths, [16, 8]);
    assert!(snapshot::encode(&built.record).len() > RECORD_BYTES_MAX * 9 / 10, "the test does not fill the record");
    // Nothing that was promised for good is lost, and what was asked for last is still good.
    let export = built.decide(Command::Export { session: u64::MAX }, None).outcome;
    let Outcome::Exported(export) = export else { panic!("{export:?}") };
    assert_eq!((export.account, export.sessions.len()), (account, SESSIONS_MAX));
    assert_eq!(export.sends.len(), SENDS_MAX);
    let last = issued.iter().rev().find(|sent| sent.draft.is_some()).unwrap();
    assert!(matches!(built.pass(last, OnMatch::Approve, None), Outcome::Approved { .. }));
}

/// The most that cannot be let go fits by itself: account, sessions, grants, sends, and sixteen plain answers.
#[test]
fn an_account_on_its_way_fits() {
    let mut built = Built::new(policy(Label::of("wide")));
    let profile = Profile { bio: Some(text(PROFILE_BYTES_MAX)), ..Profile::default() };
    let (at, active) = (built.now, true);
    let password = PasswordHash::new("x".repeat(160));
    let account =
        Account { user_id: u64::MAX, created_at: at, updated_at: at, verified_at: at, profile, active, password };
    let mut bound = start(1, door("v1/phone_change"));
    bound.bound_to = Some(SessionRef { phone: phone('B'), nonce: 5 });
    let sent = built.decide(Command::Start(Box::new(bound)), None);
    built.pass(&sent, OnMatch::Approve, Some(SessionRef { phone: phone('B'), nonce: 5 }));
    let adopt =
        Command::Adopt { from: phone('B'), session: 5, account: Box::new(account.clone()), sign_in: Some(sign_in(77)) };
    assert!(matches!(built.decide(adopt, None).outcome, Outcome::SignedIn(_)));
    let released = built.decide(Command::Release { to: phone('C'), session: 77 }, None).outcome;
    let Outcome::Released(released) = released else { panic!("{released:?}") };
    assert_eq!(released.profile, account.profile);
}
