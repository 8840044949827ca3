//! Which gateways a message may go by, and in which order.
//!
//! Owns the route table. Never asks a gateway and knows nothing of how they fare: [`Sender`](super::sender::Sender)
//! puts the statistics on top and leaves out who is failing.

use std::sync::Arc;

use super::{Channel, Gateway, SettingError, country::Country};
use crate::record::PhoneNumber;

/// One row of `[[sms.routes]]`.
#[derive(Debug, Clone)]
pub struct RouteRow {
    /// Only numbers of this country; `None`: of any.
    pub country: Option<Country>,
    /// Only numbers that begin with these digits (country code first, no `+`); empty: any.
    pub prefix: String,
    /// For this channel.
    pub channel: Channel,
    /// Who may send, the first choice first; at least one.
    pub gateways: Vec<Arc<dyn Gateway>>,
}

/// Where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Destination {
    /// The number.
    pub number: PhoneNumber,
    /// Its country, if the numbering plans know one.
    pub country: Option<Country>,
}

/// By what a message is asked to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By this channel.
    Channel(Channel),
    /// By whichever of `sms.auto_channels` arrives.
    Auto,
}

/// How the gateways of a row are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As they are written.
    #[default]
    Configured,
    /// Those first whose codes are used most, by what happened lately.
    Adaptive,
}

/// One step of a plan: a gateway of the table and the channel it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leg {
    pub(super) channel: Channel,
    /// Its place among [`Routes::gateways`].
    pub(super) line: usize,
}

/// Who may be asked for one message, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    pub(super) destination: Destination,
    pub(super) legs: Vec<Leg>,
}

impl Plan {
    /// True if no gateway is configured for it.
    pub fn is_empty(&self) -> bool {
        self.legs.is_empty()
    }

    /// Most gateways that may be asked for one message by this plan.
    pub fn len(&self) -> usize {
        self.legs.len()
    }

    /// The same without its last step.
    #[must_use]
    pub fn but_last(mut self) -> Self {
        self.legs.pop();
        self
    }

    /// The channel of its first step.
    pub fn first_channel(&self) -> Option<Channel> {
        self.legs.first().map(|leg| leg.channel)
    }

    /// Where it leads.
    pub fn destination(&self) -> Destination {
        self.destination
    }
}

/// The table.
#[derive(Debug)]
pub struct Routes {
    gateways: Vec<Arc<dyn Gateway>>,
    rows: Vec<Row>,
    /// Who sends when no row says otherwise.
    default: usize,
    auto: Vec<Channel>,
}

#[derive(Debug)]
struct Row {
    country: Option<Country>,
    prefix: String,
    channel: Channel,
    lines: Vec<usize>,
}

impl Row {
    fn leads_to(&self, destination: &Destination) -> bool {
        let country = self.country.is_none() || self.country == destination.country;
        country && (self.prefix.is_empty() || destination.number.as_u64().to_string().starts_with(&self.prefix))
    }
}

impl Routes {
    /// One gateway for everything it can do.
    pub fn only(gateway: Arc<dyn Gateway>) -> Self {
        let auto = Channel::ALL.into_iter().filter(|channel| gateway.channels().contains(channel)).collect();
        Self { gateways: vec![gateway], rows: Vec::new(), default: 0, auto }
    }

    /// The table of `rows`, tried in their order, and who sends where none matches. `auto` names the channels of
    /// messages that leave the choice to us, the first choice first.
    pub fn new(default: Arc<dyn Gateway>, rows: Vec<RouteRow>, auto: &[Channel]) -> Result<Self, SettingError> {
        let mut routes = Self { gateways: vec![default], rows: Vec::new(), default: 0, auto: auto.to_vec() };
        for row in rows {
            if row.gateways.is_empty() {
                return Err(SettingError::new("routes", "each entry needs a gateway"));
            }
            if row.gateways.iter().any(|gateway| !gateway.channels().contains(&row.channel)) {
                return Err(SettingError::new("routes", "a gateway cannot send by the channel of its entry"));
            }
            let lines: Vec<usize> = row.gateways.into_iter().map(|gateway| routes.line(gateway)).collect();
            routes.rows.push(Row { country: row.country, prefix: row.prefix, channel: row.channel, lines });
        }
        Ok(routes)
    }

    /// The place of a gateway; a new name is added at the end.
    fn line(&mut self, gateway: Arc<dyn Gateway>) -> usize {
        let known = self.gateways.iter().position(|known| known.name() == gateway.name());
        known.unwrap_or_else(|| {
            self.gateways.push(gateway);
            self.gateways.len() - 1
        })
    }

    /// Every gateway in use, each once.
    pub fn gateways(&self) -> &[Arc<dyn Gateway>] {
        &self.gateways
    }

