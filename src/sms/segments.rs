//! How many parts a text is sent and billed as (`providers.md` section 12).
//!
//! Owns the two alphabets of SMS. Never changes a text.

/// Units of a text that fits one part, and of each part of a longer one (its header takes the rest).
struct Room {
    single: usize,
    split: usize,
}

/// GSM-7: units are septets.
const GSM: Room = Room { single: 160, split: 153 };
/// UCS-2: units are UTF-16 code units.
const UCS2: Room = Room { single: 70, split: 67 };

/// Letters of the GSM-7 default alphabet that are one septet.
const GSM_BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡\
ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Letters of its extension table: an escape and a septet.
const GSM_EXTENDED: &str = "€[]{}\\^~|\u{c}";

/// What a text is sent in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// The default alphabet with its extension table; units are septets.
    Gsm7,
    /// Everything else; units are UTF-16 code units.
    Ucs2,
}

impl Alphabet {
    /// The name that providers use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }
}

/// A text as it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    /// In what.
    pub alphabet: Alphabet,
    /// How long, in that alphabet's units.
    pub units: usize,
    /// In how many parts, each of which is billed; an empty text is one.
    pub parts: usize,
}

/// Measures a text.
///
/// A single letter outside GSM-7 makes the whole text UCS-2. Neither an escape pair nor a surrogate
/// pair is cut, so a part may stay short by one unit.
pub fn measure(text: &str) -> Measure {
    match text.chars().map(septets).sum() {
        Some(units) => {
            let parts = fill(&GSM, units, text.chars().filter_map(septets));
            Measure { alphabet: Alphabet::Gsm7, units, parts }
        }
        None => {
            let units = text.chars().map(char::len_utf16).sum();
            let parts = fill(&UCS2, units, text.chars().map(char::len_utf16));
            Measure { alphabet: Alphabet::Ucs2, units, parts }
        }
    }
}

/// The parts a text is sent as.
pub fn parts(text: &str) -> usize {
    measure(text).parts
}

/// True if every letter is in GSM-7, its extension table included.
pub(super) fn is_gsm(text: &str) -> bool {
    text.chars().all(|letter| septets(letter).is_some())
}

/// Bytes a text takes on the air: packed septets, or two per UTF-16 unit. Android's SMS Retriever
/// reads at most 140.
pub fn air_bytes(text: &str) -> usize {
    let septets: Option<usize> = text.chars().map(septets).sum();
    septets.map_or_else(|| text.encode_utf16().count() * 2, |septets| (septets * 7).div_ceil(8))
}

fn septets(letter: char) -> Option<usize> {
    // Before the search: nearly every letter of nearly every text, and each send is measured.
    if letter.is_ascii_alphanumeric() || matches!(letter, ' ' | '.' | ',' | ':' | '-') {
        return Some(1);
    }
    if GSM_BASIC.contains(letter) {
        Some(1)
    } else if GSM_EXTENDED.contains(letter) {
        Some(2)
    } else {
        None
    }
}

/// The parts that letters of these widths, so many units in all, are cut into.
fn fill(room: &Room, units: usize, widths: impl Iterator<Item = usize>) -> usize {
    if units <= room.single {
        return 1;
    }
    let cut = |(parts, used), width| if used + width > room.split { (parts + 1, width) } else { (parts, used + width) };
    widths.fold((1, 0), cut).0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of `providers.md` section 12, and the pairs that may not be cut.
    #[test]
    fn parts_of_known_texts() {
        let table = [
            (String::new(), 1),
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(159) + "€", 2),
            ("a".repeat(158) + "€", 1),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("س".repeat(70), 1),
            ("س".repeat(71), 2),
            ("س".repeat(69) + "😀", 2),
            ("س".repeat(134), 2),
            ("س".repeat(135), 3),
            // The pair would lie across parts one and two, so part one stays short and a third is needed.
            ("a".repeat(152) + "€" + &"a".repeat(152), 3),
            ("س".repeat(66) + "😀" + &"س".repeat(66), 3),
        ];
        for (text, expected) in table {
            assert_eq!(parts(&text), expected, "{} letters", text.chars().count());
        }
    }

    /// One letter decides for all; an escape costs a unit of its own.
    #[test]
    fn alphabets_and_units() {
        let table = [
            ("clave", Alphabet::Gsm7, 5),
            ("código", Alphabet::Ucs2, 6),
            ("à é ù ñ ö ü", Alphabet::Gsm7, 11),
            ("Ç", Alphabet::Gsm7, 1),
            ("ç", Alphabet::Ucs2, 1),
            ("5 €", Alphabet::Gsm7, 4),
            ("😀", Alphabet::Ucs2, 2),
            ("", Alphabet::Gsm7, 0),
        ];
        for (text, alphabet, units) in table {
            assert_eq!(measure(text), Measure { alphabet, units, parts: 1 }, "{text}");
        }
    }

    #[test]
    fn bytes_on_the_air() {
        for (text, expected) in [("a".repeat(160), 140), ("a".repeat(161), 141), ("س".repeat(70), 140)] {
            assert_eq!(air_bytes(&text), expected);
        }
    }
}
