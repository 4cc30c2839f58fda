//! defender-feed: Microsoft Defender events out of a tenant and into a SIEM, with proof that none was lost.
//!
//! ```text
//!                          ┌───────── poll, backfill: who decides WHEN ─────────┐
//!  auth ─► api ─► wire ─► [ feed: the pure core: windows, ledger, retries, pace ] ─► decode ─► event ─► format ─► sink ─► store
//!                          └───────── runner: performs the core's actions ──────┘
//! ```
//!
//! In the order in which data passes them: [`wire`] sends one HTTP request; [`auth`] turns credentials into tokens;
//! [`api`] speaks the Management Activity API; [`feed`] decides what to ask for next; [`decode`] cuts blobs into records;
//! [`event`] reads records into types; [`mod@format`] turns them into lines; [`sink`] delivers lines; [`store`] commits what was
//! delivered. [`runner`] performs the core's actions, [`poll`] and [`backfill`] say when it starts and ends.
//! [`domain`] below them holds the nouns, [`config`] the settings, [`telemetry`] the logs, [`cli`] the commands, and
//! [`simulator`] a tenant to test against.
//!
//! For the program, README.md; for the way of one blob through these rooms, what each may use, and where new things go,
//! ARCHITECTURE.md.
#![forbid(unsafe_code)]

pub mod domain;

mod mutant;

pub mod config;
pub mod telemetry;

pub mod api;
pub mod auth;
pub mod wire;

pub mod feed;

pub mod decode;
pub mod event;
pub mod format;

pub mod sink;
pub mod store;

pub mod backfill;
// No fuzz target reaches these four, and they take as long to compile as all the rest.
#[cfg(not(fuzzing))]
pub mod poll;
#[cfg(not(fuzzing))]
pub mod runner;

#[cfg(not(fuzzing))]
pub mod simulator;

#[cfg(test)]
mod simulation;

#[cfg(not(fuzzing))]
pub mod cli;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