    /// Who may be asked for a message, in the configured order. Of the first row that matches, or of the default
    /// gateway if none does; under [`Way::Auto`] that for each channel in turn. Nobody is named twice for a channel.
    pub fn plan(&self, destination: Destination, way: Way) -> Plan {
        let channels = match &way {
            Way::Channel(channel) => std::slice::from_ref(channel),
            Way::Auto => &self.auto,
        };
        let mut legs = Vec::new();
        for &channel in channels {
            let row = self.rows.iter().find(|row| row.channel == channel && row.leads_to(&destination));
            let lines = row.map_or_else(|| self.by_default(channel), |row| row.lines.clone());
            for leg in lines.into_iter().map(|line| Leg { channel, line }) {
                if !legs.contains(&leg) {
                    legs.push(leg);
                }
            }
        }
        Plan { destination, legs }
    }

    fn by_default(&self, channel: Channel) -> Vec<usize> {
        let can = self.gateways.get(self.default).is_some_and(|gateway| gateway.channels().contains(&channel));
        if can { vec![self.default] } else { Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::sms::{Accepted, SendError, Sms};

    #[derive(Debug)]
    struct Named(&'static str, &'static [Channel]);

    #[async_trait]
    impl Gateway for Named {
        fn name(&self) -> &'static str {
            self.0
        }
        fn channels(&self) -> &[Channel] {
            self.1
        }
        fn is_real(&self) -> bool {
            false
        }
        async fn send(&self, _: &Sms) -> Result<Accepted, SendError> {
            Ok(Accepted::default())
        }
    }

    const SMS: &[Channel] = &[Channel::Sms];
    const BOTH: &[Channel] = &[Channel::Sms, Channel::Voice];

    fn gateway(name: &'static str, channels: &'static [Channel]) -> Arc<dyn Gateway> {
        Arc::new(Named(name, channels))
    }

    fn row(country: &str, prefix: &str, channel: Channel, names: &[&'static str]) -> RouteRow {
        let gateways = names.iter().map(|name| gateway(name, BOTH)).collect();
        RouteRow { country: Country::named(country), prefix: prefix.to_owned(), channel, gateways }
    }

    fn to(number: &str, country: &str) -> Destination {
        Destination { number: PhoneNumber::from_e164(number).unwrap(), country: Country::named(country) }
    }

    fn names(routes: &Routes, destination: Destination, way: Way) -> Vec<String> {
        let plan = routes.plan(destination, way);
        let name = |leg: &Leg| format!("{}:{}", leg.channel, routes.gateways()[leg.line].name());
        plan.legs.iter().map(name).collect()
    }

    #[test]
    fn the_first_row_that_matches_says_who_sends() {
        let rows = vec![
            row("IR", "98912", Channel::Sms, &["c"]),
            row("IR", "", Channel::Sms, &["a", "b"]),
            row("", "1", Channel::Sms, &["b", "b"]),
            row("IR", "", Channel::Voice, &["b", "d"]),
        ];
        let routes = Routes::new(gateway("d", SMS), rows, &[Channel::Voice, Channel::Sms]).unwrap();
        let sms = Way::Channel(Channel::Sms);
        for (number, country, expected) in [
            ("+989123456789", "IR", vec!["sms:c"]),
            ("+989353456789", "IR", vec!["sms:a", "sms:b"]),
            ("+14155550123", "US", vec!["sms:b"]),
            ("+4915112345678", "DE", vec!["sms:d"]),
        ] {
            assert_eq!(names(&routes, to(number, country), sms), expected, "{number}");
        }
        assert_eq!(names(&routes, to("+989123456789", "IR"), Way::Auto), ["voice:b", "voice:d", "sms:c"]);
        assert_eq!(names(&routes, to("+4915112345678", "DE"), Way::Auto), ["sms:d"]);
        assert!(routes.plan(to("+4915112345678", "DE"), Way::Channel(Channel::Voice)).is_empty());
        let used: Vec<_> = routes.gateways().iter().map(|gateway| gateway.name()).collect();
        assert_eq!(used, ["d", "c", "a", "b"]);
    }

    #[test]
    fn a_row_needs_gateways_that_can_do_its_channel() {
        let empty = RouteRow { gateways: Vec::new(), ..row("IR", "", Channel::Sms, &["a"]) };
        let unable = RouteRow { gateways: vec![gateway("s", SMS)], ..row("IR", "", Channel::Voice, &["a"]) };
        for bad in [empty, unable] {
            assert_eq!(Routes::new(gateway("d", SMS), vec![bad], &[]).unwrap_err().setting, "routes");
        }
    }

    #[test]
    fn one_gateway_serves_what_it_can() {
        let routes = Routes::only(gateway("d", BOTH));
        let there = to("+4915112345678", "DE");
        assert_eq!(names(&routes, there, Way::Auto), ["sms:d", "voice:d"]);
        assert_eq!(names(&routes, there, Way::Channel(Channel::Voice)), ["voice:d"]);
        assert!(routes.plan(there, Way::Channel(Channel::Whatsapp)).is_empty());
    }
}
