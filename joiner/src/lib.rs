//! `ebpfjoin`: takes a capture and what `ebpfrec` recorded meanwhile, and says on every packet which
//! process sent it and which received it. Data flows one way; the tables that decide are complete
//! before the first packet is named.
//!
//! ```text
//! events ─► index ─┐                              (once)
//! input ─► cut ─► survey ─► syn ─► attribute      (first pass: which SYN began which connection)
//! feed ─► examine ─► sequence ─► output ─► destination             (second pass)
//!         └ decode, memo, attribute   └ label, render, block
//! ```
//!
//! - [`cli`], [`config`]: what was typed, and what it means
//! - [`jobs`], `given`, [`glob`], [`run`]: one join from beginning to end, or several; [`pipeline`]: the threads
//! - [`source`], [`input`], [`layout`], [`scan`], [`chunk`], [`block`]: files, compression, formats, blocks
//! - [`decode`]: from a packet's bytes to its tuple
//! - [`events`], [`index`], [`syn`]: socket lives, and how to find them
//! - [`attribute`]: the policy; a reason for every miss
//! - [`survey`], [`examine`], [`sequence`], [`output`], [`render`]: the stages
//! - [`extra`]: what the file may say beside its packets
//! - [`destination`], [`summary`], [`packets`], [`report`], [`show`], [`wireshark`]: what the user gets

pub mod allocator;
pub mod attribute;
mod bits;
pub mod block;
pub mod chunk;
pub mod cli;
pub mod clock;
pub mod config;
mod cut;
pub mod decode;
pub mod destination;
pub mod events;
pub mod examine;
pub mod explain;
pub mod extra;
mod feed;
pub mod fragment;
mod given;
pub mod glob;
pub mod index;
pub mod input;
pub mod jobs;
pub mod json;
mod label;
pub mod layout;
pub mod lengths;
pub mod manual;
mod mark;
mod memo;
pub mod nat_table;
mod output;
pub mod packets;
pub mod pipeline;
pub mod prepare;
pub mod render;
pub mod report;
pub mod run;
pub mod scan;
mod sequence;
pub mod show;
pub mod source;
pub mod summary;
pub mod survey;
pub mod syn;
mod turns;
pub mod wireshark;
