//! What a proof is good for, and how often.

use super::*;

const TTL_MS: Millis = 60_000;
const NOW: UnixMillis = UnixMillis(1_767_225_600_000);

#[derive(Debug)]
struct Counting(u64);

impl Entropy for Counting {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
    }
}

struct Scene {
    keys: Keyring,
    guard: ProofOfWork,
}

impl Scene {
    fn new(run: u64, used_max: usize) -> Self {
        let settings = ProofSettings { bits: 8, ttl_ms: TTL_MS, used_max };
        Self { keys: Keyring::new((1, &[7; 32]), &[]), guard: ProofOfWork::new(settings, &Counting(run)) }
    }

    fn whom(&self, now: UnixMillis) -> For<'_> {
        let phone = PhoneNumber::try_from(989_123_456_789).unwrap();
        For { keys: &self.keys, bucket: IpAddr::from([192, 0, 2, 1]), phone, now }
    }

    fn solved(&self, nonce: u64, now: UnixMillis) -> String {
        solve(self.guard.challenge(&self.whom(now), nonce))
    }

    fn check(&self, proof: &str, now: UnixMillis) -> Verdict {
        self.guard.check(&self.whom(now), proof, None)
    }
}

/// The first number that solves it.
fn solve(challenge: Challenge) -> String {
    let mut proofs = (0_u64..).map(|number| format!("{challenge}:{number}"));
    proofs.find(|proof| leading_zero_bits(&Sha256::digest(proof)) >= u32::from(challenge.bits)).unwrap()
}

/// One that does not.
fn unsolved(challenge: Challenge) -> String {
    let mut proofs = (0_u64..).map(|number| format!("{challenge}:{number}"));
    proofs.find(|proof| leading_zero_bits(&Sha256::digest(proof)) < u32::from(challenge.bits)).unwrap()
}

#[test]
fn zero_bits_are_counted_from_the_left() {
    let table: [(&[u8], u32); 6] =
        [(&[0x80], 0), (&[0x7f], 1), (&[0, 0x80], 8), (&[0, 0x01], 15), (&[0, 0, 0x20, 0], 18), (&[0, 0], 16)];
    for (hash, bits) in table {
        assert_eq!(leading_zero_bits(hash), bits, "{hash:?}");
    }
}

/// The form that clients are told: 44 characters of base64url without padding.
#[test]
fn the_form_of_a_challenge() {
    let scene = Scene::new(1, 10);
    let challenge = scene.guard.challenge(&scene.whom(NOW), 42);
    let text = challenge.to_string();
    assert_eq!((text.len(), challenge.bits), (44, 8));
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
    assert_ne!(text, scene.guard.challenge(&scene.whom(NOW), 43).to_string());
}

#[test]
fn a_proof_is_good_once() {
    let scene = Scene::new(1, 10);
    let proof = scene.solved(1, NOW);
    assert_eq!(scene.check(&proof, NOW), Verdict::Accepted);
    assert_eq!(scene.check(&proof, NOW), Verdict::Replayed);
    // Another number that solves the same challenge is the same proof.
    let (challenge, _) = proof.split_once(':').unwrap();
    let mut others = (0_u64..).map(|number| format!("{challenge}:{number}")).filter(|other| *other != proof);
    let other = others.find(|other| leading_zero_bits(&Sha256::digest(other)) >= 8).unwrap();
    assert_eq!(scene.check(&other, NOW.plus(TTL_MS - 1)), Verdict::Replayed);
    assert_eq!(scene.check(&scene.solved(2, NOW), NOW), Verdict::Accepted);
}

#[test]
fn a_retry_is_known_by_its_key() {
    let scene = Scene::new(1, 10);
    let proof = scene.solved(1, NOW);
    let as_retry = |retry| scene.guard.check(&scene.whom(NOW), &proof, retry);
    assert_eq!(as_retry(Some([1; 16])), Verdict::Accepted);
    assert_eq!(as_retry(Some([1; 16])), Verdict::Retried);
    assert_eq!(as_retry(Some([2; 16])), Verdict::Replayed);
    assert_eq!(as_retry(None), Verdict::Replayed);
    // One that was spent without a key belongs to no retry.
    let proof = scene.solved(2, NOW);
    assert_eq!(scene.check(&proof, NOW), Verdict::Accepted);
    assert_eq!(scene.guard.check(&scene.whom(NOW), &proof, Some([1; 16])), Verdict::Replayed);
}

