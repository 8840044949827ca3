//! What the store does behind the traffic, each on a thread of its own: it folds, merges, builds the filter and, buffered,
//! syncs. Owns when and how fast; what is done is `engine`'s business.

use std::{
    io,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{BUFFERED_FLUSH_EVERY, Durability, Shared, SledSettings, beat::Beat, engine::Engine, walk::Walk};

/// So many times as long as it works a fold rests, unless it is waited for: it takes a quarter of a core.
const FOLD_REST: u32 = 3;
/// The same for a merge, which has more time: with an eighth of a core it takes 100,000 entries per second, of which there
/// are few times as many as starts.
const MERGE_REST: u32 = 7;
/// The longest work that counts: a slice that had to wait for the disk has rested already.
const REST_MAX: Duration = Duration::from_millis(5);
/// How often the filter is looked at, whether it is to be built anew.
const FILTER_LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often the runs are looked at, whether some are to be merged.
const MERGE_LOOK_EVERY: Duration = Duration::from_millis(500);

/// They end when this is dropped.
#[derive(Debug)]
pub(super) struct Threads {
    folder: Beat,
    _merger: Beat,
    _filter: Beat,
    _flusher: Option<Beat>,
}

impl Threads {
    /// The fold's time has come.
    pub(super) fn fold(&self) {
        self.folder.wake();
    }
}

/// Between two slices, by a thread of the store's own: so many times as long as the last one took.
fn rest(times: u32, since: Instant) {
    #[expect(clippy::disallowed_methods, reason = "no runtime thread")]
    thread::sleep(times * since.elapsed().min(REST_MAX));
}

impl Shared {
    /// Starts all of them.
    pub(super) fn threads(self: &Arc<Self>, settings: &SledSettings) -> io::Result<Threads> {
        let (to_fold, to_merge, to_flush, to_filter) =
            (Arc::clone(self), Arc::clone(self), Arc::clone(self), Arc::clone(self));
        let fold_every = settings.fold_every;
        let folder = Beat::start("store-folder", fold_every, move || {
            to_fold.fold();
            fold_every
        })?;
        let merger = Beat::start("store-merger", MERGE_LOOK_EVERY, move || {
            to_merge.merge();
            MERGE_LOOK_EVERY
        })?;
        let flusher = match settings.durability {
            Durability::Fsync => None,
            Durability::Buffered => Some(Beat::start("store-flusher", BUFFERED_FLUSH_EVERY, move || {
                to_flush.flush();
                BUFFERED_FLUSH_EVERY
            })?),
        };
        let mut walk = None;
        let filter = Beat::start("store-filter", Duration::ZERO, move || to_filter.filter(&mut walk))?;
        Ok(Threads { folder, _merger: merger, _filter: filter, _flusher: flusher })
    }

    /// One step of building the filter; answers when the next one is to be.
    fn filter(&self, walk: &mut Option<Walk>) -> Duration {
        let started = Instant::now();
        let Ok(engine) = self.engine() else { return FILTER_LOOK_EVERY };
        let Some(engine) = engine.as_ref() else { return FILTER_LOOK_EVERY };
        let step = match walk.take() {
            Some(walk) => engine.filter_page(walk),
            None => engine.begin_filter(),
        };
        // Without it all is as right and a little slower, so a bad page is no reason to stop.
        *walk = step.inspect_err(|error| tracing::warn!(%error, "filter of numbers not built")).ok().flatten();
        // Behind the traffic: a third of a core at most.
        if walk.is_some() { 2 * started.elapsed() } else { FILTER_LOOK_EVERY }
    }

    /// Merges until there is nothing to merge.
    fn merge(&self) {
        let (mut started, mut slice) = (Instant::now(), Instant::now());
        let mut merge = |engine: &Engine| {
            // The last room on the disk is for what is waited for.
            let may_go_on = || !self.is_closing.load(Ordering::Relaxed) && self.room(engine).is_ok();
            let pace = || {
                if !engine.runs().is_half_full() {
                    rest(MERGE_REST, slice);
                }
                slice = Instant::now();
                if may_go_on() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            };
            Ok(may_go_on() && engine.merge(pace)?)
        };
        while self.with_engine(&mut merge) == Some(true) {
            self.merge_seconds.record(started.elapsed().as_secs_f64());
            started = Instant::now();
        }
    }

    /// Makes durable what was acknowledged before it was.
    fn flush(&self) {
        let unsynced = self.with_engine(|engine| Ok(engine.writer()?.take_unsynced())).flatten();
        // Without the turn to write: nobody waits for this.
        if let Some(Err(error)) = unsynced.map(|file| file.sync_data()) {
            self.fail(&format!("sync of the log: {}", error.kind()));
        }
    }

    fn fold(&self) {
        let (started, mut slice) = (Instant::now(), Instant::now());
        let pace = || {
            if !self.in_haste.load(Ordering::Relaxed) {
                rest(FOLD_REST, slice);
            }
            slice = Instant::now();
        };
        let fold = |engine: &Engine| {
            // While there is no place for another run the log fills up, and refuses in its turn.
            let folded = if engine.runs().is_full() { 0 } else { engine.fold(pace)? };
            Ok((folded, engine.must_hurry()?))
        };
        let folded = self.with_engine(fold);
        self.in_haste.store(folded.is_some_and(|(_, must_hurry)| must_hurry), Ordering::Relaxed);
        if folded.is_some_and(|(entries, _)| entries > 0) {
            self.fold_seconds.record(started.elapsed().as_secs_f64());
        }
    }
}
