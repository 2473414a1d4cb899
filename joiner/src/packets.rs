//! The table of packets, for DuckDB and polars: one row for each packet of the capture, in its order,
//! with all that is known of both ends. It joins with the events by host and socket cookie.

mod side;

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::builder::{
    PrimitiveBuilder, StringBuilder, StringDictionaryBuilder, TimestampNanosecondBuilder,
};
use arrow_array::types::{UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use schema::community_id::community_id;
use schema::{Endpoint, Proto};

use self::side::SideColumns;
use crate::chunk::{Chunk, Item};
use crate::decode::decode;
use crate::events::Recordings;
use crate::examine::Examined;
use crate::render::Renderer;

/// Rows of a row group: some 10 MB before compression.
const GROUP_ROWS: usize = 131_072;

/// A column of text, each value of which is kept once.
type Text = StringDictionaryBuilder<UInt32Type>;
type Numbers<T> = PrimitiveBuilder<T>;

/// Writes the table.
#[derive(Debug)]
pub struct PacketTable<W: Write + Send> {
    writer: ArrowWriter<W>,
}

impl<W: Write + Send> PacketTable<W> {
    /// Begins a table.
    ///
    /// # Errors
    ///
    /// What writing says.
    pub fn new(out: W) -> io::Result<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .build();
        let writer = ArrowWriter::try_new(out, table_schema(), Some(properties));
        Ok(Self { writer: writer.map_err(io::Error::other)? })
    }

    /// Appends [`Rows`].
    ///
    /// # Errors
    ///
    /// What writing says.
    pub fn write(&mut self, rows: &RecordBatch) -> io::Result<()> {
        self.writer.write(rows).map_err(io::Error::other)
    }

    /// Writes what belongs at the end.
    ///
    /// # Errors
    ///
    /// What writing says.
    pub fn finish(self) -> io::Result<()> {
        self.writer.into_inner().map_err(io::Error::other)?.flush()
    }
}

/// Rows that become one batch, chunk by chunk: the columns take some 200 kB before their first row, so
/// that chunks of one packet must share them.
#[derive(Default)]
pub struct Rows(Columns);

impl Rows {
    /// Appends the packets of `chunk`, which were decided as `packets` and of which the first has the
    /// number `first` in the capture, from 1.
    pub fn append(
        &mut self,
        chunk: &Chunk<'_>,
        packets: &[(u32, Examined)],
        first: u64,
        recordings: &Recordings,
    ) {
        let renderer = Renderer::new(recordings);
        let items = chunk.items().filter(Item::is_packet);
        for ((frame, item), (_, examined)) in (first..).zip(items).zip(packets) {
            self.0.append(frame, &item, examined, renderer);
        }
    }

    /// All that were appended.
    #[must_use]
    pub fn finish(self) -> RecordBatch {
        self.0.finish()
    }
}

#[derive(Default)]
struct Columns {
    frame: Numbers<UInt64Type>,
    ts: TimestampNanosecondBuilder,
    ifname: Text,
    captured_len: Numbers<UInt32Type>,
    original_len: Numbers<UInt32Type>,
    proto: Text,
    src_addr: Text,
    src_port: Numbers<UInt16Type>,
    dst_addr: Text,
    dst_port: Numbers<UInt16Type>,
    tcp_flags: Numbers<UInt8Type>,
    community_id: StringBuilder,
    src: SideColumns,
    dst: SideColumns,
}

impl Columns {
    fn append(&mut self, frame: u64, item: &Item<'_>, examined: &Examined, renderer: Renderer<'_>) {
        let captured = item.captured();
        let original = match item {
            Item::Block(block, _) => Some(block.original_length()),
            Item::Record(record, _) => Some(record.original_length),
            Item::Simple(_) | Item::Malformed(_) | Item::Other(_) => None,
        };
        let length = captured.and_then(|captured| u32::try_from(captured.data.len()).ok());
        let interface = captured.and_then(|captured| captured.interface);
        let flags = captured
            .and_then(|captured| decode(captured.link, captured.data).ok()?.tcp)
            .map(|tcp| tcp.flags);
        let tuple = examined.tuple;
        let port = |end: Endpoint, proto: Proto| {
            (end.port() != 0 || proto == Proto::TCP || proto == Proto::UDP).then(|| end.port())
        };
        self.frame.append_value(frame);
        // As the capture has it: that it is Wireshark's time matters more than that it is steady.
        self.ts.append_option(captured.map(|captured| captured.time_ns));
        self.ifname.append_option(interface.and_then(|interface| interface.name.as_deref()));
        self.captured_len.append_option(length);
        self.original_len.append_option(original);
        self.proto.append_option(tuple.map(|tuple| tuple.proto.to_string()));
        self.src_addr.append_option(tuple.map(|tuple| tuple.src.ip().to_string()));
        self.src_port.append_option(tuple.and_then(|tuple| port(tuple.src, tuple.proto)));
        self.dst_addr.append_option(tuple.map(|tuple| tuple.dst.ip().to_string()));
        self.dst_port.append_option(tuple.and_then(|tuple| port(tuple.dst, tuple.proto)));
        self.tcp_flags.append_option(flags);
        self.community_id.append_option(tuple.and_then(community_id));
        let time_ns = examined.time_ns;
        self.src.append(&examined.verdict.src, time_ns, renderer);
        self.dst.append(&examined.verdict.dst, time_ns, renderer);
    }

    fn finish(mut self) -> RecordBatch {
        let ts = self.ts.finish().with_timezone("UTC");
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(self.frame.finish()),
            Arc::new(ts),
            Arc::new(self.ifname.finish()),
            Arc::new(self.captured_len.finish()),
            Arc::new(self.original_len.finish()),
            Arc::new(self.proto.finish()),
            Arc::new(self.src_addr.finish()),
            Arc::new(self.src_port.finish()),
            Arc::new(self.dst_addr.finish()),
            Arc::new(self.dst_port.finish()),
            Arc::new(self.tcp_flags.finish()),
            Arc::new(self.community_id.finish()),
        ];
        columns.extend(self.src.finish());
        columns.extend(self.dst.finish());
        RecordBatch::try_new(table_schema(), columns).expect("one value per packet and column")
    }
}

fn text_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::UInt32), Box::new(DataType::Utf8))
}

fn table_schema() -> SchemaRef {
    let mut fields = vec![
        Field::new("frame", DataType::UInt64, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), true),
        Field::new("ifname", text_type(), true),
        Field::new("captured_len", DataType::UInt32, true),
        Field::new("original_len", DataType::UInt32, true),
        Field::new("proto", text_type(), true),
        Field::new("src_addr", text_type(), true),
        Field::new("src_port", DataType::UInt16, true),
        Field::new("dst_addr", text_type(), true),
        Field::new("dst_port", DataType::UInt16, true),
        Field::new("tcp_flags", DataType::UInt8, true),
        Field::new("community_id", DataType::Utf8, true),
    ];
    fields.extend(SideColumns::fields("src_"));
    fields.extend(SideColumns::fields("dst_"));
    Arc::new(Schema::new(fields))
}
