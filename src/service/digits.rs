//! Decimal digits of any script, folded to ASCII: the one rule that phone numbers and codes share.
//!
//! Owns the table of Unicode's decimal digits; never decides what else a text may hold.

/// The zero of every run of decimal digits (general category Nd) of Unicode 16; the nine scalars after
/// each are its digits 1 to 9. Sorted, because it is searched by halves.
const ZEROES: [u32; 76] = [
    0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6,
    0x0E50, 0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40,
    0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x10D40, 0x11066,
    0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0,
    0x11950, 0x11BF0, 0x11C50, 0x11D50, 0x11DA0, 0x11F50, 0x16130, 0x16A60, 0x16AC0, 0x16B50, 0x16D70, 0x1CCF0,
    0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1, 0x1E950, 0x1FBF0,
];

/// The ASCII digit that `c` stands for, whatever its script; `None` if it is no decimal digit.
pub fn to_ascii(c: char) -> Option<char> {
    if c.is_ascii() {
        return c.is_ascii_digit().then_some(c);
    }
    let scalar = u32::from(c);
    let run = ZEROES.partition_point(|zero| *zero <= scalar).checked_sub(1)?;
    let value = scalar - ZEROES.get(run)?;
    if value < 10 { char::from_digit(value, 10) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// security 6, 47: Persian, Arabic-Indic, fullwidth and other digits fold; their neighbours do not.
    #[test]
    fn folds_digits_of_every_script() {
        for zero in ZEROES {
            for value in 0..10 {
                let c = char::from_u32(zero + value).unwrap();
                assert_eq!(to_ascii(c), char::from_digit(value, 10), "U+{:04X}", zero + value);
            }
        }
        for c in ['/', ':', 'a', '\u{65F}', '\u{66A}', '\u{6EF}', '\u{6FA}', '\u{FF0F}', '\u{FF1A}', '²', '½', 'Ⅷ', '𝟿']
        {
            assert_eq!(to_ascii(c), (c == '𝟿').then_some('9'), "{c:?}");
        }
    }

    /// The table is searched by halves, so it must be sorted; every entry is numeric to the standard library.
    #[test]
    fn the_table_is_sorted_and_holds_numbers() {
        assert!(ZEROES.windows(2).all(|pair| pair[0] + 9 < pair[1]));
        for zero in ZEROES {
            assert!((0..10).all(|value| char::from_u32(zero + value).unwrap().is_numeric()), "U+{zero:04X}");
        }
    }
}
