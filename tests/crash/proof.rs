//! The proof after a restart: every acknowledged fact of a number holds on the server that came up.

use super::{
    api::{Answer, Outcome, Stop, With},
    ledger::{ATTEMPTS, GRACE_USED_WITHIN_S, GUESSES_FREE, Person, Session, Stage, Verification, Worker},
    load::{assertion, refreshing},
    scene::Scene,
};

/// Numbers that are proved again although nothing was done with them since their last proof, per worker.
const SAMPLE: usize = 2;
/// One live session in so many rotates its refresh token as part of the proof.
const ROTATE_ONE_IN: u64 = 3;
/// One number in so many, of those with an open code, sees a sign-in whose client hangs up.
const HANG_UP_ONE_IN: u64 = 6;

impl Worker {
    /// Settles what was under way, then proves what has changed since the last proof and a sample of the rest.
    pub(crate) async fn prove(&mut self, scene: &Scene) -> Outcome<()> {
        for who in 0..self.people.len() {
            self.settle(scene, who).await?;
        }
        let (mut chosen, rest): (Vec<usize>, Vec<usize>) =
            (0..self.people.len()).partition(|who| self.people[*who].unproved);
        chosen.extend((0..SAMPLE).filter_map(|_| self.rng.pick(&rest)));
        for who in chosen {
            self.prove_person(scene, who).await.map_err(|stop| match stop {
                Stop::Broken(why) => Stop::Broken(format!("{why}\nthe ledger has {:?}", self.people[who])),
                gone @ Stop::Gone(_) => gone,
            })?;
        }
        Ok(())
    }

    async fn prove_person(&mut self, scene: &Scene, who: usize) -> Outcome<()> {
        let rotate = self.rng.one_in(ROTATE_ONE_IN);
        let hang_up = self.rng.one_in(HANG_UP_ONE_IN).then(|| self.fresh_word());
        let person = &mut self.people[who];
        if person.forsaken {
            return Ok(());
        }
        for of in &person.verifications {
            of.prove(scene).await?;
        }
        for session in &person.sessions {
            session.prove(scene).await?;
        }
        person.prove_account(scene).await?;
        person.prove_guesses(scene).await?;
        if let Some(at) = person.sessions.iter().position(|session| session.alive).filter(|_| rotate) {
            person.refresh(scene, at).await?;
        }
        if let Some(word) = hang_up {
            person.hang_up(scene, &word).await?;
        }
        person.unproved = false;
        Ok(())
    }
}

impl Verification {
    /// security 10, 11, 12: what is used stays used, what is spent stays spent, and what is open stays open.
    async fn prove(&self, scene: &Scene) -> Outcome<()> {
        let answer = self.read(scene).await?;
        let dead = self.spent >= ATTEMPTS;
        let (status, refusal) = match self.stage {
            Stage::Approved => ("approved", Some((409, "already_approved"))),
            Stage::Canceled => ("canceled", Some((410, "verification_closed"))),
            Stage::Pending if dead => ("max_attempts_reached", Some((429, "max_attempts_reached"))),
            Stage::Pending => ("pending", None),
        };
        if answer.text("status") != status {
            return answer.broken(&format!("{} must be {status}", self.id));
        }
        if self.stage == Stage::Pending && self.attempts_of(&answer) != Some(self.spent) {
            return answer.broken(&format!("{}: {} wrong codes were acknowledged", self.id, self.spent));
        }
        scene.proved();
        // The right code of one that is open is the load's to give: it must be taken there.
        if let Some((status, code)) = refusal {
            let checked = self.check(scene, &self.code, With::default()).await?;
            checked.must("the right code of a closed verification", status, code)?;
            scene.proved();
        }
        let Some(receipt) = self.receipt.as_ref().filter(|receipt| receipt.redeemed) else { return Ok(()) };
        let again = scene.api.post("/oauth/token", &assertion(&receipt.token), With::default()).await?;
        again.must("a receipt that is used up", 400, "invalid_grant")?;
        scene.proved();
        Ok(())
    }
}

