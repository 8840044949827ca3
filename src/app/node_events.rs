//! What routes and guard notice, in the words of the events that the operator's back end is told.

use crate::{
    events::{Budget, Events, NodeEvent, Prefix},
    guard::{Country, GuardEvent, Micros, Rule},
    sms::{breaker::Change, sender::OnChange},
    spending::OnEvent,
};

/// A gateway is left alone, or used again.
pub(super) fn of_routes(events: Events) -> OnChange {
    Box::new(move |gateway, change| {
        let gateway = gateway.to_owned();
        events.note(match change {
            Change::Opened => NodeEvent::RouteOpened { gateway },
            Change::Closed => NodeEvent::RouteClosed { gateway },
        });
    })
}

/// A budget or a block of numbers.
pub(super) fn of_the_guard(events: Events) -> OnEvent {
    Box::new(move |event| {
        events.note(match event {
            GuardEvent::BudgetThreshold { country, percent, spent, budget } => {
                NodeEvent::BudgetThreshold(of_budget(country, percent, spent, budget))
            }
            GuardEvent::BudgetExhausted { country, spent, budget, .. } => {
                NodeEvent::BudgetExhausted(of_budget(country, 100, spent, budget))
            }
            GuardEvent::PrefixClosed { prefix, hidden_digits, .. } => {
                NodeEvent::PrefixClosed(of_prefix(prefix, hidden_digits))
            }
            GuardEvent::PrefixReopened { prefix, hidden_digits } => {
                NodeEvent::PrefixReopened(of_prefix(prefix, hidden_digits))
            }
        });
    })
}

fn of_budget(country: Option<Country>, percent: u8, spent: Micros, budget: Micros) -> Budget {
    let country = country.map(|country| country.to_string()).unwrap_or_default();
    Budget { country, limit_micros: budget.0, spent_micros: spent.0, percent }
}

fn of_prefix(prefix: u64, hidden_digits: u8) -> Prefix {
    let prefix = format!("+{prefix}{}", "*".repeat(usize::from(hidden_digits)));
    Prefix { prefix, rule: Rule::Conversion.name().to_owned() }
}
