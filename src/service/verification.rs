//! Verifications: start, resend, check, cancel, read.

use std::sync::Arc;

use crate::record::{
    AUTO, ChallengeView, Command, IdKind, Keyring, Label, MessageFacts, OnMatch, Outcome, PhoneNumber, Request,
    SealedId, SessionRef, Start, Target,
};

pub use crate::record::Code;

use crate::sms::receipt::Verdict;

use super::{Answer, Dialect, Failure, Origin, Service, SignedInTokens, audit, sending::way};

/// What a start asks for, read and checked.
#[derive(Debug, Clone)]
pub struct StartInput {
    /// The number.
    pub phone: PhoneNumber,
    /// What for.
    pub purpose: Label,
    /// By what.
    pub channel: Label,
    /// What the text is made from.
    pub facts: MessageFacts,
    /// Digits, if not the policy's.
    pub digits: Option<u8>,
    /// Life in milliseconds, if not the policy's.
    pub life_ms: Option<u64>,
    /// The caller's own code.
    pub chosen: Option<Code>,
    /// The caller's notes.
    pub metadata: Vec<(String, String)>,
    /// The session a phone change belongs to.
    pub bound_to: Option<SessionRef>,
}

impl StartInput {
    /// A code of the policy's own form, by SMS.
    pub fn plain(phone: PhoneNumber, purpose: Label) -> Self {
        Self {
            phone,
            purpose,
            channel: Label::of("sms"),
            facts: MessageFacts::default(),
            digits: None,
            life_ms: None,
            chosen: None,
            metadata: Vec::new(),
            bound_to: None,
        }
    }
}

/// A verification as its holder may see it.
#[derive(Debug, Clone)]
pub struct Verification {
    /// `ver_` and 32 hexadecimal digits.
    pub id: String,
    /// Whose number.
    pub phone: PhoneNumber,
    /// How it stands.
    pub view: ChallengeView,
    /// The code just sent, under `dev.show_codes` alone.
    pub shown_code: Option<Code>,
}

/// What every verification id starts with.
const ID_PREFIX: &str = "ver_";

impl Verification {
    pub(super) fn new(keys: &Keyring, phone: PhoneNumber, view: ChallengeView) -> Self {
        let sealed = keys.seal(view.key, IdKind::Verification, phone, view.nonce);
        Self { id: [ID_PREFIX, &sealed.to_hex()].concat(), phone, view, shown_code: None }
    }
}

/// A verification id, opened: it names its number and its challenge.
#[derive(Debug, Clone, Copy)]
pub struct VerificationRef {
    pub(super) phone: PhoneNumber,
    pub(super) nonce: u64,
}

/// A right code.
#[derive(Debug, Clone)]
pub enum Checked {
    /// Approved; the receipt proves it for a minute.
    Approved {
        /// The verification.
        verification: Verification,
        /// A signed JWT.
        receipt: crate::token::Token,
        /// True if the number has no account yet.
        is_new_user: bool,
    },
    /// A phone change went through: the account is here, with a session.
    Moved(SignedInTokens),
}

impl Service {
    /// Opens a verification id. One that we did not make is refused before any actor is started.
    pub fn verification(&self, id: &str) -> Result<VerificationRef, Failure> {
        let sealed = id.strip_prefix(ID_PREFIX).and_then(SealedId::from_hex).ok_or(Failure::UnknownId)?;
        let opened = self.parts.keys.open(IdKind::Verification, sealed).ok_or(Failure::UnknownId)?;
        Ok(VerificationRef { phone: opened.phone, nonce: opened.nonce })
    }

    /// Starts a verification and sends its code.
    pub async fn start(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        input: StartInput,
    ) -> Result<Answer<Verification>, Failure> {
        let way = way(input.channel);
        let digits = input.digits.unwrap_or(dialect.policy.code_digits);
        let chosen = input.chosen.or_else(|| self.test_code(input.phone, digits));
        let command = Command::Start(Box::new(Start {
            nonce: self.draw(),
            door: dialect.door(input.purpose),
            channel: input.channel,
            chosen,
            digits: input.digits,
            life_ms: input.life_ms,
            sender: self.sender_for(origin, input.phone),
            facts: input.facts,
            metadata: input.metadata,
            bound_to: input.bound_to,
        }));
        self.issue(dialect, origin, input.phone, way, command).await
    }

    /// The fixed code of a test number at a door of so many digits; a caller's own code goes before it.
    fn test_code(&self, phone: PhoneNumber, digits: u8) -> Option<Code> {
        let fixed = self.parts.test_numbers.get(&phone)?;
        let code: String = fixed.chars().cycle().take(usize::from(digits)).collect();
        Code::from_digits(&code)
    }

    /// Sends the same code again, by another channel if one is named.
    pub async fn resend(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        of: VerificationRef,
        channel: Option<Label>,
        chosen: Option<Code>,
    ) -> Result<Answer<Verification>, Failure> {
        // It goes by its own channel unless another is named, and that is what money is set aside for. One that is gone
        // may have a kept answer.
        let known = match self.read(dialect, of).await {
            Ok(answer) => Some(answer.value.view),
            Err(Failure::Refused(_)) => None,
            Err(failure) => return Err(failure),
        };
        let by = channel.or_else(|| known.as_ref().map(|view| view.channel)).unwrap_or(AUTO);
        let chosen = chosen.or_else(|| self.test_code(of.phone, known?.digits));
        let sender = self.sender_for(origin, of.phone);
        let command = Command::Resend { nonce: of.nonce, sender, channel, chosen };
        self.issue(dialect, origin, of.phone, way(by), command).await
    }

