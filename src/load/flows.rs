//! The steps of each operation. Whoever gets an answer that leads nowhere gives up and begins with the next.

use hyper::header::HeaderValue;

use super::{
    invariant::Rule,
    ledger::Fact,
    measure::Kind,
    scenario::Scenario,
    sessions::Session,
    speech::{self, Speaks},
    worker::{Stop, Worker},
};

/// Wrong codes that are tried of one verification, by each way: more than any limit lets through.
const WRONG_TRIES: u32 = 12;

/// A verification that was acknowledged.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) number: u64,
    pub(super) id: Box<str>,
}

impl Worker {
    pub(super) async fn operate(&mut self) -> Result<(), Stop> {
        match (self.run.stage.target.speaks, self.run.plan.scenario) {
            (Speaks::Limit, scenario) => self.operate_limit(scenario).await,
            (Speaks::V1, Scenario::Send) => self.send().await,
            (Speaks::V1, Scenario::Login) => self.login().await,
            (Speaks::V1, Scenario::Profile) => self.profile().await,
            (Speaks::V1, Scenario::Refresh) => self.refresh().await,
            (Speaks::V1, Scenario::Wrong) => self.guess().await,
            (Speaks::V1, Scenario::SameNumber) => self.press().await,
            (Speaks::V1, Scenario::Mixed) => match self.dice.below(100) {
                0..60 => self.login().await,
                60..80 => self.profile().await,
                80..90 => self.refresh().await,
                90..95 => self.guess().await,
                _ => self.press().await,
            },
        }
    }

    /// Asks for a code for a new number: one message, no more.
    async fn start(&mut self) -> Result<u64, Stop> {
        let number = self.run.stage.numbers.draw();
        self.ask(Kind::Start, self.speech.start(number), &[201]).await?;
        if let Some(inbox) = self.run.stage.codes.inbox() {
            self.run.invariants.hold(Rule::OneMessage, inbox.count(number) == 1);
        }
        Ok(number)
    }

    /// What the last answer acknowledged. Read only where it is gone on with: the bare server's answer to a send is not
    /// read either.
    fn started(&self, number: u64) -> Started {
        Started { number, id: self.answer().id.into() }
    }

    async fn send(&mut self) -> Result<(), Stop> {
        let number = self.start().await?;
        if self.run.ledger.is_kept() {
            let started = self.started(number);
            let code = self.code(&started)?;
            self.run.ledger.keep(Fact::open(started.id, code));
        }
        self.forget(number);
        Ok(())
    }

    fn code(&self, started: &Started) -> Result<Box<str>, Stop> {
        let code = self.run.stage.codes.code(started.number, &started.id).filter(|code| !code.is_empty());
        code.ok_or_else(|| {
            self.run.unexpected("code: no message with one came".to_owned());
            Stop::Refused
        })
    }

    fn forget(&self, number: u64) {
        if let Some(inbox) = self.run.stage.codes.inbox() {
            inbox.forget(number);
        }
    }

    /// From nothing to the profile.
    async fn login(&mut self) -> Result<(), Stop> {
        let from = self.began();
        let again = self.run.plan.again_each != 0 && self.dice.below(self.run.plan.again_each) == 0;
        let session = self.sign_in(again).await?;
        self.read_profile(session.number, &session.access).await?;
        if !again {
            // What is done twice on purpose would lengthen it.
            self.count_flow(from);
        }
        if self.run.ledger.is_kept() {
            self.run.ledger.keep(Fact::Session(session));
        }
        Ok(())
    }

