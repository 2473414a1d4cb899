//! The programs `ebpfrec` runs in the kernel. They note which process opened, used and closed
//! which socket, and which processes came and went: no packet is looked into, no kernel memory is read, so they
//! load on locked-down kernels and without BTF of the kernel, from 5.10 on.
//!
//! - `maps`: the maps shared with the recorder, and how a record gets into the ring
//! - `socket`: what is remembered per socket
//! - `address`: addresses as the records carry them
//! - `owner`: who opened, connected and closed a socket
//! - `tcp`: the life of a TCP socket
//! - `udp`: binds and peers of UDP sockets
//! - `reader`: who reads from a TCP socket
//! - `forward`: which socket's data a process moves to which other one
//! - `process`: processes made, running a new program, ended
//! - `error`: errors the kernel reports on TCP sockets
#![cfg_attr(target_arch = "bpf", no_std, no_main, feature(asm_experimental_arch))]

mod address;
mod error;
mod forward;
mod maps;
mod owner;
mod process;
mod reader;
mod socket;
mod tcp;
mod udp;

/// The kernel asks for a licence; with this one it offers every helper.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
#[expect(unsafe_code, reason = "the loader looks for this section by name")]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// For other targets this is an empty program, so that stable tools can check the sources.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // No code path gets here: the verifier would refuse the endless loop.
    loop {}
}
