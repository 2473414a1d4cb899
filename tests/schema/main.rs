//! The event file as its readers meet it: written, closed, opened again, damaged.

mod damaged;
mod round_trip;
