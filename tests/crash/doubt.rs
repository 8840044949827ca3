//! What was under way when the server died: it may have happened or not, but wholly, and a retry finds out.

use super::{
    api::{Answer, Outcome, Stop, With},
    ledger::{ATTEMPTS, Account, GUESSES_FREE, Person, Stage, Verification, Worker},
    load::{assertion, refreshing},
    scene::Scene,
};

/// A receipt lives 60 s; later a refusal says nothing.
const RECEIPT_SAYS_WITHIN_S: u64 = 50;

/// A request without an answer; the figures are places of verifications and sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Doubt {
    Start { seen: usize },
    Guess { at: usize },
    GuessByNumber { at: usize },
    Approve { at: usize, key: Option<String> },
    SignIn { at: usize, key: Option<String> },
    Cancel { at: usize },
    Redeem { at: usize, key: Option<String> },
    Refresh { at: usize },
    End { at: usize },
    Change { at: usize, name: String },
    Erase { at: usize },
    MoveStart,
    Move { to: usize, session: usize },
}

impl Worker {
    /// Finds out what became of the request that a number's last server died over.
    pub(crate) async fn settle(&mut self, scene: &Scene, who: usize) -> Outcome<()> {
        let Some(doubt) = self.people[who].doubt.take() else { return Ok(()) };
        let person = &mut self.people[who];
        person.unproved = true;
        let what = format!("{} after {doubt:?}", person.phone);
        let kind = doubt.kind();
        let settled = match doubt {
            Doubt::Start { seen } => person.settle_start(scene, seen).await,
            Doubt::Guess { at } => person.settle_guess(scene, at).await,
            Doubt::GuessByNumber { at } => person.settle_guess_by_number(scene, at).await,
            Doubt::Approve { at, key } => person.settle_approve(scene, at, key).await,
            Doubt::SignIn { at, key } => person.settle_sign_in(scene, at, key).await,
            Doubt::Cancel { at } => person.settle_cancel(scene, at).await,
            Doubt::Redeem { at, key } => person.settle_redeem(scene, at, key).await,
            // Whether the old server rotated or not: the same token leads to the same successor.
            Doubt::Refresh { at } => person.settle_refresh(scene, at).await,
            Doubt::End { at } => person.settle_end(scene, at).await,
            Doubt::Change { at, name } => person.settle_change(scene, at, name).await,
            Doubt::Erase { at } => person.settle_erase(scene, at).await,
            // Only a code for the new number, which is used for nothing else.
            Doubt::MoveStart => Ok(false),
            Doubt::Move { to, session } => self.settle_move(scene, who, to, session).await,
        };
        let happened = settled.map_err(|stop| match stop {
            Stop::Broken(why) => Stop::Broken(format!("{what}: {why}")),
            Stop::Gone(why) => Stop::Gone(format!("{what}: {why}")),
        })?;
        scene.settled(kind, happened);
        Ok(())
    }
}

impl Doubt {
    fn kind(&self) -> &'static str {
        match self {
            Self::Start { .. } => "start",
            Self::Guess { .. } => "wrong code",
            Self::GuessByNumber { .. } => "wrong code by number",
            Self::Approve { .. } => "check",
            Self::SignIn { .. } => "sign-in",
            Self::Cancel { .. } => "cancel",
            Self::Redeem { .. } => "receipt",
            Self::Refresh { .. } => "refresh",
            Self::End { .. } => "log-out",
            Self::Change { .. } => "profile",
            Self::Erase { .. } => "erasure",
            Self::MoveStart => "start of a phone change",
            Self::Move { .. } => "phone change",
        }
    }
}

impl Person {
    /// The code in a person's hand is good, even if the server died before it said that it had sent it.
    async fn settle_start(&mut self, scene: &Scene, seen: usize) -> Outcome<bool> {
        self.blind = true;
        let (now_seen, code) = scene.code(&self.phone);
        let Some(code) = code.filter(|_| now_seen > seen && self.guesses <= GUESSES_FREE) else { return Ok(false) };
        let answer = self.check_by_number(scene, &code).await?.must("a code that was sent", 200, "")?;
        let mut found = Verification::new(answer.text("id"), code);
        found.approved(&answer);
        self.verifications.push(found);
        self.guesses = 0;
        Ok(true)
    }

    async fn settle_guess(&mut self, scene: &Scene, at: usize) -> Outcome<bool> {
        let of = &mut self.verifications[at];
        let answer = of.read(scene).await?;
        let spent = of.attempts_of(&answer);
        if spent != Some(of.spent) && spent != Some(of.spent + 1) {
            return answer.broken(&format!("{} wrong codes were acknowledged and one may be", of.spent));
        }
        let happened = spent != Some(of.spent);
        of.spent = spent.unwrap_or_default();
        Ok(happened)
    }

    /// Nothing shows this count but one more wrong code.
    async fn settle_guess_by_number(&mut self, scene: &Scene, at: usize) -> Outcome<bool> {
        let wrong = self.verifications[at].wrong_code();
        let answer = self.check_by_number(scene, &wrong).await?;
        let before = self.verifications[at].spent_by_number;
        if self.guesses == GUESSES_FREE && answer.is(429, "guess_budget_exhausted") {
            self.verifications[at].spent_by_number += 1;
            self.guesses += 1;
            return Ok(true);
        }
        let spent = self.verifications[at].attempts_of(&answer);
        match spent {
            Some(spent) if spent == before + 1 || (spent == before + 2 && self.guesses < GUESSES_FREE) => {
                self.verifications[at].spent_by_number = spent;
                self.guesses += spent - before;
                Ok(spent == before + 2)
            }
            _ => answer.broken(&format!("{before} wrong codes by number were acknowledged and one may be")),
        }
    }

