//! What the values of one batch's dictionaries mean: each is parsed or interned once, however many
//! rows have it.

use schema::rows::{Columns, TextColumn};

use super::identity::IdentityId;
use super::place::NamespaceId;
use super::text::TextId;

/// What the values of one batch's dictionaries mean, each worked out once.
pub(super) struct BatchCache {
    /// The process that a row tells of; only of the first of rows that say the same.
    pub(super) known: Vec<Option<IdentityId>>,
    /// By position of a local address, whether it was taken note of, and in which namespace.
    pub(super) noted: Vec<Option<Option<NamespaceId>>>,
    pub(super) user: Cached<TextId>,
    pub(super) comm: Cached<TextId>,
    pub(super) exe: Cached<TextId>,
    pub(super) cmdline: Cached<TextId>,
    pub(super) parent_comm: Cached<TextId>,
    pub(super) parent_exe: Cached<TextId>,
    pub(super) container_id: Cached<TextId>,
    pub(super) container_name: Cached<TextId>,
    pub(super) container_image: Cached<TextId>,
    pub(super) pod_name: Cached<TextId>,
}

impl BatchCache {
    pub(super) fn new(columns: &Columns<'_>) -> Self {
        Self {
            known: vec![],
            noted: vec![],
            user: Cached::new(&columns.user),
            comm: Cached::new(&columns.comm),
            exe: Cached::new(&columns.exe),
            cmdline: Cached::new(&columns.cmdline),
            parent_comm: Cached::new(&columns.parent_comm),
            parent_exe: Cached::new(&columns.parent_exe),
            container_id: Cached::new(&columns.container_id),
            container_name: Cached::new(&columns.container_name),
            container_image: Cached::new(&columns.container_image),
            pod_name: Cached::new(&columns.pod_name),
        }
    }
}

/// The meaning of each value of a dictionary; outer `None` is not worked out yet.
pub(super) struct Cached<T>(Vec<Option<Option<T>>>);

impl<T: Copy> Cached<T> {
    pub(super) fn new(column: &TextColumn<'_>) -> Self {
        Self(vec![None; column.keys()])
    }

    #[inline]
    pub(super) fn get(
        &mut self,
        column: &TextColumn<'_>,
        row: usize,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        let Some(slot) = column.key(row).and_then(|key| self.0.get_mut(key)) else {
            return column.get(row).and_then(parse);
        };
        *slot.get_or_insert_with(|| column.get(row).and_then(parse))
    }
}
