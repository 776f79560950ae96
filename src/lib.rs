//! Countersign: people approve or reject AWS CodePipeline manual approvals without an AWS login, and every decision
//! leaves evidence that an auditor can check without trusting the portal.
//!
//! The modules, from the outside in. Arrows point down only; `tests/architecture` fails on an upward one.
//!
//! ```text
//! cli        the commands; the only place that assembles the parts
//! demo       a world to try the portal on
//! web        pages and machine ends
//! watcher    finds waiting approvals and notices what became of them
//! decisions  the only writer of decisions, the only caller of PutApprovalResult
//! accounts   people, passwords, sessions, sign-in limits
//! audit      the only writer of records; verify
//! hints      that something on a page has changed, here or on another replica
//! store      SQL; functions over a connection, never a transaction of their own
//! codepipeline  the gateway: the only user of the AWS SDK
//! domain     words and rules; no IO
//! config, clock, random, supervise   what everything is given
//!
//! database   connects, migrates, checks safety, runs a private Postgres
//! simulator  CodePipeline over HTTP for demo and tests; knows nothing of the portal, only the clock
//! ```

pub mod accounts;
pub mod approvals;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod codepipeline;
pub mod config;
pub mod database;
pub mod decisions;
pub mod demo;
pub mod domain;
pub mod hints;
pub mod random;
pub mod shutdown;
pub mod simulator;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod watcher;
pub mod web;
