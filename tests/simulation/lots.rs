//! The simulation's only source of chance: everything that is drawn follows from the seed.

/// SplitMix64: any seed is good, and neighbouring seeds have nothing in common.
#[derive(Debug)]
pub(crate) struct Lots(u64);

impl Lots {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// 0 to `most` - 1.
    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.draw() % most.max(1)
    }

    pub(crate) fn index(&mut self, most: usize) -> usize {
        usize::try_from(self.below(most as u64)).unwrap()
    }

    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True in `of_1000` of a thousand cases.
    pub(crate) fn chance(&mut self, of_1000: u64) -> bool {
        self.below(1_000) < of_1000
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.index(from.len()))
    }

    /// One of the list, the last ones far more often than the first.
    pub(crate) fn recent<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let back = if self.chance(700) { self.below(2) } else { self.below(from.len() as u64) };
        let back = usize::try_from(back).unwrap() + 1;
        from.get(from.len().saturating_sub(back))
    }

    /// Which of the weights the lot falls on.
    pub(crate) fn weighted(&mut self, weights: &[u64]) -> usize {
        let mut lot = self.below(weights.iter().sum());
        for (index, weight) in weights.iter().enumerate() {
            match lot.checked_sub(*weight) {
                None => return index,
                Some(rest) => lot = rest,
            }
        }
        0
    }
}
