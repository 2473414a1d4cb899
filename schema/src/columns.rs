//! The one table of event columns: name, type, whether it may be null, unit, meaning. The Arrow
//! schema, the row type, the batch builder and the reader are all generated from it; no other
//! list of column names exists.

use std::sync::{Arc, LazyLock};

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// How a column is stored. All times are UTC nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `timestamp(ns, UTC)`.
    Timestamp,
    /// Signed, 64 bits.
    I64,
    /// Unsigned, 64 bits.
    U64,
    /// Unsigned, 32 bits.
    U32,
    /// Unsigned, 16 bits.
    U16,
    /// True or false.
    Boolean,
    /// UTF-8 with few distinct values: dictionary with 32-bit keys.
    Dict,
    /// UTF-8 with many distinct values.
    Text,
}

impl ColumnType {
    /// The Arrow type.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Timestamp => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            Self::I64 => DataType::Int64,
            Self::U64 => DataType::UInt64,
            Self::U32 => DataType::UInt32,
            Self::U16 => DataType::UInt16,
            Self::Boolean => DataType::Boolean,
            Self::Dict => DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)),
            Self::Text => DataType::Utf8,
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name in the file.
    pub name: &'static str,
    /// Storage.
    pub kind: ColumnType,
    /// Whether a row may leave it out.
    pub nullable: bool,
    /// Meaning, with the unit where there is one.
    pub doc: &'static str,
}

/// Hands the column table to the macro `$callback`, which is called once with all rows in the form
/// `[name Type required|optional "doc"]`.
macro_rules! for_each_column {
    ($callback:ident) => {
        $callback! {
            [ts Timestamp required "Wall clock of the event."]
            [boot_ns U64 required "CLOCK_BOOTTIME in the hook, nanoseconds."]
            [host Dict required "Host name."]
            [kind Dict required "What happened."]
            [seq U64 required "Rises by one per row of one recording; a gap is a loss."]
            [source Dict required "Who saw it."]
            [proto Dict optional "Transport protocol."]
            [direction Dict optional "`out` if this end opened the connection, else `in`."]
            [local_addr Dict optional "Address of this end; IPv4-mapped IPv6 is written as IPv4."]
            [remote_addr Dict optional "Address of the other end; null for listeners."]
            [local_port U16 optional "Port of this end."]
            [remote_port U16 optional "Port of the other end."]
            [socket_cookie U64 optional "The kernel's id of the socket, from open to close."]
            [netns_cookie U64 optional "The kernel's id of the socket's network namespace."]
            [peer_cookie U64 optional "For `forward`: the other socket."]
            [netns U64 optional "Inode of the socket's network namespace."]
            [ifname Dict optional "Interface name."]
            [ifindex U32 optional "Interface index."]
            [mac Text optional "For `interface`: hardware address."]
            [peer_ifindex U32 optional "For `interface`: the other end of a veth."]
            [peer_netns U64 optional "For `interface`: namespace inode of the other end of a veth."]
            [v6only Boolean optional "Whether a socket on `::` refuses IPv4, where known."]
            [community_id Text optional "Community ID v1, seed 0."]
            [pid U32 optional "Process at the local end."]
            [tid U32 optional "Thread at the local end."]
            [uid U32 optional "User id as the kernel has it."]
            [gid U32 optional "Group id as the kernel has it."]
            [user Dict optional "User name."]
            [comm Dict optional "The process's name."]
            [thread Dict optional "The calling thread's name, where it differs."]
            [exe Dict optional "Path of the program."]
            [cmdline Dict optional "Arguments, shell-quoted where they need it, at most 4096 bytes."]
            [start_ts Timestamp optional "Start of the process; (pid, start_ts) is one process for ever."]
            [ppid U32 optional "The father's pid."]
            [parent_uid U32 optional "The father's user id."]
            [parent_gid U32 optional "The father's group id."]
            [parent_comm Dict optional "The father's name."]
            [parent_exe Dict optional "The father's program."]
            [cgroup_id U64 optional "cgroup v2 id."]
            [cgroup_path Dict optional "Path below the cgroup root."]
            [container_id Dict optional "Container id."]
            [container_name Dict optional "Container name."]
            [container_image Dict optional "Image the container runs."]
            [container_runtime Dict optional "docker, containerd, cri-o, podman."]
            [pod_name Dict optional "Pod name."]
            [pod_namespace Dict optional "Pod namespace."]
            [pod_uid Dict optional "Pod uid."]
            [latency_us U32 optional "Connect to established, microseconds."]
            [retransmits U32 optional "Segments sent again in the socket's life; at close."]
            [segs_out U32 optional "Segments sent; at close."]
            [segs_in U32 optional "Segments received; at close."]
            [bytes_sent U64 optional "Payload bytes sent; TCP: at close, UDP: since the last row."]
            [bytes_received U64 optional "Payload bytes received; TCP: at close, UDP: since the last row."]
            [srtt_us U32 optional "Smoothed round-trip time, microseconds; at close."]
            [error Dict optional "errno name of a failed connect; for `lost` the stage."]
            [count U64 optional "How many things the row stands for."]
            [nat_src_addr Dict optional "For `nat`: source address as sent onwards."]
            [nat_src_port U16 optional "For `nat`: source port as sent onwards."]
            [nat_dst_addr Dict optional "For `nat`: destination address as sent onwards."]
            [nat_dst_port U16 optional "For `nat`: destination port as sent onwards."]
            [ct_id U32 optional "Conntrack id."]
            [ct_zone U16 optional "Conntrack zone."]
            [mono_offset_ns I64 optional "For `clock`: CLOCK_REALTIME - CLOCK_BOOTTIME, nanoseconds."]
        }
    };
}
pub(crate) use for_each_column;

