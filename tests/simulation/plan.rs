//! Draws what is asked next: commands as people and their attackers ask them, from what the outside knows.

use otpd::record::{
    AUTO, Code, Command, Door, IdempotencyKey, Label, MessageFacts, Move, OnMatch, PASSWORD, PasswordHash,
    ProfilePatch, Request, Sender, SessionRef, SignIn, Start, Target,
};

use super::{
    learn::PAYMENT,
    lots::Lots,
    op::{Chore, Op},
    person::{Asked, Compared, Held, Key, Person},
    run::Sim,
};

/// The door of phone changes.
const PHONE_CHANGE_DOOR: usize = 3;
/// The door that blocks addresses and takes passwords.
const BLOCKING_DOOR: usize = 4;
/// Client addresses of those who answer.
const ADDRESSES: u64 = 4;

/// What is asked, before it is known of which node.
struct Draft {
    command: Command,
    door: usize,
    right: bool,
}

fn plain(command: Command, door: usize) -> Option<Draft> {
    Some(Draft { command, door, right: false })
}

impl Sim {
    /// A request of this person; `None` if what was drawn makes no sense for it now.
    pub(crate) async fn plan(&mut self, who: usize) -> Option<Op> {
        let node = self.lots.index(self.world.nodes.len());
        let user_id = self.world.user_id(node).await;
        if self.lots.chance(60)
            && let Some(retry) = self.plan_retry(who, node, user_id)
        {
            return Some(retry);
        }
        let drafted = match self.draft(who, user_id) {
            None if self.lots.chance(300) => self.draft_start(),
            drafted => drafted?,
        };
        let key = (self.lots.chance(400) && has_nonce(&drafted.command)).then(|| self.new_key(who, node, &drafted));
        Some(self.ask(who, node, drafted, key))
    }

    fn draft(&mut self, who: usize, user_id: Option<u64>) -> Option<Draft> {
        const WEIGHTS: [u64; 18] = [13, 40, 2, 7, 3, 8, 16, 9, 7, 5, 3, 1, 1, 1, 12, 18, 22, 4];
        let (lots, person) = (&mut self.lots, &self.people[who]);
        match lots.weighted(&WEIGHTS) {
            1 => self.draft_check(who, user_id),
            2 => plain(Command::Cancel { nonce: lots.recent(&person.asked)?.nonce }, 0),
            3 => draft_resend(lots, person),
            4 => plain(Command::Read { nonce: lots.recent(&person.asked)?.nonce }, 0),
            5 => {
                let open: Vec<&Asked> = person.asked.iter().filter(|asked| asked.has_receipt()).collect();
                let asked = if lots.chance(800) { *lots.recent(&open)? } else { lots.recent(&person.asked)? };
                plain(Command::Redeem { nonce: asked.nonce, sign_in: sign_in(lots, user_id?) }, 0)
            }
            6 => {
                let nonce = lots.recent(&person.grants)?.nonce;
                let (profile, password) = (ProfilePatch::default(), lots.chance(900).then(|| password(lots)));
                plain(Command::Register { nonce, profile, password, sign_in: sign_in(lots, user_id?) }, 0)
            }
            7 => {
                let held = pick_held(lots, person)?;
                let generation = held.generation.saturating_sub([0, 0, 0, 0, 0, 1, 1, 2][lots.index(8)]);
                plain(Command::Refresh { session: held.nonce, generation, rotate: lots.chance(850) }, 0)
            }
            8 => plain(Command::Authenticate { session: pick_held(lots, person)?.nonce }, 0),
            9 => {
                let session = pick_held(lots, person).filter(|held| held.opened.is_some())?.nonce;
                let bio = Some(Some(format!("words {}", lots.draw())));
                plain(
                    Command::UpdateProfile { session, patch: Box::new(ProfilePatch { bio, ..Default::default() }) },
                    0,
                )
            }
            10 => {
                let session = pick_held(lots, person)?.nonce;
                let by = if lots.chance(500) { Some(pick_held(lots, person)?.nonce) } else { None };
                plain(Command::EndSession { by, session }, 0)
            }
            11 => plain(Command::Erase { session: pick_held(lots, person)?.nonce }, 0),
            12 => plain(Command::Unlock, 0),
            13 => plain(Command::Export { session: pick_held(lots, person)?.nonce }, 0),
            14 => self.draft_phone_change(),
            15 => {
                if !person.registered && lots.chance(920) {
                    return None;
                }
                let (nonce, from, reveal) = (lots.draw(), address(lots), lots.chance(500));
                plain(Command::BeginPassword { nonce, address: from, reveal }, BLOCKING_DOOR)
            }
            16 => self.draft_compared(who),
            17 => match lots.weighted(&[3, 5, 2, 2]) {
                0 => plain(Command::SetActive { active: false }, 0),
                1 => plain(Command::SetActive { active: true }, 0),
                2 => plain(Command::Identify, 0),
                _ => plain(Command::ReadGrant { nonce: lots.recent(&person.grants)?.nonce }, 0),
            },
            _ => Some(self.draft_start()),
        }
    }

