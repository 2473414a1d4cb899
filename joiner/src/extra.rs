//! What an enriched file may say beside its packets: names of addresses ([`names`]), what interfaces
//! are for ([`interfaces`]), and processes in the form that Wireshark 4.6 shows without a plugin
//! ([`native`]). [`edits`] tells where in the file all that goes.

pub mod edits;
pub mod interfaces;
pub mod names;
pub mod native;
pub mod outline;
pub mod residents;

use schema::annotation::option::ByteOrder;

/// Appends a block around `body`, whose length is a multiple of 4.
fn append_block(kind: u32, body: &[u8], order: ByteOrder, out: &mut Vec<u8>) {
    let length = order.u32_bytes(u32::try_from(body.len() + 12).unwrap_or(u32::MAX));
    out.extend(order.u32_bytes(kind));
    out.extend(length);
    out.extend(body);
    out.extend(length);
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use schema::Event;
    use schema::batch::{BatchBuilder, EventWriter};
    use schema::meta::FileMeta;

    use crate::events::{Recordings, load};

    /// Recordings of host `web-1` with these rows, `seq` and `host` filled in.
    pub(super) fn recordings(rows: &[Event<'_>]) -> Recordings {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("ev.parquet");
        let mut builder = BatchBuilder::default();
        for (seq, row) in (1..).zip(rows) {
            builder.append(&Event { seq, host: "web-1", source: "probe", ..*row });
        }
        let file = File::create(&path).expect("created");
        let mut writer = EventWriter::new(file).expect("writer");
        writer.write(&builder.finish()).expect("rows");
        let meta = FileMeta {
            host: "web-1".into(),
            boot_id: "boot".into(),
            start: "2023-11-14T22:13:20.000000000Z".into(),
            end: "2023-11-14T22:14:20.000000000Z".into(),
            complete: true,
            ..FileMeta::default()
        };
        writer.finish(&meta).expect("footer");
        load(&[path]).expect("recordings")
    }
}