impl Session {
    /// security 71: the tokens of a live session work, those of an ended one are dead.
    async fn prove(&self, scene: &Scene) -> Outcome<()> {
        let me = scene.api.get("/v1/me", With::token(&self.access)).await?;
        if !self.alive {
            me.must("the access token of an ended session", 401, "token_invalid")?;
            let again = scene.api.post("/oauth/token", &refreshing(&self.refresh), With::default()).await?;
            again.must("the refresh token of an ended session", 400, "invalid_grant")?;
            scene.proved();
            return Ok(());
        }
        me.must("the access token of a live session", 200, "")?;
        scene.proved();
        match &self.previous {
            Some((token, at)) if at.elapsed().as_secs() < GRACE_USED_WITHIN_S => {
                let again = scene.api.post("/oauth/token", &refreshing(token), With::default()).await?;
                let again = again.must("a refresh token retired just now", 200, "")?;
                if again.text("refresh_token") != self.refresh {
                    return again.broken("a rotation came back as another one");
                }
                scene.proved();
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }
}

impl Person {
    /// The profile is the acknowledged one, and the sessions are these.
    async fn prove_account(&mut self, scene: &Scene) -> Outcome<()> {
        let Some(access) = self.alive().map(|session| session.access.clone()) else { return Ok(()) };
        let me = scene.api.get("/v1/me", With::token(&access)).await?.must("the profile", 200, "")?;
        self.is_user(scene, me.figure("user_id"))?;
        let name = self.account.as_ref().and_then(|account| account.name.clone());
        if me.body["name"].as_str() != name.as_deref() || me.text("phone_number") != self.phone {
            return me.broken(&format!("the profile of {} with the name {name:?}", self.phone));
        }
        scene.proved();
        let list = scene.api.get("/v1/me/sessions", With::token(&access)).await?.must("the sessions", 200, "")?;
        if !self.lists_exactly_mine(&list) {
            return list.broken("the sessions are not those that are open");
        }
        scene.proved();
        Ok(())
    }

    fn lists_exactly_mine(&self, list: &Answer) -> bool {
        let listed = list.body["sessions"].as_array().into_iter().flatten();
        let listed: Vec<&str> = listed.filter_map(|session| session["sid"].as_str()).collect();
        let alive = self.sessions.iter().filter(|session| session.alive);
        let mine: Vec<&str> = alive.map(|session| session.sid.as_str()).collect();
        mine.iter().all(|sid| listed.contains(sid)) && (self.unseen_session || listed.len() == mine.len())
    }

    /// security 12: wrong codes by number are remembered, and the wait after too many goes on.
    async fn prove_guesses(&self, scene: &Scene) -> Outcome<()> {
        if let Some(session) = self.alive() {
            let export = scene.api.get("/v1/me/export", With::token(&session.access)).await?;
            if export.figure("consecutive_wrong_codes") != Some(self.guesses.into()) {
                return export.broken(&format!("{} wrong codes by number were acknowledged", self.guesses));
            }
            scene.proved();
        }
        let open = self.newest().filter(|at| self.verifications[*at].is_open());
        if let Some(at) = open.filter(|_| self.guesses > GUESSES_FREE) {
            let answer = self.check_by_number(scene, &self.verifications[at].code).await?;
            answer.must("a right code by number while that is locked", 429, "guess_budget_exhausted")?;
            scene.proved();
        }
        Ok(())
    }

    /// security 35: a client hangs up in the middle of a sign-in. Its retry gets the one session there is, and if the
    /// first request was the one that used the code, the log says so.
    async fn hang_up(&mut self, scene: &Scene, word: &str) -> Outcome<()> {
        let open = self.verifications.iter().position(|of| of.is_open() && !of.is_move);
        let Some(at) = open.filter(|_| self.may_sign_in()) else { return Ok(()) };
        let body = self.verifications[at].sign_in_body();
        scene.api.post_and_hang_up("/v1/sessions", &body, word, word).await?;
        let answer = self.sign_in_now(scene, at, With::key(Some(word))).await?;
        if answer.replayed {
            let tells = |line: &str| line.contains(word) && line.contains(r#""event":"signed_in","outcome":"done""#);
            if scene.lines.find(tells).await.is_none() {
                return answer.broken(&format!("request {word} used a code, its client hung up, and no audit event"));
            }
        }
        let access = self.sessions.last().map(|session| session.access.clone()).unwrap_or_default();
        let list = scene.api.get("/v1/me/sessions", With::token(&access)).await?;
        if !self.lists_exactly_mine(&list) {
            return list.broken("a sign-in with a hang-up opened more than one session");
        }
        scene.proved();
        self.verifications[at].prove(scene).await?;
        let again = scene.api.post("/v1/sessions", &body, With::default()).await?;
        again.must("a second sign-in with one code", 409, "already_approved")?;
        scene.proved();
        Ok(())
    }
}