    /// What a comparison came to; now and then somebody says that one was right which could not be.
    fn draft_compared(&mut self, who: usize) -> Option<Draft> {
        let (lots, person) = (&mut self.lots, &self.people[who]);
        let open: Vec<&Compared> =
            person.compared.iter().filter(|it| it.begun.is_some() && it.ended.is_none()).collect();
        let compared = if lots.chance(900) { *lots.recent(&open)? } else { lots.recent(&person.compared)? };
        let is_right = if compared.hash.is_some() { lots.chance(550) } else { lots.chance(100) };
        let right = is_right.then(|| sign_in(lots, 0));
        let renewed = (is_right && lots.chance(200)).then(|| password(lots));
        let door = Door { purpose: PASSWORD, ..self.world.policies[BLOCKING_DOOR].0 };
        plain(Command::EndPassword { nonce: compared.nonce, door, right, renewed }, BLOCKING_DOOR)
    }

    fn draft_start(&mut self) -> Draft {
        let door = [0, 1, PAYMENT, BLOCKING_DOOR][self.lots.weighted(&[6, 5, 2, 4])];
        Draft { command: self.start(door, None), door, right: false }
    }

    fn start(&mut self, door: usize, bound_to: Option<SessionRef>) -> Command {
        let lots = &mut self.lots;
        let chosen = lots.chance(80).then(|| {
            let digits = usize::try_from(lots.between(4, 10)).unwrap();
            Code::from_digits(&format!("{:010}", lots.below(10_000_000_000))[..digits]).unwrap()
        });
        Command::Start(Box::new(Start {
            nonce: lots.draw(),
            door: self.world.policies[door].0,
            channel: if lots.chance(400) { AUTO } else { Label::of("sms") },
            chosen,
            digits: lots.chance(100).then(|| u8::try_from(lots.between(4, 8)).unwrap()),
            life_ms: lots.chance(100).then(|| lots.between(60_000, 600_000)),
            sender: sender(lots),
            facts: MessageFacts::default(),
            metadata: if lots.chance(50) { vec![("note".to_owned(), "x".repeat(100))] } else { Vec::new() },
            bound_to,
        }))
    }

    /// Someone who is signed in asks to move to another number; the number is asked.
    fn draft_phone_change(&mut self) -> Option<Draft> {
        let from = self.lots.index(self.people.len());
        let (before, after) = self.people.split_at(from);
        let sessions = |person: &Person| {
            let open = person.held.iter().rev().find(|held| held.opened.is_some() && held.ended.is_none())?;
            Some(SessionRef { phone: person.phone, nonce: open.nonce })
        };
        let bound_to = Some(after.iter().chain(before).find_map(sessions)?);
        Some(Draft { command: self.start(PHONE_CHANGE_DOOR, bound_to), door: PHONE_CHANGE_DOOR, right: false })
    }

    /// A check: right or wrong, by id or by number, in time or not, at its own door or another.
    fn draft_check(&mut self, who: usize, user_id: Option<u64>) -> Option<Draft> {
        let now = self.world.latest_ms();
        let (lots, person) = (&mut self.lots, &self.people[who]);
        let live: Vec<&Asked> = person.asked.iter().filter(|asked| asked.is_live(now)).collect();
        let bound = live.iter().rev().find(|asked| asked.bound_to.is_some()).filter(|_| lots.chance(600));
        let asked = match bound {
            Some(bound) => bound,
            None if lots.chance(850) => lots.recent(&live)?,
            None => lots.recent(&person.asked)?,
        };
        let known = asked.code.as_ref()?;
        let right = lots.chance(450);
        let code = if right { known.clone() } else { other_code(lots, known, person) };
        let by_number = lots.chance(450);
        let door = if by_number && lots.chance(80) { lots.index(self.world.policies.len()) } else { asked.door };
        let target = if by_number { Target::Newest(self.world.policies[door].0) } else { Target::Id(asked.nonce) };
        let on_match = match lots.weighted(&[4, 3, 5]) {
            0 => OnMatch::Approve,
            1 => OnMatch::SignIn(sign_in(lots, user_id?)),
            _ => OnMatch::Grant { nonce: lots.draw(), life_ms: 5 * otpd::record::MINUTE },
        };
        let session = asked.bound_to.filter(|_| lots.chance(900));
        let from = address(lots);
        Some(Draft { command: Command::Check { target, code, on_match, session, address: from }, door, right })
    }

