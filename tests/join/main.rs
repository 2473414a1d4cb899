//! `ebpfjoin` as its users run it: a capture and event files in, an enriched capture out. What is
//! true of the output is said by tshark and capinfos, and by a comparison of our own that shares no
//! code with the joiner.

mod bad_input;
mod blocks;
#[cfg(target_os = "linux")]
mod bounds;
mod browser;
#[path = "../support/copy.rs"]
mod copy;
mod corpus;
mod enrich;
mod errors;
mod event_files;
mod extras;
mod fixture;
mod formats;
mod frames;
mod given;
mod layers;
mod legacy;
mod lengths;
mod manual;
mod model;
#[cfg(target_os = "linux")]
mod outputs;
mod packets;
mod parts;
mod pieces;
mod report;
mod scenarios;
mod scene;
mod sources;
mod spec;
mod terminal;
mod tools;
mod tunnels;
mod tuples;
mod wireshark;
