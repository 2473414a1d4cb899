//! The contract between the recorder and the joiner, in code. They meet only in files, and every
//! byte of those files that both must agree on is defined here, once.
//!
//! - [`wire`]: records the kernel programs put on the ring buffer (`no_std`)
//! - [`flow`]: endpoints, five-tuples, canonical flow keys
//! - [`community_id`]: Community ID v1, the flow hash other tools join on
//! - [`kind`]: what can happen to a socket, and the other closed vocabularies of the event file
//! - [`columns`]: the one table of event columns
//! - [`batch`]: events to Arrow record batches
//! - [`writer`], [`segment`]: batches to a Parquet file that can be cut off and still be finished
//! - [`compact`]: rows of a batch in few bytes, for the recorder's journal
//! - [`rows`]: a Parquet file to typed rows, with the version check
//! - [`meta`]: the key/value metadata of an event file
//! - [`annotation`]: the text and the options an enriched packet carries
//! - [`error`]: what can be wrong with an event file
#![cfg_attr(not(feature = "std"), no_std)]

pub mod wire;

#[cfg(feature = "std")]
pub mod annotation;
#[cfg(feature = "std")]
pub mod batch;
#[cfg(feature = "std")]
pub mod columns;
#[cfg(feature = "std")]
pub mod community_id;
#[cfg(feature = "std")]
pub mod compact;
#[cfg(feature = "std")]
pub mod error;
#[cfg(feature = "std")]
pub mod flow;
#[cfg(feature = "std")]
pub mod kind;
#[cfg(feature = "std")]
pub mod meta;
#[cfg(feature = "std")]
pub mod rows;
#[cfg(feature = "std")]
pub mod segment;
#[cfg(feature = "std")]
pub mod writer;

#[cfg(feature = "std")]
pub use self::{
    columns::{COLUMNS, Event},
    error::SchemaError,
    flow::{Endpoint, FiveTuple, FlowKey, Proto},
    kind::{EventDirection, Kind, Source},
};
