//! Stories: each command's main path and its failures, told with the real binary against the simulated tenant through
//! real HTTP on loopback; and the rules of the house that no compiler holds.
//!
//! The words are in [`vocabulary`]: `service()…serve()` is the tenant, `Host::new()` the machine that the product runs on,
//! `host.poll(&tenant)` a command on it. One binary for all stories, so that there is one link. A story is bounded in time
//! and ends the processes that it started, whatever happens; when its tenant is dropped, the tenant checks that it was
//! asked as the service wants to be asked.
#![allow(clippy::unwrap_used, reason = "a story that can't go on has failed")]

mod vocabulary;

mod backfill;
mod backpressure;
mod bodies;
mod cli;
mod clocks;
mod commands;
mod config;
mod cuts;
mod damage;
mod days;
mod demo;
mod dependencies;
mod drain;
mod duplicates;
mod files;
mod floods;
mod formats;
mod house;
mod http2;
mod many_tenants;
mod output;
mod paging;
mod poll;
mod proxies;
mod recovery;
mod refused;
mod replies;
mod signals;
mod simulate;
mod subscriptions;
mod throttle;
mod tls;
mod tokens;