    /// Start, check, tokens; `again`: and what must not work twice.
    pub(super) async fn sign_in(&mut self, again: bool) -> Result<Session, Stop> {
        let number = self.start().await?;
        let started = self.started(number);
        let code = self.code(&started)?;
        self.ask(Kind::Check, self.speech.check(&started.id, &code), &[200]).await?;
        let receipt: Box<str> = self.answer().receipt.into();
        if again {
            self.check_again(&started, &code).await?;
        }
        let redeem = self.speech.redeem(&receipt);
        self.ask(Kind::Token, redeem, &[200]).await?;
        let answer = self.answer();
        let session = Session::new(started.number, &answer.access_token, &answer.refresh_token);
        if again {
            self.redeem_again(&receipt).await?;
        }
        if self.run.ledger.is_kept() {
            self.run.ledger.keep(Fact::used(started.id, code));
        }
        self.forget(started.number);
        Ok(session)
    }

    async fn check_again(&mut self, started: &Started, code: &str) -> Result<(), Stop> {
        let by_id = self.speech.check(&started.id, code);
        let by_number = self.speech.check_by_number(started.number, code);
        for request in [by_id, by_number] {
            let status = self.ask(Kind::Again, request, &[200, 400, 404, 409, 410, 429]).await?;
            self.run.invariants.hold(Rule::CodeOnce, status != 200);
        }
        Ok(())
    }

    async fn redeem_again(&mut self, receipt: &str) -> Result<(), Stop> {
        let status = self.ask(Kind::Again, self.speech.redeem(receipt), &[200, 400, 429]).await?;
        self.run.invariants.hold(Rule::ReceiptOnce, status != 200);
        Ok(())
    }

