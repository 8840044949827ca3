//! Scripts: one command a line, its outcome behind the arrow.
//!
//! ```text
//! t=30s start b v1/login addr=2 → ✉0 issued b …
//! B: 3× check @v1/login wrong   → no: wrong, 2 left
//! ```
//!
//! A line may begin with `t=` (time since the beginning, `1m30s`, `5m-1ms`), with the number it is about (`A` if none
//! is named), and with `N×` to do it N times and show the last outcome. `key=k` is an `Idempotency-Key`; the body it
//! comes with is the line itself, or `body=`.

use std::collections::BTreeMap;

use expect_test::Expect;
use otpd::record::{
    AUTO, Account, Arrival, Code, Command, Door, IdempotencyKey, Label, OnMatch, Outcome, PasswordHash, ProfilePatch,
    Request, SendResult, Sender, Target, UnixMillis,
};

use super::{
    render,
    world::{T0, World, door, phone, ring, start},
};

/// Plays the script that the expectation holds and compares it with what came of it.
pub(crate) fn plays(script: &Expect) {
    let mut world = World::new();
    let lines = script.data().trim().lines().map(|line| play(&mut world, line.trim()) + "\n");
    script.assert_eq(&lines.collect::<String>());
}

fn play(world: &mut World, line: &str) -> String {
    if line.is_empty() || line.starts_with('#') {
        return line.to_owned();
    }
    let asked = line.split(['→', '⇢']).next().and_then(|asked| asked.split(" is ").next()).unwrap_or_default().trim();
    let mut words: Vec<&str> = asked.split_whitespace().collect();
    let (mut number, mut times) = ('A', 1);
    while let Some(first) = words.first() {
        if let Some(at) = first.strip_prefix("t=") {
            world.now = point(at);
        } else if let Some(name) = first.strip_suffix(':') {
            number = name.chars().next().unwrap();
        } else if let Some(count) = first.strip_suffix('×') {
            times = count.parse().unwrap();
        } else {
            break;
        }
        words.remove(0);
    }
    let mut answer = String::new();
    for turn in 1..=times {
        // Several starts are several challenges: a1, a2, …
        let named = words.get(1).map(|name| format!("{name}{turn}")).unwrap_or_default();
        let mut words = words.clone();
        if times > 1 && words[0] == "start" {
            words[1] = &named;
        }
        answer = Line::of(number, &words).answer(world);
    }
    format!("{asked} {answer}")
}

/// Reads `1m30s`, `5m-1ms`, `-2h`.
fn point(text: &str) -> UnixMillis {
    let (mut total, mut sign, mut digits, mut unit) = (0_i64, 1, String::new(), String::new());
    let mut add = |sign: i64, digits: &mut String, unit: &mut String| {
        let length = match unit.as_str() {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1_000,
            _ => 1,
        };
        total += sign * digits.parse::<i64>().unwrap_or(0) * length;
        (*digits, *unit) = (String::new(), String::new());
    };
    for letter in text.chars() {
        let ends = letter == '-' || letter == '+' || (letter.is_ascii_digit() && !unit.is_empty());
        if ends {
            add(sign, &mut digits, &mut unit);
        }
        match letter {
            '-' => sign = -1,
            '+' => sign = 1,
            '0'..='9' => digits.push(letter),
            _ => unit.push(letter),
        }
    }
    add(sign, &mut digits, &mut unit);
    UnixMillis(T0.0.checked_add_signed(total).unwrap())
}