    /// The same key again: with what it came with, or (rarely) with something else.
    fn plan_retry(&mut self, who: usize, node: usize, user_id: Option<u64>) -> Option<Op> {
        let key = self.lots.recent(&self.people[who].keys)?;
        let (key, door, mut command) = ((key.key, key.body), key.door, key.command.clone());
        renew(&mut command, &mut self.lots, user_id?);
        let other_body = self.lots.chance(80);
        let key = IdempotencyKey { key: key.0, body: if other_body { [0; 16] } else { key.1 } };
        let right = self.is_right(who, &command);
        let mut op = self.ask(who, node, Draft { command, door, right }, Some(key));
        (op.retry, op.other_body) = (true, other_body);
        Some(op)
    }

    /// Is it a check by id with the code of that id?
    fn is_right(&self, who: usize, command: &Command) -> bool {
        let Command::Check { target: Target::Id(nonce), code, .. } = command else { return false };
        let known = self.people[who].asked(*nonce).and_then(|asked| asked.code.as_ref());
        known.is_some_and(|known| known.matches(code))
    }

    fn new_key(&mut self, who: usize, node: usize, draft: &Draft) -> IdempotencyKey {
        let [key, body] =
            [self.lots.draw(), self.lots.draw()].map(|it| [it.to_be_bytes(); 2].concat().try_into().unwrap());
        self.people[who].keys.push(Key {
            key,
            body,
            door: draft.door,
            command: draft.command.clone(),
            nonces: Vec::new(),
            kept: None,
            told: 0,
            foreign: 0,
            send_failed: false,
            asked_at: otpd::clock::Clock::now(&*self.world.clocks[node]).0,
            later: 0,
            clock_peak: 0,
            breaks: 0,
        });
        IdempotencyKey { key, body }
    }

    /// A step of a phone change.
    pub(crate) fn plan_chore(&mut self, chore: Chore) -> Option<Op> {
        let (phone, command) = chore.command();
        let who = self.people.iter().position(|person| person.phone == phone)?;
        let node = self.lots.index(self.world.nodes.len());
        let mut op = self.ask(who, node, Draft { command, door: 0, right: false }, None);
        op.chore = Some(chore);
        Some(op)
    }

    /// A request without anything special.
    pub(crate) fn plain(&mut self, who: usize, command: Command) -> Op {
        let node = self.lots.index(self.world.nodes.len());
        self.ask(who, node, Draft { command, door: 0, right: false }, None)
    }

    /// The claim of a phone change: the next thing is to fetch the account.
    pub(crate) async fn begin_chore(&mut self, change: Move, node: usize) {
        let user_id = self.world.user_id(node).await;
        let sign_in = user_id.map(|user_id| sign_in(&mut self.lots, user_id));
        self.chores.push_back(Chore::begin(change, sign_in));
    }

    /// What is sent to the number that a request asks.
    pub(crate) fn request(op: &Op, people: &[Person]) -> Request {
        let key = op.key.and_then(|key| people[op.who].keys.iter().find(|it| it.key == key));
        let body = |key: &Key| if op.other_body { [0; 16] } else { key.body };
        let idempotency = key.map(|key| IdempotencyKey { key: key.key, body: body(key) });
        Request { command: op.command.clone(), idempotency }
    }

    fn ask(&mut self, who: usize, node: usize, draft: Draft, key: Option<IdempotencyKey>) -> Op {
        let Draft { command, door, right } = draft;
        self.moment += 1;
        let mut op = Op {
            who,
            node,
            door,
            command,
            key: key.map(|key| key.key),
            other_body: false,
            right,
            may_match: false,
            chore: None,
            retry: false,
            asked: self.moment,
            alone: None,
            delay_ms: 0,
            seen_at: 0,
            breaks: 0,
            was_shut: None,
            comparable_until: None,
        };
        if right && matches!(op.command, Command::Check { target: Target::Newest(_), .. }) {
            op.right = false; // whose code it is there, the number decides
        }
        if self.lots.chance(300) {
            op.delay_ms = self.lots.below(400);
        }
        op
    }
}

