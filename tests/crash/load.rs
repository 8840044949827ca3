//! The load: what people do, one acknowledged step after the other, until the server is gone.
//!
//! Every step notes its doubt before it asks and takes it back with the answer, so that whatever was under way at the
//! kill is known. An answer that the ledger does not foresee fails the test here already.

use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    api::{Answer, Outcome, Stop, With},
    doubt::Doubt,
    ledger::{ATTEMPTS, GUESSES_FREE, Person, Stage, Verification, Worker},
    scene::Scene,
};

/// Numbers that one worker turns between.
const ACTIVE: usize = 4;
/// One in so many moves on to a new number although the old one has something left.
const RETIRE_ONE_IN: u64 = 40;

/// Something a person can do next; the figure is the verification's or session's place.
#[derive(Debug, Clone, Copy)]
enum Step {
    Start,
    Wrong(usize),
    WrongByNumber(usize),
    Approve(usize),
    ApproveByNumber(usize),
    Race(usize),
    SignIn(usize),
    Cancel(usize),
    Redeem(usize),
    Refresh(usize),
    Reuse(usize),
    LogOut(usize),
    Change(usize),
    Erase(usize),
    Move(usize),
}

impl Worker {
    /// Works until the server is killed.
    pub(crate) async fn work(&mut self, scene: &Arc<Scene>) -> Outcome<()> {
        loop {
            let (who, step) = self.choose();
            match self.take(scene, who, step).await {
                Ok(()) => {}
                Err(Stop::Gone(_)) if scene.is_killing() => return Ok(()),
                Err(stop) => return Err(stop),
            }
        }
    }

    fn choose(&mut self) -> (usize, Step) {
        loop {
            let active: Vec<usize> = (0..self.people.len()).filter(|at| !self.people[*at].retired).collect();
            let picked = self.rng.pick(&active).filter(|_| active.len() >= ACTIVE);
            let who = picked.unwrap_or_else(|| self.new_person());
            let person = &mut self.people[who];
            match self.rng.pick(&steps(person)) {
                Some(step) => {
                    person.retired = self.rng.one_in(RETIRE_ONE_IN);
                    return (who, step);
                }
                None => person.retired = true,
            }
        }
    }

    async fn take(&mut self, scene: &Scene, who: usize, step: Step) -> Outcome<()> {
        let key = self.rng.one_in(2).then(|| self.fresh_word());
        let word = self.fresh_word();
        let way = self.rng.range(0..3);
        let person = &mut self.people[who];
        match step {
            Step::Start => person.start(scene).await,
            Step::Wrong(at) => person.guess(scene, at).await,
            Step::WrongByNumber(at) => person.guess_by_number(scene, at).await,
            Step::Approve(at) => person.approve(scene, at, key).await,
            Step::ApproveByNumber(at) => person.approve_by_number(scene, at).await,
            Step::Race(at) => person.race(scene, at).await,
            Step::SignIn(at) => person.sign_in(scene, at, key).await,
            Step::Cancel(at) => person.cancel(scene, at).await,
            Step::Redeem(at) => person.redeem(scene, at, key).await,
            Step::Refresh(at) => person.refresh(scene, at).await,
            Step::Reuse(at) => person.reuse(scene, at).await,
            Step::LogOut(at) => person.log_out(scene, at, way).await,
            Step::Change(at) => person.change(scene, at, word).await,
            Step::Erase(at) => person.erase(scene, at).await,
            Step::Move(at) => self.move_number(scene, who, at).await,
        }
    }
}

/// Everything a person could do now, what is common more than once.
fn steps(person: &Person) -> Vec<Step> {
    let mut steps = Vec::new();
    if person.may_start() {
        steps.extend([Step::Start; 2]);
    }
    for (at, _) in person.verifications.iter().enumerate().filter(|(_, of)| of.is_open() && !of.is_move) {
        steps.extend([Step::Wrong(at), Step::Wrong(at), Step::Approve(at), Step::Race(at), Step::Cancel(at)]);
        if person.may_sign_in() {
            steps.extend([Step::SignIn(at); 3]);
        }
    }
    let by_number = person.newest().filter(|at| person.verifications[*at].is_open() && person.guesses <= GUESSES_FREE);
    if let Some(at) = by_number.filter(|at| person.verifications[*at].spent_by_number < ATTEMPTS - 1) {
        steps.extend([Step::WrongByNumber(at), Step::WrongByNumber(at), Step::ApproveByNumber(at)]);
    }
    for (at, _) in person.verifications.iter().enumerate().filter(|(_, of)| of.is_redeemable()) {
        steps.extend([Step::Redeem(at); 4].into_iter().filter(|_| person.may_sign_in()));
    }
    for (at, session) in person.sessions.iter().enumerate().filter(|(_, session)| session.alive) {
        steps.extend([Step::Refresh(at), Step::Refresh(at), Step::Change(at), Step::Change(at), Step::LogOut(at)]);
        steps.extend(session.older.is_some().then_some(Step::Reuse(at)));
    }
    if let Some(at) = person.sessions.iter().position(|session| session.alive) {
        steps.extend([Step::Erase(at), Step::Move(at)]);
    }
    steps
}

