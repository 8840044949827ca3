//! The use cases, in the core's words: what every API is a translation onto. No HTTP here.
//!
//! `verification` (start, resend, check, cancel, read) · `sign_in` (receipts, refresh, revocation) · `tokens` (signing) ·
//! `passwords` (registering, signing in with a password) · `user` (what a signed-in person may do) · `admin` · `moving`
//! (phone change).
//!
//! A send: `proof_of_work` (if it is asked for) · `clearance` (may it be made, and who pays) · `sending` (from a draft to a
//! settled send) · `auto` (another way after silence) · `receipts` (what becomes of it).
//!
//! Typed text is read by `number`, `code_input` and `profile`; `audit` and `meters` tell what happened.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a use case names the outcomes its command can have; every other one is a refusal or `unexpected`"
)]

mod admin;
pub mod audit;
mod auto;
mod clearance;
pub mod code_input;
pub mod digits;
mod failure;
mod meters;
mod moving;
pub mod number;
mod passwords;
pub mod profile;
pub mod proof_of_work;
mod receipts;
mod sending;
mod sign_in;
mod to_its_end;
pub mod tokens;
mod user;
mod user_ids;
mod verification;

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use futures_util::FutureExt;
use tokio_util::task::TaskTracker;

pub use self::{
    admin::DeadLetterFate,
    failure::{Failure, Refused, whole_seconds},
    passwords::GrantRef,
    proof_of_work::{Challenge, ProofOfWork},
    receipts::{Poster, ReceiptFailure, ReceiptSeen, ReceiptSettings},
    sign_in::Introspection,
    tokens::{RefreshStyle, SignedInTokens, TokenFacts, TokenStyle},
    user::User,
    user_ids::UserIds,
    verification::{Checked, Code, StartInput, Verification, VerificationRef},
};
use crate::{
    clock::Clock,
    entropy::Entropy,
    events::Events,
    password::Hasher,
    phone::{Directory, Reply},
    record::{
        Command, Door, IdempotencyKey, Keyring, LABEL_LEN_MAX, Label, Outcome, PhoneNumber, Policy, Refusal, Request,
        SealedId, SendQuota, Sender, UnixMillis,
    },
    sms::{self, text::CodeText},
    spending::Keeper,
    token::{Caller, HexId, TokenMaker},
    webhooks::DeadLetters,
};

/// One API over the core: its name and its figures.
#[derive(Debug, Clone)]
pub struct Dialect {
    /// `v1` or the dialect's name, as in metrics.
    pub name: &'static str,
    /// The same, for the record.
    pub label: Label,
    /// Its figures.
    pub policy: Arc<Policy>,
    /// How its tokens differ from the canonical ones.
    pub tokens: TokenStyle,
    /// What its messages say, if not what all others do.
    pub text: Option<Arc<CodeText>>,
}

impl Dialect {
    /// An API of this name with these figures.
    pub fn new(name: &'static str, policy: Policy) -> Self {
        let (tokens, text) = (TokenStyle::default(), None);
        Self { name, label: Label::of(name), policy: Arc::new(policy), tokens, text }
    }

    /// Its door of that purpose.
    pub fn door(&self, purpose: Label) -> Door {
        Door { dialect: self.label, purpose }
    }
}

/// Where a request came from.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Ties answers, logs and audit events together.
    pub request_id: Arc<str>,
    /// The client's address.
    pub address: IpAddr,
    /// The part of it that limits go by (IPv6: the /64).
    pub bucket: IpAddr,
    /// The back end that called with a key, if one did.
    pub caller: Option<Caller>,
    /// The proof of work that came along, unread.
    pub proof: Option<String>,
    /// The request's `Idempotency-Key` and a digest of what it asks, if a key came.
    pub idempotency: Option<IdempotencyInput>,
}

/// An `Idempotency-Key` and what it came with.
#[derive(Clone)]
pub struct IdempotencyInput {
    /// The session of the access token that came with it: kept answers are for the person they were made for.
    pub session: Option<HexId>,
    /// The key as the client sent it.
    pub key: String,
    /// Operation and body, so that another use of the key is noticed.
    pub asked: Vec<u8>,
}

impl std::fmt::Debug for IdempotencyInput {
    /// What was asked may hold a code or a token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdempotencyInput(***)")
    }
}

