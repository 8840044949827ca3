//! By what a code travels.

use std::fmt;

use super::label::Label;

/// A way a message reaches a phone. Which gateway can take which is the gateway's to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// A text message.
    Sms,
    /// A call that says the code.
    Voice,
    /// A WhatsApp message.
    Whatsapp,
}

impl Channel {
    /// Every channel, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Sms, Self::Voice, Self::Whatsapp];

    /// The channel in configuration, metrics, audit events and answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sms => "sms",
            Self::Voice => "voice",
            Self::Whatsapp => "whatsapp",
        }
    }

    /// The channel as a record keeps it.
    pub const fn label(self) -> Label {
        Label::of(self.name())
    }

    /// The channel of that name; `None` for any other text, `auto` included.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|channel| channel.name() == name)
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back() {
        for channel in Channel::ALL {
            assert_eq!(Channel::named(channel.name()), Some(channel));
            assert_eq!(channel.label().as_str(), channel.name());
        }
        assert_eq!(["auto", "SMS", ""].into_iter().find_map(Channel::named), None);
    }
}