impl Asked {
    /// Could its code still be good?
    fn is_live(&self, now: u64) -> bool {
        self.code.is_some() && self.approved.is_none() && self.canceled.is_none() && now < self.expires_at
    }

    fn has_receipt(&self) -> bool {
        self.approved.is_some() && self.redeemed.is_none()
    }

    /// What is known of a challenge when it is asked for.
    pub(crate) fn new(start: &Start, door: usize) -> Self {
        Self {
            nonce: start.nonce,
            door,
            code: None,
            chosen: start.chosen.is_some(),
            expires_at: u64::MAX,
            bound_to: start.bound_to,
            told_remaining: Default::default(),
            approved: None,
            approved_at: 0,
            voided: None,
            redeemed: None,
            canceled: None,
            told: None,
        }
    }
}

impl Held {
    /// What is known of a session when it is asked for.
    pub(crate) fn new(sign_in: &SignIn, asked: u64, open: u64, breaks: usize) -> Self {
        Self {
            nonce: sign_in.session,
            user_id: sign_in.user_id,
            generation: 0,
            opened: None,
            doubts: 0,
            ended: None,
            expires_at: u64::MAX,
            asked,
            open,
            clock_peak: 0,
            breaks,
        }
    }
}

/// A session that should be alive, mostly.
fn pick_held<'a>(lots: &mut Lots, person: &'a Person) -> Option<&'a Held> {
    let open: Vec<&Held> = person.held.iter().filter(|held| held.opened.is_some() && held.ended.is_none()).collect();
    if lots.chance(750) { lots.recent(&open).copied() } else { lots.recent(&person.held) }
}

fn sender(lots: &mut Lots) -> Sender {
    Sender { address: lots.below(3), keyed: lots.chance(300), unpaid: false }
}

/// Mostly one and the same.
fn address(lots: &mut Lots) -> u64 {
    if lots.chance(700) { 0 } else { lots.below(ADDRESSES) }
}

/// What stands for the hash of a password that nobody has had before.
fn password(lots: &mut Lots) -> PasswordHash {
    PasswordHash::new(format!("{:x}", lots.draw())).unwrap()
}

fn sign_in(lots: &mut Lots, user_id: u64) -> SignIn {
    SignIn { session: lots.draw(), user_id, client: Label::of("otpd") }
}

fn draft_resend(lots: &mut Lots, person: &Person) -> Option<Draft> {
    let asked = lots.recent(&person.asked)?;
    if let Some(code) = asked.code.clone().filter(|_| lots.chance(400)) {
        let past = u8::try_from(lots.below(4)).unwrap();
        return plain(Command::Advance { nonce: asked.nonce, past, code }, asked.door.min(PAYMENT));
    }
    let chosen = asked.code.clone().filter(|_| asked.chosen && lots.chance(900));
    plain(Command::Resend { nonce: asked.nonce, sender: sender(lots), channel: None, chosen }, asked.door.min(PAYMENT))
}

/// Digits that no challenge of this person has, mostly as many as this one.
fn other_code(lots: &mut Lots, known: &Code, person: &Person) -> Code {
    let digits = if lots.chance(50) { 3 } else { usize::from(known.digits()) };
    loop {
        let text = &format!("{:010}", lots.below(10_000_000_000))[..digits];
        let other = Code::from_digits(text).unwrap();
        if !person.asked.iter().any(|asked| asked.code.as_ref().is_some_and(|code| code.matches(&other))) {
            return other;
        }
    }
}

/// Does it draw 64 bits that would show if it were done twice, or change something?
fn has_nonce(command: &Command) -> bool {
    matches!(
        command,
        Command::Start(_)
            | Command::Resend { .. }
            | Command::Check { .. }
            | Command::Redeem { .. }
            | Command::Register { .. }
            | Command::EndSession { .. }
            | Command::Erase { .. }
    )
}

/// A retry draws its random bits anew, as the service does.
fn renew(command: &mut Command, lots: &mut Lots, user_id: u64) {
    match command {
        Command::Start(start) => start.nonce = lots.draw(),
        Command::Redeem { sign_in: it, .. }
        | Command::Register { sign_in: it, .. }
        | Command::Check { on_match: OnMatch::SignIn(it), .. } => *it = sign_in(lots, user_id),
        Command::Check { on_match: OnMatch::Grant { nonce, .. }, .. } => *nonce = lots.draw(),
        _ => {}
    }
}
