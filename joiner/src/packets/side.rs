//! The columns of one end of a packet.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_array::types::{Int64Type, UInt32Type, UInt64Type};
use arrow_schema::{DataType, Field};

use super::{Numbers, Text, text_type};
use crate::attribute::SideVerdict;
use crate::render::Renderer;

#[derive(Default)]
pub(super) struct SideColumns {
    host: Text,
    pid: Numbers<UInt32Type>,
    uid: Numbers<UInt32Type>,
    user: Text,
    comm: Text,
    exe: Text,
    cmdline: Text,
    container_id: Text,
    container_name: Text,
    image: Text,
    pod_name: Text,
    pod_namespace: Text,
    netns: Numbers<UInt64Type>,
    socket_cookie: Numbers<UInt64Type>,
    proc: Numbers<UInt32Type>,
    found: Text,
    none: Text,
    offset_us: Numbers<Int64Type>,
    via_proc: Numbers<UInt32Type>,
    via_comm: Text,
    via_container_name: Text,
}

impl SideColumns {
    /// Their names behind `prefix`, and types, in order.
    pub(super) fn fields(prefix: &str) -> Vec<Field> {
        let text = |name| (name, text_type());
        let columns = [
            text("host"),
            ("pid", DataType::UInt32),
            ("uid", DataType::UInt32),
            text("user"),
            text("comm"),
            text("exe"),
            text("cmdline"),
            text("container_id"),
            text("container_name"),
            text("image"),
            text("pod_name"),
            text("pod_namespace"),
            ("netns", DataType::UInt64),
            ("socket_cookie", DataType::UInt64),
            ("proc", DataType::UInt32),
            text("match"),
            text("none"),
            ("offset_us", DataType::Int64),
            ("via_proc", DataType::UInt32),
            text("via_comm"),
            text("via_container_name"),
        ];
        let field = |(name, kind)| Field::new(format!("{prefix}{name}"), kind, true);
        columns.into_iter().map(field).collect()
    }

    pub(super) fn append(&mut self, verdict: &SideVerdict, time_ns: i64, renderer: Renderer<'_>) {
        let side = renderer.whole_side(verdict);
        let process = &side.process;
        let (cookie, offset_us) = match *verdict {
            SideVerdict::Named { holder, found, .. } => {
                let life = renderer.life(holder);
                let (_, event_ns) = renderer.settling_event(holder, found);
                (Some(life.socket_cookie), Some(time_ns.saturating_sub(event_ns) / 1000))
            }
            SideVerdict::Unnamed(_) => (None, None),
        };
        // A pod of which only the name is known has no namespace before it.
        let pod = process.pod.as_deref();
        let (namespace, pod) = match pod.and_then(|pod| pod.split_once('/')) {
            Some((namespace, name)) => (Some(namespace), Some(name)),
            None => (None, pod),
        };
        let via = side.via.as_ref().map(|via| &via.process);
        self.host.append_option(process.host.as_deref());
        self.pid.append_option(process.pid);
        self.uid.append_option(process.uid);
        self.user.append_option(process.user.as_deref());
        self.comm.append_option(process.comm.as_deref());
        self.exe.append_option(process.exe.as_deref());
        self.cmdline.append_option(process.cmdline.as_deref());
        self.container_id.append_option(process.container_id.as_deref());
        self.container_name.append_option(process.container_name.as_deref());
        self.image.append_option(process.image.as_deref());
        self.pod_name.append_option(pod);
        self.pod_namespace.append_option(namespace);
        self.netns.append_option(process.netns);
        self.socket_cookie.append_option(cookie);
        self.proc.append_option(process.proc);
        self.found.append_option(side.found.map(|found| found.to_string()));
        self.none.append_option(side.none.map(|none| none.as_str()));
        self.offset_us.append_option(offset_us);
        self.via_proc.append_option(via.and_then(|via| via.proc));
        self.via_comm.append_option(via.and_then(|via| via.comm.as_deref()));
        let container = via.and_then(|via| via.container_name.as_deref());
        self.via_container_name.append_option(container);
    }

    pub(super) fn finish(mut self) -> Vec<ArrayRef> {
        vec![
            Arc::new(self.host.finish()),
            Arc::new(self.pid.finish()),
            Arc::new(self.uid.finish()),
            Arc::new(self.user.finish()),
            Arc::new(self.comm.finish()),
            Arc::new(self.exe.finish()),
            Arc::new(self.cmdline.finish()),
            Arc::new(self.container_id.finish()),
            Arc::new(self.container_name.finish()),
            Arc::new(self.image.finish()),
            Arc::new(self.pod_name.finish()),
            Arc::new(self.pod_namespace.finish()),
            Arc::new(self.netns.finish()),
            Arc::new(self.socket_cookie.finish()),
            Arc::new(self.proc.finish()),
            Arc::new(self.found.finish()),
            Arc::new(self.none.finish()),
            Arc::new(self.offset_us.finish()),
            Arc::new(self.via_proc.finish()),
            Arc::new(self.via_comm.finish()),
            Arc::new(self.via_container_name.finish()),
        ]
    }
}
