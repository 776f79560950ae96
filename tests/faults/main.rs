//! One effect, whatever happens: real `countersign serve` processes on a real Postgres, the simulated AWS as the switch
//! that kills them at an exact moment, a proxy that breaks their connections, and people who are told things. Every story
//! ends with the history check of `harness::judge`, which takes nobody's word: effects at AWS, records, rows and what
//! people read must agree.

#![allow(clippy::unwrap_used, reason = "a story that cannot go on ends there, telling where")]
#![allow(clippy::print_stdout, reason = "seeds and times are told, for whoever reads the output")]

#[path = "../support/mod.rs"]
mod support;

mod at_random;
mod harness;
mod judging;
mod kills;
mod leaving;
mod postgres_away;
#[cfg(target_os = "linux")]
mod postgres_clock;
mod postgres_commit;
#[cfg(target_os = "linux")]
mod postgres_full;
mod postgres_late;
mod stale;
mod upgrading;
