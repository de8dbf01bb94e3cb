//! The native statements that stay prepared.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use batch_core::{JsonStatement, NativeStatement, Result};
use foldhash::fast::FixedState;
use tokio::time::Instant;

use crate::statement::{Native, Typed};

/// Texts that stay prepared. A batch with more keeps all of its own.
const KEPT: usize = 1000;
/// For so long after its last use a statement may be one of a commit that runs, and stays too.
const IN_USE: Duration = Duration::from_secs(30);
/// The most that stay for that.
const KEPT_IN_USE: usize = 20_000;

/// Prepared native statements. What is wrong with one is kept as well.
#[derive(Debug, Default)]
pub(crate) struct StatementCache(Mutex<ByStatement>);

#[derive(Debug, Default)]
struct ByStatement {
    /// With their last use.
    texts: HashMap<Box<str>, (Instant, Result<Arc<Native>>), FixedState>,
    /// Those that are prepared, by their numbers.
    numbers: HashMap<u32, Arc<Native>, FixedState>,
    /// How many texts there were when it was last looked which of them are to go.
    looked_at: usize,
    /// By their address, which stays theirs as long as the weak handle is there.
    typed: HashMap<usize, (Weak<dyn NativeStatement>, Result<Arc<Native>>), FixedState>,
}

impl StatementCache {
    fn lock(&self) -> MutexGuard<'_, ByStatement> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a statement was prepared to, if it is kept.
    pub(crate) fn of(&self, statement: &Arc<dyn NativeStatement>) -> Option<Result<Arc<Native>>> {
        let mut natives = self.lock();
        match as_json(statement) {
            Some(json) => {
                let (used, native) = natives.texts.get_mut(json.text())?;
                *used = Instant::now();
                Some(native.clone())
            }
            None => {
                let (_, native) = natives.typed.get(&address(statement))?;
                Some(native.clone())
            }
        }
    }

    /// The statement that has this number, if it is kept.
    pub(crate) fn by_number(&self, number: u32) -> Option<Arc<Native>> {
        self.lock().numbers.get(&number).map(Arc::clone)
    }

    /// Keeps what a statement was prepared to, in the place of what it was before.
    pub(crate) fn keep(&self, statement: &Arc<dyn NativeStatement>, native: Result<Arc<Native>>) {
        let mut natives = self.lock();
        let ByStatement { texts, numbers, typed, .. } = &mut *natives;
        if let Ok(native) = &native {
            numbers.insert(native.number, Arc::clone(native));
        }
        match as_json(statement) {
            Some(json) => {
                let former = texts.insert(json.text().into(), (Instant::now(), native));
                former.into_iter().for_each(|(_, native)| gone(numbers, &native));
            }
            None => {
                let dead = typed.extract_if(|_, (alive, _)| alive.strong_count() == 0);
                dead.for_each(|(_, (_, native))| gone(numbers, &native));
                let former = typed.insert(address(statement), (Arc::downgrade(statement), native));
                former.into_iter().for_each(|(_, native)| gone(numbers, &native));
            }
        }
    }

    /// Forgets the texts that were used longest ago, but for so many, which a batch needs now.
    pub(crate) fn forget(&self, own: usize) {
        let mut natives = self.lock();
        let kept = KEPT.max(own);
        let ByStatement { texts, numbers, looked_at, .. } = &mut *natives;
        // Most of them may have to stay: the next look is worth it once there are some more.
        if texts.len() <= kept || texts.len() < *looked_at + *looked_at / 8 {
            return;
        }
        let mut uses: Vec<Instant> = texts.values().map(|(used, _)| *used).collect();
        uses.sort_unstable_by(|one, other| other.cmp(one));
        let of = |count: usize| uses.get(count.saturating_sub(1)).copied();
        let recent = Instant::now().checked_sub(IN_USE);
        let oldest = of(kept).min(recent).max(of(KEPT_IN_USE.max(own)));
        let old = texts.extract_if(|_, (used, _)| Some(*used) < oldest);
        old.for_each(|(_, (_, native))| gone(numbers, &native));
        *looked_at = texts.len();
    }
}

/// A statement that is not kept any more has no number either.
fn gone(numbers: &mut HashMap<u32, Arc<Native>, FixedState>, native: &Result<Arc<Native>>) {
    if let Ok(native) = native {
        numbers.remove(&native.number);
    }
}

/// A statement whose values are JSON.
pub(crate) fn as_json(statement: &Arc<dyn NativeStatement>) -> Option<&JsonStatement> {
    let any: &dyn Any = &**statement;
    any.downcast_ref()
}

/// A statement whose values are the driver's bytes.
pub(crate) fn as_typed(statement: &Arc<dyn NativeStatement>) -> Option<&Typed> {
    let any: &dyn Any = &**statement;
    any.downcast_ref()
}

fn address(statement: &Arc<dyn NativeStatement>) -> usize {
    Arc::as_ptr(statement).addr()
}
