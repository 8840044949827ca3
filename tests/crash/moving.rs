//! Phone changes: two numbers, one account, in exactly one of them whenever the server dies.

use std::time::Duration;

use serde_json::json;

use super::{
    api::{Answer, Outcome, Stop, With, claims},
    doubt::Doubt,
    ledger::{Session, Stage, Verification, Worker},
    scene::Scene,
};

/// Looks at a number whose account is on its way, and the pause between two.
const LOOKS: usize = 200;
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Worker {
    /// Moves a number's account to a new number.
    pub(crate) async fn move_number(&mut self, scene: &Scene, who: usize, session: usize) -> Outcome<()> {
        let to = self.new_person();
        self.people[to].starts += 1;
        self.people[to].blind = true;
        self.people[who].doubt = Some(Doubt::MoveStart);
        let access = self.people[who].sessions[session].access.clone();
        let body = json!({ "to": self.people[to].phone });
        let answer = scene.api.post("/v1/me/phone-change", &body, With::token(&access)).await?;
        let answer = answer.must("start of a phone change", 201, "")?;
        let (1, Some(code)) = scene.code(&self.people[to].phone) else {
            return answer.broken("a phone change that Twilio was not told of once");
        };
        self.people[to].blind = false;
        let is_move = true;
        self.people[to].verifications.push(Verification { is_move, ..Verification::new(answer.text("id"), code) });
        self.people[who].fact(scene);
        self.people[who].doubt = Some(Doubt::Move { to, session });
        self.finish_move(scene, who, to, &access).await?;
        self.people[who].fact(scene);
        Ok(())
    }

    /// Gives the code at the new number; the account is there with the answer.
    async fn finish_move(&mut self, scene: &Scene, who: usize, to: usize, access: &str) -> Outcome<()> {
        let of = &self.people[to].verifications[0];
        let answer = of.check(scene, &of.code, With::token(access)).await?.must("phone change", 200, "")?;
        self.arrived(who, to);
        let there = &mut self.people[to];
        there.sign_ins += 1;
        there.sessions.push(Session::new(&answer));
        let user_id = claims(&answer.text("access_token"))["user_id"].as_u64();
        there.is_user(scene, user_id)
    }

    fn arrived(&mut self, who: usize, to: usize) {
        self.people[to].verifications[0].stage = Stage::Approved;
        self.people[to].account = self.people[who].departed();
        self.people[to].unproved = true;
    }

    /// The server died over the code of a phone change: either nothing of it happened, and the code is still good, or
    /// the account arrives.
    pub(crate) async fn settle_move(&mut self, scene: &Scene, who: usize, to: usize, session: usize) -> Outcome<bool> {
        let access = self.people[who].sessions[session].access.clone();
        let path = format!("/v1/verifications/{}", self.people[to].verifications[0].id);
        let answer = scene.api.get(&path, With::default()).await?.must("a phone change", 200, "")?;
        if answer.text("status") == "pending" {
            return self.finish_move(scene, who, to, &access).await.map(|()| false);
        }
        if answer.text("status") != "approved" {
            return answer.broken("a phone change in doubt is pending or approved");
        }
        // Reading the number in the middle of it has set the rest going.
        self.gone_from(scene, &access).await?;
        self.arrived(who, to);
        let there = &mut self.people[to];
        there.unseen_session = true;
        there.sign_ins += 1;
        // The one way left to see the account: it must be the old one, not a new one.
        there.start(scene).await?;
        there.sign_in_now(scene, 1, With::default()).await.map(|_| true)
    }

    async fn gone_from(&self, scene: &Scene, access: &str) -> Outcome<()> {
        let mut last: Option<Answer> = None;
        for _ in 0..LOOKS {
            let answer = scene.api.get("/v1/me", With::token(access)).await?;
            if answer.is(401, "token_invalid") {
                return Ok(());
            }
            last = Some(answer);
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Err(Stop::Broken(format!("an approved phone change does not arrive: {last:?}")))
    }
}
