//! The table: what was measured, what must be reached, what would be nice, and whether it is.

use std::fmt;

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// So many times another figure.
    Times,
    Ms,
    Seconds,
    MiB,
    GiB,
    Bytes,
    MiBPerS,
}

impl Unit {
    fn text(self, figure: f64) -> String {
        match self {
            Self::Times => format!("{figure:.2}×"),
            Self::Ms => format!("{figure:.2} ms"),
            Self::Seconds => format!("{figure:.2} s"),
            Self::MiB => format!("{figure:.0} MiB"),
            Self::GiB => format!("{figure:.2} GiB"),
            Self::Bytes => format!("{figure:.0} B"),
            Self::MiBPerS => format!("{figure:.2} MiB/s"),
        }
    }
}

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
    /// Told, and held against nothing.
    None,
}

impl Bound {
    fn holds(self, figure: f64) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(figure >= bound),
            Self::AtMost(bound) => Some(figure <= bound),
            Self::None => None,
        }
    }

    fn text(self, unit: Unit) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {}", unit.text(bound)),
            Self::AtMost(bound) => format!("≤ {}", unit.text(bound)),
            Self::None => String::new(),
        }
    }
}

/// Figures of several rounds.
#[derive(Debug, Clone, Default)]
pub(crate) struct Figures(Vec<f64>);

impl Figures {
    pub(crate) fn one(figure: f64) -> Self {
        Self(vec![figure])
    }

    /// The middle one; of an even number the mean of the two in the middle. 0 of none.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |at: usize| sorted.get(at).copied().unwrap_or_default();
        let half = sorted.len() / 2;
        if sorted.len().is_multiple_of(2) { f64::midpoint(at(half.saturating_sub(1)), at(half)) } else { at(half) }
    }

    fn spread(&self, unit: Unit) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match self.0.len() {
            0 | 1 => String::new(),
            n => format!("{} to {}, n = {n}; ", unit.text(least), unit.text(most)),
        }
    }
}

impl FromIterator<f64> for Figures {
    fn from_iter<T: IntoIterator<Item = f64>>(figures: T) -> Self {
        Self(figures.into_iter().collect())
    }
}

/// A line of the table.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) figures: Figures,
    pub(crate) unit: Unit,
    pub(crate) must: Bound,
    pub(crate) aim: Bound,
    /// The absolute figures.
    pub(crate) beside: String,
}

impl Row {
    fn verdict(&self) -> &'static str {
        let median = self.figures.median();
        match (self.must.holds(median), self.aim.holds(median)) {
            (Some(false), _) => "NOT met",
            (_, Some(true)) => "aim met",
            (Some(true), _) => "met",
            (None, Some(false)) => "aim not met",
            (None, None) => "",
        }
    }

    fn cells(&self) -> [String; 6] {
        [
            self.what.clone(),
            self.unit.text(self.figures.median()),
            self.must.text(self.unit),
            self.aim.text(self.unit),
            self.verdict().to_owned(),
            format!("{}{}", self.figures.spread(self.unit), self.beside),
        ]
    }
}

const HEAD: [&str; 6] = ["What", "Measured", "Must", "Aim", "", "Spread and absolute figures"];

impl fmt::Display for Row {
    /// For a terminal, as it comes in: two lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [what, measured, must, aim, verdict, beside] = self.cells();
        let aim = if aim.is_empty() { aim } else { format!("  aim {aim}") };
        let must = if must.is_empty() { must } else { format!("  must {must}") };
        write!(f, "{what}\n    {measured}{must}{aim}  {verdict}\n    {beside}")
    }
}

/// For the README.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&HEAD.map(str::to_owned));
    text.push_str(&line(&HEAD.map(|_| "---".to_owned())));
    rows.iter().for_each(|row| text.push_str(&line(&row.cells())));
    text
}
