//! A simulated Microsoft 365 tenant: the Management Activity API as `activity-api.md` tells it, for others to test
//! against, for `demo`, and for our own stories.
//!
//! [`service`] is the service itself, a pure model: no sockets, no clock, no randomness but its seed. A request and a
//! time go in, a reply comes out together with the way it is delivered, so a test can drive years of it in a second.
//! [`content`] invents the blobs, [`faults`] breaks replies by script or by seed, [`truth`] says what a client must
//! have got, [`ledger`] how it behaved. [`http`] puts a socket before the model, [`options`] a command line, and
//! [`story`] the words that tests are written in.
//!
//! It is written from the documentation alone and uses no room of the product but [`crate::domain`]: what the two
//! sides agree on, they have read independently.

pub mod clock;
pub mod config;
pub mod content;
pub mod faults;
pub mod http;
pub mod ledger;
pub mod message;
pub mod options;
pub mod service;
pub mod story;
pub mod truth;

pub(crate) mod dice;
mod errors;
mod listing;
mod pace;
mod route;
mod subscriptions;
mod tokens;

pub use clock::SimClock;
pub use config::ServiceConfig;
pub use http::Front;
pub use message::{Delivery, ReplyBody, Request, Response};
pub use options::SimulateOptions;
pub use service::Service;