    async fn read_profile(&mut self, number: u64, access: &HeaderValue) -> Result<(), Stop> {
        self.ask(Kind::Me, self.speech.me(access), &[200]).await?;
        // Looked for as text, as in the bare server's profile: reading the whole object was 22 % of this
        // generator's instructions per profile (callgrind), on cores that the server shares.
        let hers = format!(r#""phone_number":"+{number}""#);
        let is_shown = str::from_utf8(self.body()).is_ok_and(|shown| shown.contains(&hers));
        self.run.invariants.hold(Rule::RightPerson, is_shown);
        Ok(())
    }

    async fn profile(&mut self) -> Result<(), Stop> {
        match self.run.sessions.look(&mut self.dice) {
            Some((number, access)) => self.read_profile(number, &access).await,
            None => self.login().await,
        }
    }

    /// A session whose rotation was not answered is in doubt, and nobody's any more.
    async fn refresh(&mut self) -> Result<(), Stop> {
        let Some(session) = self.run.sessions.take(&mut self.dice) else { return self.login().await };
        let asked = self.ask(Kind::Refresh, self.speech.refresh(&session.refresh), &[200]).await;
        if asked != Err(Stop::Gone) && self.run.gate.was_killed_since(session.acknowledged) {
            self.run.invariants.hold(Rule::SessionKept, asked.is_ok());
        }
        match asked {
            Ok(_) => {
                let answer = self.answer();
                let next = Session::new(session.number, &answer.access_token, &answer.refresh_token);
                self.run.sessions.put(next);
                Ok(())
            }
            Err(Stop::Refused) => {
                self.run.sessions.put(session);
                Err(Stop::Refused)
            }
            Err(Stop::Gone) => Err(Stop::Gone),
        }
    }

    /// Wrong codes until long after the limit; never the right one.
    async fn guess(&mut self) -> Result<(), Stop> {
        let number = self.start().await?;
        let started = self.started(number);
        let right = self.code(&started)?;
        for kind in [Kind::WrongById, Kind::WrongByNumber] {
            let mut compared = 0;
            for _ in 0..WRONG_TRIES {
                let wrong = self.wrong(&right);
                let request = if kind == Kind::WrongById {
                    self.speech.check(&started.id, &wrong)
                } else {
                    self.speech.check_by_number(started.number, &wrong)
                };
                let status = self.ask(kind, request, &[200, 400, 404, 409, 410, 429]).await?;
                self.run.invariants.hold(Rule::WrongRefused, status != 200);
                compared += u32::from(status == 400);
            }
            self.run.invariants.hold(Rule::GuessesLimited, compared <= self.run.plan.figures.attempts);
        }
        self.forget(started.number);
        Ok(())
    }

    /// Another code of as many digits.
    fn wrong(&mut self, right: &str) -> String {
        let range = 10_u64.saturating_pow(u32::try_from(right.len()).unwrap_or(6));
        let right_figure: u64 = right.parse().unwrap_or_default();
        let other = (right_figure + 1 + self.dice.below(range.saturating_sub(1))) % range.max(1);
        format!("{other:0width$}", width = right.len())
    }

    /// Anything that can be done to a number that everybody is at.
    async fn press(&mut self) -> Result<(), Stop> {
        let hot = self.run.hot(&mut self.dice);
        let newest = hot.newest();
        let act = if newest.is_some() { self.dice.below(10) } else { 0 };
        let any = &[200, 201, 400, 404, 409, 410, 429, 503];
        match (act, newest) {
            (0..3, _) | (_, None) => {
                let asked = self.ask(Kind::Start, self.speech.start(hot.number), any).await;
                hot.sent(asked, 201);
                if asked? == 201 {
                    hot.began(self.answer().id.into());
                }
            }
            (3, Some(id)) => {
                let asked = self.ask(Kind::Resend, self.speech.resend(&id), any).await;
                hot.sent(asked, 200);
                asked?;
            }
            (4..6, Some(id)) => self.press_wrong(Kind::WrongById, hot.number, &id).await?,
            (6, Some(id)) => self.press_wrong(Kind::WrongByNumber, hot.number, &id).await?,
            (_, Some(id)) => {
                let Some(code) = self.run.stage.codes.code(hot.number, &id) else { return Ok(()) };
                let status = self.ask(Kind::Check, self.speech.check(&id, &code), any).await?;
                let first = status != 200 || hot.approved(&self.answer().id);
                self.run.invariants.hold(Rule::CodeOnce, first);
            }
        }
        Ok(())
    }

    async fn press_wrong(&mut self, kind: Kind, number: u64, id: &str) -> Result<(), Stop> {
        // No rule here: it may be the right code of another verification that was begun meanwhile.
        let Some(code) = self.run.stage.codes.code(number, id) else { return Ok(()) };
        let wrong = self.wrong(&code);
        let request = if kind == Kind::WrongById {
            self.speech.check(id, &wrong)
        } else {
            self.speech.check_by_number(number, &wrong)
        };
        self.ask(kind, request, &[200, 400, 404, 409, 410, 429]).await.map(drop)
    }

    async fn operate_limit(&mut self, scenario: Scenario) -> Result<(), Stop> {
        let number = self.run.stage.numbers.draw();
        let from = self.began();
        if scenario == Scenario::Profile {
            let Some((_, access)) = self.run.sessions.look(&mut self.dice) else { return Err(Stop::Refused) };
            return self.limit_profile(&access).await;
        }
        self.ask(Kind::Start, self.speech.limit_send(number), &[200]).await?;
        let sent = self.answer().phone_number.strip_prefix('+').and_then(|digits| digits.parse().ok());
        self.run.invariants.hold(Rule::RightPerson, sent == Some(number));
        if scenario == Scenario::Send {
            return Ok(());
        }
        self.ask(Kind::Code, self.speech.limit_code(), &[200]).await?;
        let code: Box<str> = self.answer().code.into();
        self.ask(Kind::Check, self.speech.limit_verify(number, &code), &[200]).await?;
        let access = speech::bearer(&self.answer().access);
        self.limit_profile(&access).await?;
        self.count_flow(from);
        Ok(())
    }

    /// The bare server's profile is the token itself.
    async fn limit_profile(&mut self, access: &HeaderValue) -> Result<(), Stop> {
        self.ask(Kind::Me, self.speech.limit_profile(access), &[200]).await?;
        self.run.invariants.hold(Rule::RightPerson, self.body() == access.as_bytes());
        Ok(())
    }
}
