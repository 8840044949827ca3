//! XML for Twilio, written from a tree so that no text can become markup.

use std::fmt::{self, Write as _};

/// A piece of a document.
pub(super) enum Node {
    Text(String),
    Element { name: &'static str, attributes: Vec<(&'static str, &'static str)>, children: Vec<Self> },
}

impl Node {
    pub(super) fn element(
        name: &'static str,
        attributes: impl IntoIterator<Item = (&'static str, &'static str)>,
        children: impl IntoIterator<Item = Self>,
    ) -> Self {
        let (attributes, children) = (attributes.into_iter().collect(), children.into_iter().collect());
        Self::Element { name, attributes, children }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => escaped(f, text),
            Self::Element { name, attributes, children } => {
                write!(f, "<{name}")?;
                for (name, value) in attributes {
                    write!(f, " {name}=\"")?;
                    escaped(f, value)?;
                    f.write_char('"')?;
                }
                if children.is_empty() {
                    return f.write_str("/>");
                }
                f.write_char('>')?;
                for child in children {
                    child.fmt(f)?;
                }
                write!(f, "</{name}>")
            }
        }
    }
}

/// What XML 1.0 has no place for, not even escaped, is left out: it could not be said either.
fn escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for letter in text.chars() {
        match letter {
            '&' => f.write_str("&amp;")?,
            '<' => f.write_str("&lt;")?,
            '>' => f.write_str("&gt;")?,
            '"' => f.write_str("&quot;")?,
            '\'' => f.write_str("&apos;")?,
            '\t' | '\n' | '\r' => f.write_char(' ')?,
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => f.write_char(letter)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let text = Node::Text("</Say><Hangup/>&amp; \"q\" 'q'\n\0\u{1b}کد".to_owned());
        let node = Node::element("Say", [("voice", "a\"b<c>&")], [text, Node::element("Pause", [], [])]);
        let expected = "<Say voice=\"a&quot;b&lt;c&gt;&amp;\">&lt;/Say&gt;&lt;Hangup/&gt;&amp;amp; &quot;q&quot; \
                        &apos;q&apos; کد<Pause/></Say>";
        assert_eq!(node.to_string(), expected);
    }
}
