//! Processes in the form that macOS writes, and Wireshark from 4.6 on shows without any plugin
//! (`frame.darwin.process_info.pname`): a block for each process, and on each packet an option with
//! the number of its block.
//!
//! ```text
//! block 0x80000001: 8 pid u32   12 options: 2 name
//! packet option 0x8001: ordinal of the block in the section, from 0, u32
//! ```

use schema::annotation::option::{ByteOrder, Options, append};

use super::append_block;
use crate::block::{Step, first};
use crate::events::{IdentityId, Recordings};

/// Darwin process event block.
pub const PROCESS: u32 = 0x8000_0001;
/// The packet option that refers to one.
pub const OPT_PROCESS: u16 = 0x8001;
const DPEB_NAME: u16 = 2;

/// Of macOS' files only little-endian ones are known.
const ORDER: ByteOrder = ByteOrder::Little;

/// The blocks of all processes that have had a socket, and their ordinals.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    blocks: Vec<u8>,
    /// By identity.
    ordinals: Vec<Option<u32>>,
}

impl Processes {
    /// The blocks of all processes of these recordings that have had a socket. One that ran several
    /// programs has a block for each.
    #[must_use]
    pub fn new(recordings: &Recordings) -> Self {
        let owners = recordings.lives.iter().filter_map(|life| life.owner);
        let later = recordings.handovers.iter().map(|handover| handover.owner);
        let mut has_socket = std::collections::HashSet::new();
        has_socket.extend(owners.chain(later).map(|id| recordings.identity(id).proc));
        let mut out = Self::default();
        let mut next = 0;
        for identity in &recordings.identities {
            if !has_socket.contains(&identity.proc) {
                out.ordinals.push(None);
                continue;
            }
            let mut body = ORDER.u32_bytes(identity.pid).to_vec();
            if let Some(comm) = recordings.texts.get(identity.comm) {
                append(DPEB_NAME, comm.as_bytes(), ORDER, &mut body);
                append(0, &[], ORDER, &mut body);
            }
            append_block(PROCESS, &body, ORDER, &mut out.blocks);
            out.ordinals.push(Some(next));
            next += 1;
        }
        out
    }

    /// What stands before the first packet.
    #[must_use]
    pub fn blocks(&self) -> &[u8] {
        &self.blocks
    }

    /// The number of a process's block.
    #[must_use]
    pub fn ordinal(&self, process: IdentityId) -> Option<u32> {
        *self.ordinals.get(usize::try_from(process.0).ok()?)?
    }
}

/// Whether `bytes`, a process block, are as [`Processes`] writes them: with a name or nothing. macOS
/// tells more of a process.
#[must_use]
pub fn is_own(bytes: &[u8], order: ByteOrder) -> bool {
    let Step::Whole(block) = first(bytes, order) else { return false };
    let options = block.body().get(size_of::<u32>()..).map(|options| Options::new(options, order));
    order == ORDER
        && options.is_some_and(|options| {
            let codes = options.map(|option| option.map(|option| option.code));
            codes.take(2).eq([Ok(DPEB_NAME)]) || block.body().len() == size_of::<u32>()
        })
}

/// Appends the option of a packet whose sender has block `ordinal`: 8 bytes.
pub fn append_option(ordinal: u32, out: &mut Vec<u8>) {
    append(OPT_PROCESS, &ORDER.u32_bytes(ordinal), ORDER, out);
}

#[cfg(test)]
mod tests {
    use schema::{Event, Kind};

    use super::*;
    use crate::extra::tests::recordings;

    fn event<'a>(kind: Kind, pid: u32, comm: &'a str, cookie: u64) -> Event<'a> {
        Event {
            ts: 1_700_000_000_000_000_000 + i64::try_from(cookie).expect("small"),
            kind: kind.as_str(),
            proto: Some("tcp"),
            local_addr: Some("10.0.0.1"),
            local_port: Some(40_000),
            remote_addr: Some("10.0.0.2"),
            remote_port: Some(80),
            socket_cookie: (cookie != 0).then_some(cookie),
            pid: Some(pid),
            comm: Some(comm),
            start_ts: Some(1_600_000_000_000_000_000),
            ..Event::default()
        }
    }

    #[test]
    fn processes_with_sockets_have_blocks_and_packets_refer_to_them_by_ordinal() {
        let recordings = recordings(&[
            event(Kind::Exec, 1, "nosocket", 0),
            event(Kind::TcpConnect, 2, "curl", 7),
            event(Kind::TcpAccept, 0x0102_0304, "nginx", 8),
        ]);
        let processes = Processes::new(&recordings);
        let expected = [
            &[1, 0, 0, 0x80, 28, 0, 0, 0, 2, 0, 0, 0][..],
            &[2, 0, 4, 0, b'c', b'u', b'r', b'l', 0, 0, 0, 0, 28, 0, 0, 0],
            &[1, 0, 0, 0x80, 32, 0, 0, 0, 4, 3, 2, 1],
            &[2, 0, 5, 0, b'n', b'g', b'i', b'n', b'x', 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0],
        ];
        assert_eq!(processes.blocks(), expected.concat());
        let option = |comm: &str| {
            let id = recordings.texts.find(comm);
            let place = recordings.identities.iter().position(|identity| Some(identity.comm) == id);
            let place = u32::try_from(place.expect("known")).expect("few");
            processes.ordinal(IdentityId(place))
        };
        assert_eq!((option("curl"), option("nginx"), option("nosocket")), (Some(0), Some(1), None));
        let mut out = vec![];
        append_option(1, &mut out);
        assert_eq!(out, [1, 0x80, 4, 0, 1, 0, 0, 0]);
    }
}
