//! From settings to the posts of events.

use std::sync::Arc;

use super::{StartError, World, gateways};
use crate::{
    record::{EventFilter, Keyring},
    settings::{self, Settings},
    store::{OutboxLimits, SnapshotStore},
    webhooks::{self, DeadLetters, Dispatcher, HttpCourier, Webhooks, WebhooksSettings},
};

/// Which events are kept for the operator's back end: none without a URL.
pub(super) fn filter(settings: &Settings) -> Result<EventFilter, StartError> {
    if settings.webhooks.url.is_empty() {
        return Ok(EventFilter::default());
    }
    Ok(webhooks::filter(&settings.webhooks.events)?)
}

/// The posts of events, if there is a URL for them.
pub(super) fn start(
    settings: &Settings,
    world: &World,
    store: &Arc<dyn SnapshotStore>,
    keys: &Arc<Keyring>,
) -> Result<Option<Webhooks>, StartError> {
    if settings.webhooks.url.is_empty() {
        return Ok(None);
    }
    let settings = posts(&settings.webhooks);
    let dispatcher = Dispatcher {
        store: Arc::clone(store),
        courier: Arc::new(HttpCourier::new(&settings)?),
        clock: Arc::clone(&world.clock),
        keys: Arc::clone(keys),
    };
    Ok(Some(dispatcher.start(&settings)?))
}

fn posts(webhooks: &settings::Webhooks) -> WebhooksSettings {
    WebhooksSettings {
        url: webhooks.url.clone(),
        secret: webhooks.secret.clone().unwrap_or_default(),
        secret_previous: webhooks.secret_previous.clone(),
        events: webhooks.events.clone(),
        retry_after: webhooks.retry_after.clone(),
        posts_max: webhooks.posts_max,
        outbox: OutboxLimits { pending_max: webhooks.outbox_max, dead_max: webhooks.dead_max },
        notes_max: webhooks.notes_max,
        limits: gateways::http_limits(&webhooks.limits),
    }
}

/// The events that could not be delivered; also while none is posted.
pub(super) fn dead_letters(webhooks: Option<&Webhooks>, store: &Arc<dyn SnapshotStore>) -> DeadLetters {
    webhooks.map_or_else(|| DeadLetters::new(Arc::clone(store)), |webhooks| webhooks.dead_letters.clone())
}

/// What is wrong with the settings of the posts, found without starting any.
pub(super) fn fault(settings: &Settings) -> Result<(), StartError> {
    if settings.webhooks.url.is_empty() {
        return Ok(());
    }
    Ok(HttpCourier::new(&posts(&settings.webhooks)).map(drop)?)
}
