//! The table of all cases, by topic in the order of an operation's life.

mod callbacks;
mod cancel;
mod capabilities;
mod faults;
mod guarantees;
mod jobs;
mod keys;
mod life;
mod limits;
mod order;
mod plan;
mod queue;
mod reports;
mod retries;
mod scope;
mod verbs;

use crate::Case;

/// Every case of the suite, topic by topic.
pub const CASES: &[&[Case]] = &[
    verbs::CASES,
    keys::CASES,
    queue::CASES,
    capabilities::CASES,
    plan::CASES,
    jobs::CASES,
    order::CASES,
    guarantees::CASES,
    retries::CASES,
    faults::CASES,
    limits::CASES,
    life::CASES,
    cancel::CASES,
    scope::CASES,
    callbacks::CASES,
    reports::CASES,
];