/// The body of `/oauth/token` for a receipt.
pub(crate) fn assertion(receipt: &str) -> Value {
    json!({ "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": receipt })
}

/// The body of `/oauth/token` for a refresh token.
pub(crate) fn refreshing(token: &str) -> Value {
    json!({ "grant_type": "refresh_token", "refresh_token": token })
}

impl Verification {
    /// Gives a code by id.
    pub(crate) async fn check(&self, scene: &Scene, code: &str, with: With<'_>) -> Outcome<Answer> {
        scene.api.post(&format!("/v1/verifications/{}/check", self.id), &json!({ "code": code }), with).await
    }

    /// Gives the right code and asks for tokens at once.
    pub(crate) fn sign_in_body(&self) -> Value {
        json!({ "verification_id": self.id, "code": self.code })
    }
}

impl Person {
    pub(crate) async fn start(&mut self, scene: &Scene) -> Outcome<()> {
        let (seen, _) = scene.code(&self.phone);
        self.starts += 1;
        self.doubt = Some(Doubt::Start { seen });
        let answer = scene.api.post("/v1/verifications", &json!({ "to": self.phone }), With::default()).await?;
        let answer = answer.must("start", 201, "")?;
        let (now_seen, code) = scene.code(&self.phone);
        let Some(code) = code.filter(|_| now_seen == seen + 1) else {
            return answer.broken("an acknowledged start that Twilio was not told of once");
        };
        self.verifications.push(Verification::new(answer.text("id"), code));
        self.fact(scene);
        Ok(())
    }

    /// A wrong code by id.
    pub(crate) async fn guess(&mut self, scene: &Scene, at: usize) -> Outcome<()> {
        self.doubt = Some(Doubt::Guess { at });
        let of = &mut self.verifications[at];
        let answer = of.check(scene, &of.wrong_code(), With::default()).await?;
        of.spent += 1;
        is_wrong(&answer, of.spent)?;
        self.fact(scene);
        Ok(())
    }

    /// A wrong code by number.
    pub(crate) async fn guess_by_number(&mut self, scene: &Scene, at: usize) -> Outcome<()> {
        self.doubt = Some(Doubt::GuessByNumber { at });
        let wrong = self.verifications[at].wrong_code();
        let answer = self.check_by_number(scene, &wrong).await?;
        self.verifications[at].spent_by_number += 1;
        self.guesses += 1;
        is_wrong(&answer, self.verifications[at].spent_by_number)?;
        self.fact(scene);
        Ok(())
    }

    pub(crate) async fn check_by_number(&self, scene: &Scene, code: &str) -> Outcome<Answer> {
        scene.api.post("/v1/verifications/check", &json!({ "to": self.phone, "code": code }), With::default()).await
    }

    async fn approve(&mut self, scene: &Scene, at: usize, key: Option<String>) -> Outcome<()> {
        let with = key.clone();
        self.doubt = Some(Doubt::Approve { at, key });
        let of = &mut self.verifications[at];
        let answer = of.check(scene, &of.code, With::key(with.as_deref())).await?.must("right code", 200, "")?;
        of.approved(&answer);
        self.guesses = 0;
        self.fact(scene);
        Ok(())
    }

    async fn approve_by_number(&mut self, scene: &Scene, at: usize) -> Outcome<()> {
        self.doubt = Some(Doubt::Approve { at, key: None });
        let code = self.verifications[at].code.clone();
        let answer = self.check_by_number(scene, &code).await?.must("right code by number", 200, "")?;
        if answer.text("id") != self.verifications[at].id {
            return answer.broken("a check by number took another verification than the newest");
        }
        self.verifications[at].approved(&answer);
        self.guesses = 0;
        self.fact(scene);
        Ok(())
    }

    /// security 10: the right code twice at the same time; one of them is too late.
    async fn race(&mut self, scene: &Scene, at: usize) -> Outcome<()> {
        self.doubt = Some(Doubt::Approve { at, key: None });
        let of = &self.verifications[at];
        let check = || of.check(scene, &of.code, With::default());
        let answers: [Outcome<Answer>; 2] = tokio::join!(check(), check()).into();
        let won = |answer: &&Outcome<Answer>| matches!(answer, Ok(answer) if answer.is(200, ""));
        if answers.iter().filter(won).count() > 1 {
            return Err(Stop::Broken(format!("{}: one code was accepted twice at once", self.phone)));
        }
        if let Some(Ok(winner)) = answers.iter().find(won) {
            self.verifications[at].approved(winner);
            self.guesses = 0;
            self.fact(scene);
        }
        for answer in answers {
            let answer = answer?;
            if !answer.is(200, "") {
                answer.must("the later of two right codes", 409, "already_approved")?;
            }
        }
        match self.verifications[at].stage {
            Stage::Approved => Ok(()),
            Stage::Pending | Stage::Canceled => {
                Err(Stop::Broken(format!("{}: two right codes and none was accepted", self.phone)))
            }
        }
    }

