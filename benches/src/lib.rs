//! What the benchmarks of the core share: documents, a backend that does nothing, and rulers for
//! time, memory and polls.
//!
//! Two programs use it: `costs` measures the targets and prints them as tables, `micro` watches
//! single calls. `BENCHMARKS.md` has the numbers.

mod clock;
mod counting;
mod documents;
mod idle;
mod stopwatch;

pub use clock::{Clock, Cost, Rounds};
pub use counting::{Counting, Meter};
pub use documents::{COLLECTION, Keys, Student, students, text_bytes};
pub use idle::{Habits, Idle, Says};
pub use stopwatch::{Lap, Polls, Stopwatch, watch_polls};
