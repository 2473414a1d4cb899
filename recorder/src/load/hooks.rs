//! The table of hooks: what each is good for, and whether this kernel took it.

use aya::{
    Ebpf,
    programs::{CgroupAttachMode, Program, ProgramError},
};

use super::{
    cgroup::CgroupRoot,
    error::innermost,
    tracepoint::{self, INET_SK_ERROR_REPORT},
};

/// Whether a hook is in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HookStatus {
    /// It is.
    Attached,
    /// It is not; why, in one line.
    Missing(String),
}

impl HookStatus {
    /// Whether the hook is in place.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        matches!(self, Self::Attached)
    }
}

/// One place in the kernel where a program of ours runs.
#[derive(Clone, Debug)]
pub struct Hook {
    /// As the kernel's documentation calls it.
    pub name: &'static str,
    /// Whether a recording without it would be wrong, and not only incomplete.
    pub required: bool,
    /// What is not recorded without it.
    pub loses: &'static str,
    /// Whether it is in place.
    pub status: HookStatus,
}

/// Name, name of the program in the object, required, what is lost.
type Row = (&'static str, &'static str, bool, &'static str);

const HOOKS: [Row; 12] = [
    ("cgroup/sock_create", "sock_create", true, "the process that opened a socket"),
    ("cgroup/connect4", "connect4", true, "the process that connects a socket, IPv4; UDP connects"),
    ("cgroup/connect6", "connect6", true, "the process that connects a socket, IPv6; UDP connects"),
    ("sock_ops", "tcp", true, "every TCP connection: connect, accept, listen, close, retransmits"),
    (
        "cgroup/sock_release",
        "sock_release",
        true,
        "the end of UDP sockets; who closed a TCP socket",
    ),
    ("cgroup/post_bind4", "post_bind4", false, "UDP servers that have not sent yet, IPv4"),
    ("cgroup/post_bind6", "post_bind6", false, "UDP servers that have not sent yet, IPv6"),
    ("cgroup/sendmsg4", "sendmsg4", false, "datagrams sent by unconnected UDP sockets, IPv4"),
    ("cgroup/sendmsg6", "sendmsg6", false, "datagrams sent by unconnected UDP sockets, IPv6"),
    ("cgroup/recvmsg4", "recvmsg4", false, "datagrams read by unconnected UDP sockets, IPv4"),
    ("cgroup/recvmsg6", "recvmsg6", false, "datagrams read by unconnected UDP sockets, IPv6"),
    ("tracepoint sock:inet_sk_error_report", "socket_error", false, "why a TCP connect failed"),
];

/// Loads and attaches every program.
///
/// The owner hooks come first: a connection that begins while the rest is being attached is then
/// seen without its beginning, never without its process.
pub(super) fn attach_all(ebpf: &mut Ebpf, root: &CgroupRoot) -> Vec<Hook> {
    HOOKS
        .map(|(name, program, required, loses)| {
            let status = match attach(ebpf, program, root) {
                Ok(()) => HookStatus::Attached,
                Err(why) => HookStatus::Missing(why),
            };
            Hook { name, required, loses, status }
        })
        .into()
}

fn attach(ebpf: &mut Ebpf, name: &str, root: &CgroupRoot) -> Result<(), String> {
    let program = ebpf
        .program_mut(name)
        .ok_or_else(|| format!("no program {name} is built in: rebuild with `make probes`"))?;
    if let Program::TracePoint(program) = program {
        return tracepoint::attach(program, &INET_SK_ERROR_REPORT);
    }
    attach_to_cgroup(program, root).map_err(|error| one_line(&error))
}

fn attach_to_cgroup(program: &mut Program, root: &CgroupRoot) -> Result<(), ProgramError> {
    // A link without flags: other programs stay, and may come after us.
    let mode = CgroupAttachMode::Single;
    match program {
        Program::CgroupSock(program) => {
            program.load()?;
            program.attach(root, mode)?;
        }
        Program::CgroupSockAddr(program) => {
            program.load()?;
            program.attach(root, mode)?;
        }
        Program::SockOps(program) => {
            program.load()?;
            program.attach(root, mode)?;
        }
        _ => return Err(ProgramError::UnexpectedProgramType),
    }
    Ok(())
}

/// The reason in one line: of the verifier's log, which can be long, what it objects to.
pub(super) fn one_line(error: &ProgramError) -> String {
    if let ProgramError::LoadError { io_error, verifier_log } = error {
        return match objection(&verifier_log.to_string()) {
            Some(objection) => format!("refused by the kernel ({io_error}): {objection}"),
            None => format!("refused by the kernel ({io_error})"),
        };
    }
    innermost(error).replace('\n', " ")
}

/// The last line of the verifier's log that is not a statistic.
fn objection(log: &str) -> Option<&str> {
    const STATISTICS: [&str; 3] = ["processed ", "verification time ", "stack depth "];
    log.lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty() && !STATISTICS.iter().any(|start| line.starts_with(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_shows_what_the_verifier_objects_to() {
        let log = "0: (79) r1 = *(u64 *)(r1 +8)\n\
                   unknown func bpf_get_netns_cookie#122\n\
                   processed 7 insns (limit 1000000) max_states_per_insn 0\n\n";
        assert_eq!(objection(log), Some("unknown func bpf_get_netns_cookie#122"));
        assert_eq!(objection("processed 7 insns\n"), None);
    }

    #[test]
    fn names_are_unique() {
        for (position, row) in HOOKS.iter().enumerate() {
            assert!(HOOKS[..position].iter().all(|other| other.0 != row.0 && other.1 != row.1));
        }
    }
}