#[test]
fn a_proof_is_of_one_number_address_and_process() {
    let scene = Scene::new(1, 10);
    let proof = scene.solved(1, NOW);
    let whom = scene.whom(NOW);
    let other_number = For { phone: PhoneNumber::try_from(989_123_456_780).unwrap(), ..whom };
    let other_address = For { bucket: IpAddr::from([192, 0, 2, 2]), ..whom };
    let other_keys = Keyring::new((1, &[8; 32]), &[]);
    for whom in [other_number, other_address, For { keys: &other_keys, ..whom }] {
        assert_eq!(scene.guard.check(&whom, &proof, None), Verdict::Foreign);
    }
    assert_eq!(Scene::new(2, 10).check(&proof, NOW), Verdict::Foreign, "a restart");
    assert_eq!(scene.check(&proof, NOW), Verdict::Accepted, "none of these has spent it");
}

/// Time and difficulty stand in the challenge for everybody to read, and for nobody to change.
#[test]
fn a_changed_challenge_is_foreign() {
    let scene = Scene::new(1, 10);
    let challenge = scene.guard.challenge(&scene.whom(NOW), 1);
    for at in 0..CHALLENGE_BYTES {
        let mut bytes = challenge.bytes;
        bytes[at] ^= 1;
        let proof = solve(Challenge { bytes, bits: 1 });
        assert_eq!(scene.check(&proof, NOW), Verdict::Foreign, "byte {at}");
    }
}

#[test]
fn what_is_no_proof() {
    let scene = Scene::new(1, 10);
    let challenge = scene.guard.challenge(&scene.whom(NOW), 1);
    let text = challenge.to_string();
    let long = format!("{text}:{}", "1".repeat(SOLUTION_CHARS_MAX + 1));
    let cut = format!("{}:1", &text[1..]);
    let table = [
        "",
        ":",
        ":1",
        &text,
        &format!("{text}:"),
        &format!("{text}:-1"),
        &format!("{text}:1x"),
        &format!("{text}:۱"),
        &format!("{text}=:1"),
        &format!("{text}: 1"),
        &long,
        &cut,
        &unsolved(challenge),
    ];
    for proof in table {
        assert_eq!(scene.check(proof, NOW), Verdict::Wrong, "{proof}");
    }
    assert_eq!(scene.check(&solve(challenge), NOW), Verdict::Accepted, "none of these has spent it");
}

#[test]
fn a_proof_has_its_time() {
    let scene = Scene::new(1, 10);
    assert_eq!(scene.check(&scene.solved(1, NOW), NOW.plus(TTL_MS - 1)), Verdict::Accepted);
    assert_eq!(scene.check(&scene.solved(2, NOW), NOW.plus(TTL_MS)), Verdict::Expired);
    // Made while the clock ran ahead.
    assert_eq!(scene.check(&scene.solved(3, NOW.plus(TTL_MS)), NOW), Verdict::Expired);
}

/// A clock that jumps ahead and back makes the set forget; what it forgot stays spent, and new ones are good.
#[test]
fn a_clock_that_is_set_back_revives_nothing() {
    let scene = Scene::new(1, 10);
    let spent = scene.solved(1, NOW);
    assert_eq!(scene.check(&spent, NOW), Verdict::Accepted);
    let later = NOW.plus(10 * TTL_MS);
    assert_eq!(scene.check(&scene.solved(2, later), later), Verdict::Accepted);
    assert_eq!(scene.check(&spent, NOW.plus(1)), Verdict::Expired);
    assert_eq!(scene.check(&scene.solved(3, NOW.plus(1)), NOW.plus(1)), Verdict::Accepted);
}

#[test]
fn the_set_of_spent_ones_is_bounded_and_empties_by_itself() {
    let scene = Scene::new(1, 3);
    for nonce in 0..3 {
        assert_eq!(scene.check(&scene.solved(nonce, NOW), NOW), Verdict::Accepted);
    }
    let late = scene.solved(3, NOW.plus(1));
    assert_eq!(scene.check(&late, NOW.plus(1)), Verdict::Full);
    assert_eq!(scene.check(&scene.solved(0, NOW), NOW), Verdict::Replayed, "full or not");
    assert_eq!(scene.check(&late, NOW.plus(TTL_MS)), Verdict::Accepted, "it was not spent by being refused");
    assert_eq!(scene.guard.used.lock().unwrap().spent.len(), 1);
}