    /// Checks a code by id.
    pub async fn check(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        of: VerificationRef,
        code: Code,
        session: Option<SessionRef>,
    ) -> Result<Answer<Checked>, Failure> {
        self.approve(dialect, origin, of.phone, (Target::Id(of.nonce), code, session)).await
    }

    /// Checks a code against the newest verification of a number and purpose.
    pub async fn check_newest(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        (phone, purpose): (PhoneNumber, Label),
        code: Code,
        session: Option<SessionRef>,
    ) -> Result<Answer<Checked>, Failure> {
        self.approve(dialect, origin, phone, (Target::Newest(dialect.door(purpose)), code, session)).await
    }

    /// Checks a code by number, and no more: neither a receipt nor a session comes of it.
    pub async fn confirm_newest(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        (phone, purpose): (PhoneNumber, Label),
        code: Code,
    ) -> Result<Answer<()>, Failure> {
        let target = Target::Newest(dialect.door(purpose));
        let address = self.sender_of(origin).address;
        let check = Command::Check { target, code, on_match: OnMatch::Approve, session: None, address };
        let request = self.request(origin, check);
        self.to_its_end(dialect, origin, move |service, dialect, origin| async move {
            let reply = service.ask(&dialect, phone, request).await?;
            if !reply.replayed {
                service.meters.check(dialect.name, &reply.outcome);
            }
            let Outcome::Approved { .. } = &reply.outcome else {
                let failure = service.unexpected(&dialect, &reply);
                audit::refused("code_checked", &dialect, &origin, phone, &failure);
                return Err(failure);
            };
            if !reply.replayed {
                audit::done("code_checked", &dialect, &origin, phone);
            }
            Ok(Answer::of(&reply, ()))
        })
        .await
    }

    async fn approve(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        (target, code, session): (Target, Code, Option<SessionRef>),
    ) -> Result<Answer<Checked>, Failure> {
        let address = self.sender_of(origin).address;
        let check = Command::Check { target, code, on_match: OnMatch::Approve, session, address };
        let request = self.request(origin, check);
        self.to_its_end(dialect, origin, |service, dialect, origin| async move {
            service.approve_now(&dialect, &origin, phone, request, session).await
        })
        .await
    }

    async fn approve_now(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        phone: PhoneNumber,
        request: Arc<Request>,
        session: Option<SessionRef>,
    ) -> Result<Answer<Checked>, Failure> {
        let reply = self.ask(dialect, phone, request).await?;
        if !reply.replayed {
            self.meters.check(dialect.name, &reply.outcome);
        }
        let checked = || {
            if !reply.replayed {
                audit::done("code_checked", dialect, origin, phone);
            }
        };
        match reply.outcome.clone() {
            Outcome::Approved { view, is_new_user, at } => {
                checked();
                let verification = Verification::new(&self.parts.keys, phone, view);
                let receipt = self.receipt(&verification, at)?;
                Ok(Answer::of(&reply, Checked::Approved { verification, receipt, is_new_user }))
            }
            Outcome::Claimed { from, .. } => {
                checked();
                let moved = self.complete_move(dialect, origin, from, phone, session).await?;
                Ok(Answer::of(&reply, Checked::Moved(moved)))
            }
            // A retry of a check that moved an account.
            Outcome::SignedIn(signed_in) => {
                Ok(Answer::of(&reply, Checked::Moved(self.sign(dialect, phone, &signed_in, reply.now)?)))
            }
            _ => {
                let failure = self.unexpected(dialect, &reply);
                audit::refused("code_checked", dialect, origin, phone, &failure);
                Err(failure)
            }
        }
    }

    /// Ends a verification.
    pub async fn cancel(
        &self,
        dialect: &Dialect,
        origin: &Origin,
        of: VerificationRef,
    ) -> Result<Answer<Verification>, Failure> {
        let request = self.request(origin, Command::Cancel { nonce: of.nonce });
        self.to_its_end(dialect, origin, |service, dialect, origin| async move {
            let answer = service.show(&dialect, of.phone, request).await?;
            let view = &answer.value.view;
            service.conclude(of.phone, (view.key, view.nonce), &view.deliveries, Verdict::Canceled);
            audit::done("verification_canceled", &dialect, &origin, of.phone);
            Ok(answer)
        })
        .await
    }

    /// How a verification stands.
    pub async fn read(&self, dialect: &Dialect, of: VerificationRef) -> Result<Answer<Verification>, Failure> {
        self.show(dialect, of.phone, Command::Read { nonce: of.nonce }.into()).await
    }

    async fn show(
        &self,
        dialect: &Dialect,
        phone: PhoneNumber,
        request: Arc<Request>,
    ) -> Result<Answer<Verification>, Failure> {
        let reply = self.ask(dialect, phone, request).await?;
        match reply.outcome.clone() {
            Outcome::Verification(view) => Ok(Answer::of(&reply, Verification::new(&self.parts.keys, phone, view))),
            _ => Err(self.unexpected(dialect, &reply)),
        }
    }
}
