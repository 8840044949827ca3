//! Shard supervisors: they count how activations start and end, log failures, and never stop because of a child.
//!
//! A virtual actor needs no restart strategy: the next message is the restart. Shards exist so that no event queue
//! grows long and no fault takes more than its shard; each event is a count, so a burst of a hundred thousand ends
//! is worked off in milliseconds. They are stopped only after all their children have ended, because a supervisor
//! that stops kills its children.

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};

use super::{actor, meters::Meters};

/// One shard.
struct Supervisor {
    meters: Arc<Meters>,
}

/// Nobody sends a supervisor anything.
enum Nothing {}

/// Starts `count` supervisors. Children may be linked at once, before they run.
pub(super) fn start(count: usize, meters: &Arc<Meters>) -> Vec<ActorCell> {
    let shard = |_| {
        let supervisor = Supervisor { meters: Arc::clone(meters) };
        // Only a name that is taken can fail here, and there is none.
        ActorRuntime::spawn_instant(None, supervisor, ()).ok().map(|(shard, _detached)| shard.get_cell())
    };
    (0..count.max(1)).filter_map(shard).collect()
}

impl Actor for Supervisor {
    type Msg = Nothing;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _myself: ActorRef<Nothing>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Nothing>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorStarted(_) => self.meters.started(),
            SupervisionEvent::ActorTerminated(actor, state, reason) => {
                // A killed actor reports its end as an orderly one, so the state has to say whether it was.
                if state.is_some_and(actor::ended_in_order) {
                    self.meters.ended();
                } else {
                    self.meters.failed();
                    tracing::warn!(actor = %actor.get_id(), reason, "phone actor was cut off");
                }
            }
            SupervisionEvent::ActorFailed(actor, reason) => {
                self.meters.failed();
                tracing::error!(actor = %actor.get_id(), %reason, "phone actor failed");
            }
            SupervisionEvent::ProcessGroupChanged(_) => {}
        }
        Ok(())
    }
}