/// A success, with what its headers need.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// True if it is the kept answer of an earlier request.
    pub replayed: bool,
    /// The send window as it stands.
    pub quota: SendQuota,
    /// The time it was decided at.
    pub now: UnixMillis,
}

impl<T> Answer<T> {
    fn of(reply: &Reply, value: T) -> Self {
        Self { value, replayed: reply.replayed, quota: reply.quota, now: reply.now }
    }
}

/// What the use cases work with.
#[derive(Debug)]
pub struct Parts {
    /// The numbers.
    pub directory: Directory,
    /// The way out.
    pub sender: sms::sender::Sender,
    /// What may be sent, and what it may cost.
    pub keeper: Keeper,
    /// What messages say.
    pub texts: sms::text::Texts,
    /// Work that is asked for before a message is sent, if any is.
    pub proof_of_work: Option<ProofOfWork>,
    /// Codes and ids.
    pub keys: Arc<Keyring>,
    /// Tokens.
    pub tokens: TokenMaker,
    /// Passwords.
    pub passwords: Hasher,
    /// Fresh user ids.
    pub user_ids: UserIds,
    /// By which a use case tells what happens to the node.
    pub events: Events,
    /// Events that could not be delivered.
    pub dead_letters: DeadLetters,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub entropy: Arc<dyn Entropy>,
    /// The names of all dialects, `v1` among them: the values of a metric's label.
    pub dialects: Vec<&'static str>,
    /// Numbers that nothing is sent to, with the digits of their codes.
    pub test_numbers: HashMap<PhoneNumber, String>,
    /// Messages of channel `auto` that are watched over at once; the rest stay at their first way.
    pub auto_waiting_max: usize,
    /// Limits of receipts.
    pub receipts: ReceiptSettings,
    /// Answer starts with their code (`dev.show_codes`); never beside a gateway that really sends.
    pub show_codes: bool,
}

/// The use cases. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    parts: Arc<Parts>,
    tasks: TaskTracker,
    waiting: Arc<auto::Waiting>,
    meters: Arc<meters::Meters>,
    receipts: Arc<receipts::Receipts>,
}

fn address_octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The client of a sign-in without an API key, as in `client_id`.
const OWN_CLIENT: Label = Label::of("otpd");

impl Service {
    /// A service over its parts. Make it after the metrics recorder was installed: it keeps the handles.
    pub fn new(parts: Parts) -> Self {
        let meters = Arc::new(meters::Meters::new(&parts.dialects));
        let waiting = Arc::new(auto::Waiting::new(parts.auto_waiting_max));
        let receipts = Arc::new(receipts::Receipts::new(parts.receipts));
        Self { parts: Arc::new(parts), tasks: TaskTracker::new(), waiting, meters, receipts }
    }

    /// The clock that every decision goes by.
    pub fn now(&self) -> UnixMillis {
        self.parts.clock.now()
    }

    /// The token maker: keys, issuer, audience.
    pub fn tokens(&self) -> &TokenMaker {
        &self.parts.tokens
    }

    /// The texts: which WebOTP hosts and app hashes are configured.
    pub fn texts(&self) -> &sms::text::Texts {
        &self.parts.texts
    }

    /// Waits until sends and phone changes under way have ended. Call it after the doors are closed.
    pub async fn finish(&self) {
        self.waiting.close();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Runs a use case to its end, so that it is told of (in its result, the audit log and the metrics) even if the client
    /// hangs up between the change and the answer (security 35).
    fn to_its_end<T, F>(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        work: impl FnOnce(Self, Dialect, Origin) -> F,
    ) -> impl Future<Output = Result<T, Failure>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let work = work(self.clone(), dialect.clone(), origin.clone());
        to_its_end::to_its_end(&self.tasks, work)
            .map(|ended| ended.unwrap_or(Err(Failure::Internal("a use case panicked"))))
    }

    /// A purpose that stands for a text which is none by itself: 24 hexadecimal digits. Keyed, so that nobody can look
    /// for two texts of one purpose; stable over a change of keys.
    pub fn purpose_for(&self, text: &str) -> Option<Label> {
        let hex = SealedId(self.parts.keys.tag("purpose", &[text.as_bytes()])).to_hex();
        Label::new(hex.get(..LABEL_LEN_MAX)?).ok()
    }