    async fn sign_in(&mut self, scene: &Scene, at: usize, key: Option<String>) -> Outcome<()> {
        self.doubt = Some(Doubt::SignIn { at, key: key.clone() });
        self.sign_in_now(scene, at, With::key(key.as_deref())).await?;
        self.fact(scene);
        Ok(())
    }

    /// Signs in with the right code.
    pub(crate) async fn sign_in_now(&mut self, scene: &Scene, at: usize, with: With<'_>) -> Outcome<Answer> {
        let body = self.verifications[at].sign_in_body();
        let answer = scene.api.post("/v1/sessions", &body, with).await?.must("sign-in", 200, "")?;
        self.verifications[at].stage = Stage::Approved;
        self.guesses = 0;
        self.signed_in(scene, &answer)?;
        Ok(answer)
    }

    async fn cancel(&mut self, scene: &Scene, at: usize) -> Outcome<()> {
        self.doubt = Some(Doubt::Cancel { at });
        let path = format!("/v1/verifications/{}/cancel", self.verifications[at].id);
        scene.api.post(&path, &json!({}), With::default()).await?.must("cancel", 200, "")?;
        self.verifications[at].stage = Stage::Canceled;
        self.fact(scene);
        Ok(())
    }

    async fn redeem(&mut self, scene: &Scene, at: usize, key: Option<String>) -> Outcome<()> {
        self.doubt = Some(Doubt::Redeem { at, key: key.clone() });
        let Some(receipt) = &mut self.verifications[at].receipt else { return Ok(()) };
        let asked = scene.api.post("/oauth/token", &assertion(&receipt.token), With::key(key.as_deref())).await?;
        let answer = asked.must("a fresh receipt", 200, "")?;
        receipt.redeemed = true;
        self.signed_in(scene, &answer)?;
        self.fact(scene);
        Ok(())
    }

    pub(crate) async fn refresh(&mut self, scene: &Scene, at: usize) -> Outcome<()> {
        self.doubt = Some(Doubt::Refresh { at });
        let session = &mut self.sessions[at];
        let asked = scene.api.post("/oauth/token", &refreshing(&session.refresh), With::default()).await?;
        let answer = asked.must("the newest refresh token", 200, "")?;
        if answer.text("refresh_token") == session.refresh {
            return answer.broken("a refresh token that did not rotate");
        }
        session.rotated(&answer);
        self.fact(scene);
        Ok(())
    }

    /// A long retired refresh token comes back: two parties hold it, the session ends.
    async fn reuse(&mut self, scene: &Scene, at: usize) -> Outcome<()> {
        self.doubt = Some(Doubt::End { at });
        let older = self.sessions[at].older.clone().unwrap_or_default();
        let answer = scene.api.post("/oauth/token", &refreshing(&older), With::default()).await?;
        answer.must("a retired refresh token", 400, "invalid_grant")?;
        self.sessions[at].alive = false;
        self.fact(scene);
        Ok(())
    }

    async fn log_out(&mut self, scene: &Scene, at: usize, way: u64) -> Outcome<()> {
        self.doubt = Some(Doubt::End { at });
        let session = &mut self.sessions[at];
        let answer = match way {
            0 => scene.api.post("/oauth/revoke", &json!({ "token": session.access }), With::default()).await?,
            1 => scene.api.post("/oauth/revoke", &json!({ "token": session.refresh }), With::default()).await?,
            _ => {
                let path = format!("/v1/me/sessions/{}", session.sid);
                scene.api.ask(Method::DELETE, &path, None, With::token(&session.access)).await?
            }
        };
        answer.must("log-out", if way < 2 { 200 } else { 204 }, "")?;
        session.alive = false;
        self.fact(scene);
        Ok(())
    }

    async fn change(&mut self, scene: &Scene, at: usize, name: String) -> Outcome<()> {
        self.doubt = Some(Doubt::Change { at, name: name.clone() });
        let (body, with) = (json!({ "name": name }), With::token(&self.sessions[at].access));
        let answer = scene.api.ask(Method::PATCH, "/v1/me", Some(&body), with).await?.must("profile", 200, "")?;
        if answer.text("name") != name {
            return answer.broken("a profile change that its own answer does not show");
        }
        if let Some(account) = &mut self.account {
            account.name = Some(name);
        }
        self.fact(scene);
        Ok(())
    }

    async fn erase(&mut self, scene: &Scene, at: usize) -> Outcome<()> {
        self.doubt = Some(Doubt::Erase { at });
        let with = With::token(&self.sessions[at].access);
        scene.api.ask(Method::DELETE, "/v1/me", None, with).await?.must("erase", 204, "")?;
        self.departed();
        self.fact(scene);
        Ok(())
    }
}

/// The refusal of the `spent`th wrong code, with what is left told.
pub(crate) fn is_wrong(answer: &Answer, spent: u8) -> Outcome<()> {
    let left = ATTEMPTS - spent;
    let refused = if left == 0 { answer.is(429, "max_attempts_reached") } else { answer.is(400, "code_incorrect") };
    if refused && answer.figure("attempts_remaining") == Some(left.into()) {
        return Ok(());
    }
    answer.broken(&format!("wrong code {spent} of {ATTEMPTS}"))
}