/// One line, taken apart.
struct Line<'a> {
    number: char,
    verb: &'a str,
    /// Words after the verb that are no option.
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    fn of(number: char, words: &[&'a str]) -> Self {
        let (options, plain): (Vec<&str>, Vec<&str>) = words[1..].iter().partition(|word| word.contains('='));
        let options = options.into_iter().filter_map(|option| option.split_once('=')).collect();
        Self { number, verb: words[0], words: plain, options }
    }

    fn answer(&self, world: &mut World) -> String {
        let number = self.number;
        match self.verb {
            "failures" => format!("is {}", world.record(number).failures()),
            "move" => format!("is {}", render::moving(world.record(number).unfinished_move())),
            "forgotten" => format!("is {}", world.record(number).forget_at().map_or("never".to_owned(), render::time)),
            "user" => format!("is {:?}", world.record(number).account().map(|account| account.user_id)),
            "commits" => {
                let first = T0.0 * 1_000;
                format!("is {:?}", world.record(number).expected_version().map(|version| version - first + 1))
            }
            "keys" => {
                let ids: Vec<u16> = self.words.iter().map(|id| id.parse().unwrap()).collect();
                world.keys = ring(ids[0], &ids[1..]);
                "is done".to_owned()
            }
            _ => {
                let command = self.command(world);
                let request = Request { command, idempotency: self.idempotency() };
                let dialect = self.dialect(world);
                let decision = world.decide(number, dialect, &request);
                assert_eq!(decision.draft.is_some(), sends(&decision.outcome) && !decision.replayed);
                render::decision(world, &decision)
            }
        }
    }

    fn word(&self, place: usize) -> &'a str {
        self.words.get(place).copied().unwrap_or_else(|| panic!("{} needs more words", self.verb))
    }

    /// Whose figures count: the door that is named, the challenge's, `via=`, or `v1`.
    fn dialect(&self, world: &mut World) -> Label {
        if let Some(via) = self.options.get("via") {
            return Label::new(via).unwrap();
        }
        if let Some(named) = self.words.iter().find(|word| word.contains('/')) {
            return door(named.trim_start_matches('@')).dialect;
        }
        if matches!(self.verb, "compare" | "compared") {
            return Label::of("pair");
        }
        let challenge = self.words.first().map(|name| world.nonce(name));
        challenge.and_then(|nonce| world.doors.get(&nonce)).map_or(Label::of("v1"), |door| door.dialect)
    }

    fn idempotency(&self) -> Option<IdempotencyKey> {
        let own = format!("{} {:?}", self.verb, self.words);
        let body = self.options.get("body").map_or(own, |body| (*body).to_owned());
        let digest = |text: &str| {
            let mut bytes = [0; 16];
            text.bytes().enumerate().for_each(|(place, byte)| bytes[place % 16] ^= byte.rotate_left(3));
            bytes
        };
        self.options.get("key").map(|key| IdempotencyKey { key: digest(key), body: digest(&body) })
    }

    fn address(&self) -> u64 {
        self.options.get("addr").map_or(1, |address| address.parse().unwrap())
    }

    fn sender(&self) -> Sender {
        Sender { address: self.address(), keyed: self.words.contains(&"keyed"), unpaid: self.words.contains(&"unpaid") }
    }

    /// What stands for the hash of a password: the text behind the option.
    fn hash(&self, option: &str) -> Option<PasswordHash> {
        self.options.get(option).map(|password| PasswordHash::new((*password).to_owned()).unwrap())
    }

    fn chosen(&self) -> Option<Code> {
        self.options.get("code").map(|digits| Code::from_digits(digits).unwrap())
    }

    fn command(&self, world: &mut World) -> Command {
        match self.verb {
            "start" | "resend" | "advance" | "settle" | "receipt" | "check" | "cancel" | "read" => {
                self.challenge_command(world)
            }
            "compare" | "compared" | "look" | "who" | "shut" | "open" => self.password_command(world),
            _ => self.account_command(world),
        }
    }

    fn challenge_command(&self, world: &mut World) -> Command {
        let named = self.word(0).trim_start_matches('@');
        let nonce = world.nonce(named);
        match self.verb {
            "start" => {
                let at = self.words.iter().find(|word| word.contains('/')).map_or("v1/login", |word| *word);
                let mut start = start(nonce, door(at));
                (start.sender, start.chosen) = (self.sender(), self.chosen());
                start.digits = self.options.get("digits").map(|digits| digits.parse().unwrap());
                start.life_ms = self.options.get("life").map(|life| point(life).since(T0));
                if self.words.contains(&"auto") {
                    start.channel = AUTO;
                }
                start.bound_to = self.options.get("by").map(|by| world.session_ref(by));
                Command::Start(Box::new(start))
            }
            "resend" => {
                let channel = self.options.get("via").map(|channel| Label::new(channel).unwrap());
                Command::Resend { nonce, sender: self.sender(), channel, chosen: self.chosen() }
            }
            "advance" => {
                let right = world.codes.get(&nonce).cloned().unwrap_or_else(|| "000000".to_owned());
                let code = if self.words.contains(&"wrong") { other(&right) } else { right };
                Command::Advance { nonce, past: self.word(1).parse().unwrap(), code: Code::from_digits(&code).unwrap() }
            }
            "settle" => {
                let result = match self.word(2) {
                    "accepted" => SendResult::Accepted,
                    "failed" => SendResult::Failed { number_at_fault: false },
                    "dead" => SendResult::Failed { number_at_fault: true },
                    _ => SendResult::Unknown,
                };
                Command::Settle {
                    nonce,
                    delivery: self.word(1).parse().unwrap(),
                    route: self.route(),
                    channel: self.options.get("by").map_or(Label::of("sms"), |channel| Label::new(channel).unwrap()),
                    result,
                }
            }
            "receipt" => {
                let arrival = match self.word(2) {
                    "sent" => Arrival::Sent,
                    "delivered" => Arrival::Delivered,
                    _ => Arrival::Undelivered,
                };
                Command::Receipt { nonce, delivery: self.word(1).parse().unwrap(), route: self.route(), arrival }
            }
            "check" => self.check(world, named, nonce),
            "cancel" => Command::Cancel { nonce },
            _ => Command::Read { nonce },
        }
    }

    fn route(&self) -> Label {
        self.options.get("of").map_or(Label::of("twilio"), |route| Label::new(route).unwrap())
    }

    fn check(&self, world: &mut World, named: &str, nonce: u64) -> Command {
        let by_number = self.word(0).starts_with('@');
        let target = if by_number { Target::Newest(door(named)) } else { Target::Id(nonce) };
        let newest = world.newest.get(&(self.number, named.to_owned())).copied();
        let meant = if by_number { newest } else { Some(nonce) };
        let right = |world: &World| meant.and_then(|nonce| world.codes.get(&nonce)).cloned();
        let typed = match self.word(1) {
            "right" => right(world).unwrap_or_else(|| "000000".to_owned()),
            "wrong" => other(&right(world).unwrap_or_else(|| "000000".to_owned())),
            of if of.starts_with("of:") => world.nonce_code(&of[3..]),
            digits => digits.to_owned(),
        };
        let on_match = match (self.options.get("session"), self.options.get("grant")) {
            (Some(session), _) => OnMatch::SignIn(world.sign_in(session)),
            (None, Some(grant)) => OnMatch::Grant { nonce: world.nonce(grant), life_ms: 600_000 },
            (None, None) => OnMatch::Approve,
        };
        let session = self.options.get("by").map(|by| world.session_ref(by));
        Command::Check { target, code: Code::from_digits(&typed).unwrap(), on_match, session, address: self.address() }
    }

    fn password_command(&self, world: &mut World) -> Command {
        match self.verb {
            "compare" => {
                let (nonce, reveal) = (world.nonce(self.word(0)), !self.words.contains(&"hide"));
                Command::BeginPassword { nonce, address: self.address(), reveal }
            }
            "compared" => {
                let right = self.options.get("session").map(|session| world.sign_in(session));
                let (nonce, renewed) = (world.nonce(self.word(0)), self.hash("renewed"));
                Command::EndPassword { nonce, door: door("pair/password"), right, renewed }
            }
            "look" => Command::ReadGrant { nonce: world.nonce(self.word(0)) },
            "who" => Command::Identify,
            verb => Command::SetActive { active: verb == "open" },
        }
    }

    fn account_command(&self, world: &mut World) -> Command {
        let first = |world: &mut World| world.nonce(self.word(0));
        let by = |world: &mut World| self.options.get("by").map(|by| world.nonce(by));
        match self.verb {
            "redeem" => Command::Redeem { nonce: first(world), sign_in: world.sign_in(self.word(1)) },
            "register" => {
                let (nonce, sign_in) = (first(world), world.sign_in(self.word(1)));
                Command::Register { nonce, profile: self.patch(), password: self.hash("password"), sign_in }
            }
            "refresh" => {
                let rotate = !self.words.contains(&"keep");
                Command::Refresh { session: first(world), generation: self.word(1).parse().unwrap(), rotate }
            }
            "auth" => Command::Authenticate { session: first(world) },
            "export" => Command::Export { session: first(world) },
            "patch" => Command::UpdateProfile { session: first(world), patch: Box::new(self.patch()) },
            "end" => Command::EndSession { by: by(world), session: first(world) },
            "erase" => Command::Erase { session: first(world) },
            "unlock" => Command::Unlock,
            "release" => Command::Release { to: phone(self.letter()), session: world.nonce(self.word(1)) },
            "adopt" => {
                let session = world.nonce(self.word(1));
                let sign_in = self.options.get("session").map(|session| world.sign_in(session));
                Command::Adopt { from: phone(self.letter()), session, account: Box::new(world.released()), sign_in }
            }
            "drop-parcel" => Command::DropParcel { to: phone(self.letter()), user_id: self.word(1).parse().unwrap() },
            "drop-claim" => Command::DropClaim { from: phone(self.letter()), session: world.nonce(self.word(1)) },
            verb => panic!("no such command: {verb}"),
        }
    }

    fn letter(&self) -> char {
        self.word(0).chars().next().unwrap()
    }

    /// A profile change: `name=` with a text, `name=-` clears it, `bio=` takes a length in bytes.
    fn patch(&self) -> ProfilePatch {
        let name = self.options.get("name").map(|name| (*name != "-").then(|| (*name).to_owned()));
        let bio = self.options.get("bio").map(|length| Some("b".repeat(length.parse().unwrap())));
        ProfilePatch { name, bio, ..ProfilePatch::default() }
    }
}

impl World {
    fn nonce_code(&mut self, name: &str) -> String {
        let nonce = self.nonce(name);
        self.codes[&nonce].clone()
    }

    /// The account that the last release handed out.
    fn released(&self) -> Account {
        self.released.clone().unwrap_or_else(|| panic!("nothing was released"))
    }
}

fn sends(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Issued(_))
}

/// Another code of the same length.
pub(crate) fn other(code: &str) -> String {
    let (head, last) = code.split_at(code.len() - 1);
    let last = (last.parse::<u8>().unwrap() + 1) % 10;
    format!("{head}{last}")
}

/// The door of most tests.
pub(crate) fn login() -> Door {
    door("v1/login")
}