    async fn settle_approve(&mut self, scene: &Scene, at: usize, key: Option<String>) -> Outcome<bool> {
        let of = &mut self.verifications[at];
        if key.is_some() {
            let asked = of.check(scene, &of.code, With::key(key.as_deref())).await?;
            let answer = asked.must("the same check again", 200, "")?;
            of.approved(&answer);
            self.guesses = 0;
            return Ok(answer.replayed);
        }
        let happened = of.is_approved_or_pending(scene).await?;
        if happened {
            self.guesses = 0;
        }
        Ok(happened)
    }

    async fn settle_sign_in(&mut self, scene: &Scene, at: usize, key: Option<String>) -> Outcome<bool> {
        if key.is_some() {
            return Ok(self.sign_in_now(scene, at, With::key(key.as_deref())).await?.replayed);
        }
        let happened = self.verifications[at].is_approved_or_pending(scene).await?;
        if happened {
            self.signed_in_unseen();
        }
        Ok(happened)
    }

    fn signed_in_unseen(&mut self) {
        self.guesses = 0;
        self.sign_ins += 1;
        self.unseen_session = true;
        self.account.get_or_insert(Account { user_id: None, name: None });
    }

    async fn settle_cancel(&mut self, scene: &Scene, at: usize) -> Outcome<bool> {
        let of = &mut self.verifications[at];
        let answer = of.read(scene).await?;
        match answer.text("status").as_str() {
            "canceled" => of.stage = Stage::Canceled,
            "pending" => {}
            _ => return answer.broken("a cancel in doubt leaves it pending or canceled"),
        }
        Ok(of.stage == Stage::Canceled)
    }

    async fn settle_redeem(&mut self, scene: &Scene, at: usize, key: Option<String>) -> Outcome<bool> {
        let Some(receipt) = &mut self.verifications[at].receipt else { return Ok(false) };
        if receipt.at.elapsed().as_secs() > RECEIPT_SAYS_WITHIN_S {
            self.forsaken = true;
            return Ok(false);
        }
        let answer = scene.api.post("/oauth/token", &assertion(&receipt.token), With::key(key.as_deref())).await?;
        receipt.redeemed = true;
        if key.is_none() && answer.is(400, "invalid_grant") {
            let failures = self.guesses;
            self.signed_in_unseen();
            self.guesses = failures;
            return Ok(true);
        }
        let answer = answer.must("a receipt in doubt", 200, "")?;
        self.signed_in(scene, &answer)?;
        Ok(answer.replayed)
    }

    async fn settle_refresh(&mut self, scene: &Scene, at: usize) -> Outcome<bool> {
        let session = &mut self.sessions[at];
        let asked = scene.api.post("/oauth/token", &refreshing(&session.refresh), With::default()).await?;
        let answer = asked.must("a refresh in doubt", 200, "")?;
        session.rotated(&answer);
        // The answer is the same either way.
        Ok(true)
    }

    async fn settle_end(&mut self, scene: &Scene, at: usize) -> Outcome<bool> {
        let session = &mut self.sessions[at];
        let answer = scene.api.get("/v1/me", With::token(&session.access)).await?;
        session.alive = !answer.is(401, "token_invalid");
        if session.alive {
            answer.must("a session in doubt", 200, "")?;
        }
        Ok(!session.alive)
    }

    async fn settle_change(&mut self, scene: &Scene, at: usize, name: String) -> Outcome<bool> {
        let with = With::token(&self.sessions[at].access);
        let answer = scene.api.get("/v1/me", with).await?.must("a profile in doubt", 200, "")?;
        let happened = answer.text("name") == name;
        if let Some(account) = self.account.as_mut().filter(|_| happened) {
            account.name = Some(name);
        }
        Ok(happened)
    }

    async fn settle_erase(&mut self, scene: &Scene, at: usize) -> Outcome<bool> {
        let answer = scene.api.get("/v1/me", With::token(&self.sessions[at].access)).await?;
        if answer.is(401, "token_invalid") {
            self.departed();
            return Ok(true);
        }
        answer.must("an account in doubt", 200, "").map(|_| false)
    }
}

impl Verification {
    pub(crate) async fn read(&self, scene: &Scene) -> Outcome<Answer> {
        let path = format!("/v1/verifications/{}", self.id);
        scene.api.get(&path, With::default()).await?.must("a verification", 200, "")
    }

    /// Attempts that an answer says are spent.
    pub(crate) fn attempts_of(&self, answer: &Answer) -> Option<u8> {
        let left = u8::try_from(answer.figure("attempts_remaining")?).ok()?;
        ATTEMPTS.checked_sub(left)
    }

    /// After a right code in doubt: was it taken?
    async fn is_approved_or_pending(&mut self, scene: &Scene) -> Outcome<bool> {
        let answer = self.read(scene).await?;
        match answer.text("status").as_str() {
            "approved" => self.stage = Stage::Approved,
            "pending" => {}
            _ => return answer.broken("a right code in doubt leaves it pending or approved"),
        }
        Ok(self.stage == Stage::Approved)
    }
}