macro_rules! field_type {
    (Timestamp) => { i64 };
    (I64) => { i64 };
    (U64) => { u64 };
    (U32) => { u32 };
    (U16) => { u16 };
    (Boolean) => { bool };
    (Dict) => { &'a str };
    (Text) => { &'a str };
    ($kind:ident required) => { field_type!($kind) };
    ($kind:ident optional) => { Option<field_type!($kind)> };
}

macro_rules! is_nullable {
    (required) => {
        false
    };
    (optional) => {
        true
    };
}

macro_rules! define_table {
    ($([$name:ident $kind:ident $null:ident $doc:literal])*) => {
        /// Every column of the event file, in file order.
        pub const COLUMNS: &[Column] = &[$(Column {
            name: stringify!($name),
            kind: ColumnType::$kind,
            nullable: is_nullable!($null),
            doc: $doc,
        },)*];

        /// One event with borrowed text: what a row of the file says. Times are UTC nanoseconds
        /// since 1970; addresses and vocabularies are text as in the file.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Event<'a> {
            $(#[doc = $doc] pub $name: field_type!($kind $null),)*
        }
    };
}
for_each_column!(define_table);

/// The Arrow schema of the event file.
#[must_use]
pub fn arrow_schema() -> SchemaRef {
    static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
        let field = |c: &Column| Field::new(c.name, c.kind.arrow(), c.nullable);
        Arc::new(Schema::new(COLUMNS.iter().map(field).collect::<Vec<_>>()))
    });
    Arc::clone(&SCHEMA)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn only_the_first_six_columns_are_required() {
        for (i, column) in COLUMNS.iter().enumerate() {
            assert_eq!(column.nullable, i >= 6, "{}", column.name);
        }
    }

    #[test]
    fn names_are_unique_and_documented() {
        let mut seen = HashSet::new();
        for column in COLUMNS {
            assert!(seen.insert(column.name), "{} twice", column.name);
            assert!(column.doc.ends_with('.'), "{}", column.name);
        }
        assert_eq!(arrow_schema().fields().len(), COLUMNS.len());
    }
}
