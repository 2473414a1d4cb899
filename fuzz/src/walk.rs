//! The readers of blocks and records: any bytes are walked to their end or to a defect, every packet
//! is what another reader says, and what is written anew is what was there.

use joiner::block::legacy::{HEADER, Legacy};
use joiner::block::packet::{Added, PacketBlock};
use joiner::block::{
    Block, ENHANCED_PACKET, INTERFACE, OBSOLETE_PACKET, SECTION, Step, first, interface, section,
};
use schema::annotation::option::ByteOrder;

use crate::blocks;
use crate::join::is_ours;

/// The input is a file.
pub fn check(input: &[u8]) {
    match Legacy::parse(input) {
        Some(legacy) => records(&legacy, input),
        None => walk(input),
    }
}

fn walk(input: &[u8]) {
    let mut order = ByteOrder::Little;
    let mut at = 0;
    let mut want = blocks::read(input).into_iter();
    while let Step::Whole(block) = first(&input[at..], order) {
        if at == 0 && block.kind != SECTION {
            return;
        }
        at += block.bytes.len();
        match block.kind {
            SECTION => match section::parse(&block) {
                Some(section) => order = section.order,
                None => return,
            },
            INTERFACE => {
                if let Some(interface) = interface::parse(&block, order) {
                    for units in [0, 1, u64::MAX / 2, u64::MAX] {
                        let _ = interface.clock.nanoseconds(units);
                    }
                }
            }
            _ => {}
        }
        packet(&block, order, &want.next().expect("a block that both see"));
    }
    assert!(want.next().is_none(), "the block at {at} is taken for damaged or cut");
}

/// A packet block is what it is by another reader, and comes out of a rewriting as that.
fn packet(block: &Block<'_>, order: ByteOrder, want: &blocks::Block) {
    if !matches!(block.kind, ENHANCED_PACKET | OBSOLETE_PACKET) {
        assert!(matches!(want, blocks::Block::Other(bytes) if bytes == block.bytes));
        return;
    }
    let mut out = vec![];
    let packet =
        PacketBlock::new(block, order).filter(|packet| packet.rewrite(Added::default(), None, &mut out));
    let Some(packet) = packet else {
        assert!(matches!(want, blocks::Block::Other(_)) && out.is_empty(), "{want:?}");
        return;
    };
    let blocks::Block::Packet { interface, units, original, data, options } = want else {
        panic!("{want:?}");
    };
    assert_eq!(packet.interface(), *interface as usize);
    assert_eq!((packet.timestamp(), packet.original_length()), (*units, *original));
    assert_eq!(packet.data(), data);
    let Step::Whole(block) = first(&out, order) else { panic!("not a block: {out:?}") };
    assert_eq!(block.bytes.len(), out.len());
    let again = PacketBlock::new(&block, order).expect("a packet");
    let mut twice = vec![];
    assert!(again.rewrite(Added::default(), None, &mut twice));
    assert_eq!(twice, out, "a second rewriting changes nothing");
    if !options.iter().any(is_ours) {
        assert_eq!(blocks::packet(&out, order == ByteOrder::Big).as_ref(), Some(want));
    }
}

fn records(legacy: &Legacy, input: &[u8]) {
    let mut want = blocks::read_legacy(input).into_iter();
    let mut rest = &input[HEADER..];
    while let Step::Whole(record) = legacy.first(rest) {
        rest = &rest[record.bytes.len()..];
        let mut out = vec![];
        record.write(Added::default(), &mut out);
        assert_eq!(blocks::packet(&out, false), want.next());
    }
    assert!(want.next().is_none(), "a whole record is taken for damaged or cut");
}
