//! The one place that draws randomness.

use std::fmt::Debug;

/// A source of random bytes; a seeded one stands in for it in simulations.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills the buffer with unpredictable bytes.
    fn fill(&self, buffer: &mut [u8]);

    /// 64 random bits.
    fn draw(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(clippy::expect_used, reason = "without randomness no code may be made: stopping is the only safe answer")]
    fn fill(&self, buffer: &mut [u8]) {
        use rand::TryRng as _;
        rand::rngs::SysRng.try_fill_bytes(buffer).expect("the operating system has a random generator");
    }
}
