//! Countersign: people approve or reject AWS CodePipeline manual approvals without an AWS login, and every decision
//! leaves evidence that an auditor can check without trusting the portal.
//!
//! The modules, from the outside in. Arrows point down only; `tests/architecture` fails on an upward one.
//!
//! ```text
//! cli        the commands; the only place that assembles the parts
//! demo       a world to try the portal on
//! web        pages and machine ends
//! events     what AWS announces: hints that make the watcher look
//! watcher    finds waiting approvals and notices what became of them
//! decisions  the only writer of decisions, the only caller of PutApprovalResult
//! notices    tells people by mail what waits for them and what became of it
//! channels   tells chats and other programs the same
//! mailed     links in mails about approvals
//! push       tells browsers, where a person turned that on
//! access     who may decide what: groups, grants, stand-ins
//! accounts   people, passwords, sessions, sign-in limits
//! mail       letters in an outbox, delivered afterwards
//! audit      the only writer of records; verify
//! hints      that something on a page has changed, here or on another replica
//! store      SQL; functions over a connection, never a transaction of their own
//! codepipeline  the gateway: the only user of the AWS SDK
//! sso        identity providers: the only user of OpenID Connect
//! domain     words and rules; no IO
//! config, clock, random, supervise   what everything is given
//! wire       requests to hosts that the portal does not choose itself
//!
//! database   connects, migrates, checks safety, runs a private Postgres
//! simulator  CodePipeline over HTTP for demo and tests; knows nothing of the portal, only the clock
//! ```

pub mod access;
pub mod accounts;
pub mod approvals;
pub mod audit;
pub mod channels;
pub mod cli;
pub mod clock;
pub mod codepipeline;
pub mod config;
pub mod database;
pub mod decisions;
pub mod demo;
pub mod domain;
pub mod events;
pub mod hints;
pub mod mail;
pub mod mailed;
pub mod notices;
pub mod push;
pub mod random;
pub mod sealing;
pub mod shutdown;
pub mod simulator;
pub mod sso;
pub mod store;
pub mod supervise;
pub mod telemetry;
pub mod watcher;
pub mod web;
pub mod wire;