    fn draw(&self) -> u64 {
        self.parts.entropy.draw()
    }

    /// Who asks for a send to this number.
    fn sender_for(&self, origin: &Origin, phone: PhoneNumber) -> Sender {
        Sender { unpaid: self.parts.test_numbers.contains_key(&phone), ..self.sender_of(origin) }
    }

    fn sender_of(&self, origin: &Origin) -> Sender {
        let tag = self.parts.keys.tag("address", &[&address_octets(origin.bucket)]);
        let address = u64::from_be_bytes(tag.first_chunk::<8>().copied().unwrap_or_default());
        Sender { address, keyed: origin.caller.is_some(), unpaid: false }
    }

    fn client_of(origin: &Origin) -> Label {
        origin.caller.as_ref().and_then(|caller| Label::new(&caller.id).ok()).unwrap_or(OWN_CLIENT)
    }

    fn request(&self, origin: &Origin, command: Command) -> Arc<Request> {
        let idempotency = origin.idempotency.as_ref().map(|input| {
            // A key stands for one caller. Who has neither API key nor session is known by her address, or a stranger
            // could occupy a key that is easy to guess and be told the answer.
            let session = input.session.map(|sid| sid.0.to_vec());
            let caller = match (&origin.caller, session) {
                (Some(caller), session) => [caller.id.as_bytes(), &session.unwrap_or_default()].concat(),
                (None, Some(session)) => session,
                (None, None) => address_octets(origin.bucket),
            };
            let tag = |label, parts: &[&[u8]]| self.parts.keys.tag(label, parts);
            IdempotencyKey {
                key: tag("idempotency key", &[&caller, input.key.as_bytes()]),
                body: tag("idempotency body", &[&input.asked]),
            }
        });
        Arc::new(Request { command, idempotency })
    }

    /// Asks a number's actor. An account found on its way is brought home first, and then it is asked once more.
    async fn ask(&self, dialect: &Dialect, phone: PhoneNumber, request: Arc<Request>) -> Result<Reply, Failure> {
        let reply = self.ask_once(dialect, phone, Arc::clone(&request)).await?;
        let Outcome::Refused(Refusal::MoveUnfinished(unfinished)) = reply.outcome else { return Ok(reply) };
        // Boxed: rare, and every request would carry room for it.
        let once_more = async {
            // Whatever comes of it, the second answer is the caller's.
            let _finished = self.finish_move(dialect, unfinished, None).await;
            self.ask_once(dialect, phone, request).await
        };
        Box::pin(once_more).await
    }

    async fn ask_once(&self, dialect: &Dialect, phone: PhoneNumber, request: Arc<Request>) -> Result<Reply, Failure> {
        let reply = self.parts.directory.ask(phone, Arc::clone(&dialect.policy), request).await;
        let reply = reply.inspect_err(|fault| self.meters.fault(dialect.name, *fault))?;
        if let Some(verified) = &reply.verified {
            self.code_given(phone, verified, reply.now);
        }
        Ok(reply)
    }

    /// Counts a request that an API refused before it came here. `reason` is one of
    /// [`REFUSAL_REASONS`](crate::metrics::REFUSAL_REASONS).
    pub fn count_refusal(&self, dialect: &Dialect, reason: &'static str) {
        self.meters.refused(dialect.name, reason);
    }

    /// Tells operators of a caller who was not let in: by which rule (`key`, `scope`), never what she presented.
    pub fn turned_away(&self, dialect: &Dialect, reason: &'static str, address: IpAddr, request_id: &str) {
        self.count_refusal(dialect, reason);
        audit::turned_away(dialect, reason, address, request_id);
    }

    /// Turns a refusal into a failure and counts it.
    fn refused(&self, dialect: &Dialect, reply: &Reply, refusal: Refusal) -> Failure {
        self.meters.refusal(dialect.name, &refusal);
        Failure::Refused(Refused { refusal, now: reply.now, quota: reply.quota })
    }

    /// An outcome that the command cannot have.
    fn unexpected(&self, dialect: &Dialect, reply: &Reply) -> Failure {
        match reply.outcome {
            Outcome::Refused(refusal) => self.refused(dialect, reply, refusal),
            _ => Failure::Internal("the core answered another question"),
        }
    }
}
