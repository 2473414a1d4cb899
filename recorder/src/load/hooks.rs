//! The table of hooks: what each is good for, and whether this kernel took it.

use aya::{
    Ebpf,
    programs::{CgroupAttachMode, Program, ProgramError, trace_point::TracePointLink},
};

use super::{
    cgroup::CgroupRoot,
    error::innermost,
    misses::Misses,
    tracepoint::{self, Layout},
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

/// A hook, and the program or programs for it.
struct Row {
    name: &'static str,
    required: bool,
    loses: &'static str,
    place: Place,
}

/// Where the program goes.
enum Place {
    /// The root of the cgroup tree.
    Cgroup(&'static str),
    /// A tracepoint: the first program whose layout is the kernel's.
    Tracepoint(&'static [(&'static str, Layout)]),
    /// The same of one that only adds to what others tell: where it is left out, a column stays empty.
    Detail(&'static [(&'static str, Layout)]),
    /// A system call of forwarders: the program, in several copies where one may be left out.
    Call(&'static str, Layout),
}

const fn cgroup(
    name: &'static str,
    program: &'static str,
    required: bool,
    loses: &'static str,
) -> Row {
    Row { name, required, loses, place: Place::Cgroup(program) }
}

const fn tracepoint(
    name: &'static str,
    programs: &'static [(&'static str, Layout)],
    loses: &'static str,
) -> Row {
    Row { name, required: false, loses, place: Place::Tracepoint(programs) }
}

const fn detail(
    name: &'static str,
    programs: &'static [(&'static str, Layout)],
    loses: &'static str,
) -> Row {
    Row { name, required: false, loses, place: Place::Detail(programs) }
}

const fn call(
    name: &'static str,
    program: &'static str,
    layout: Layout,
    loses: &'static str,
) -> Row {
    Row { name, required: false, loses, place: Place::Call(program, layout) }
}

/// Without this one and the next, the table of processes can't be trusted.
const NEW_PROCESS: &str = "tracepoint task:task_newtask";
const NEW_PROGRAM: &str = "tracepoint sched:sched_process_exec";

/// Without these, a forwarder's descriptor could be taken for another socket's, or nothing is known.
const READS: &str = "tracepoint tcp:tcp_rcv_space_adjust";
const NEW_SOCKET: &str = "tracepoint syscalls:sys_exit_socket";
const NEW_ACCEPTED: &str = "tracepoint syscalls:sys_exit_accept";
const NEW_ACCEPTED_4: &str = "tracepoint syscalls:sys_exit_accept4";
const ENTER_SPLICE: &str = "tracepoint syscalls:sys_enter_splice";
const EXIT_SPLICE: &str = "tracepoint syscalls:sys_exit_splice";
/// What is lost without these.
const FORWARDS: &str = "which connection of a forwarder such as docker-proxy belongs to which";

const HOOKS: [Row; 27] = [
    tracepoint(
        NEW_PROCESS,
        &[("new_task", tracepoint::TASK_NEWTASK)],
        "parent and start of processes that end within milliseconds",
    ),
    tracepoint(
        NEW_PROGRAM,
        &[("new_program", tracepoint::SCHED_PROCESS_EXEC)],
        "which program a process ran at the time; processes that use no socket",
    ),
    detail(
        "tracepoint syscalls:sys_enter_execve",
        &[("execve", tracepoint::SYS_ENTER_EXECVE)],
        "program and arguments of processes that end within milliseconds",
    ),
    detail(
        "tracepoint syscalls:sys_enter_execveat",
        &[("execveat", tracepoint::SYS_ENTER_EXECVEAT)],
        "the same of programs started by execveat(2), which is rare",
    ),
    tracepoint(
        "tracepoint sched:sched_process_exit",
        &[
            ("process_end", tracepoint::SCHED_PROCESS_EXIT),
            ("first_thread_end", tracepoint::SCHED_PROCESS_EXIT_OLD),
        ],
        "the end of processes",
    ),
    cgroup("cgroup/sock_create", "sock_create", true, "the process that opened a socket"),
    cgroup(
        "cgroup/connect4",
        "connect4",
        true,
        "the process that connects a socket, IPv4; UDP connects",
    ),
    cgroup(
        "cgroup/connect6",
        "connect6",
        true,
        "the process that connects a socket, IPv6; UDP connects",
    ),
    cgroup(
        "sock_ops",
        "tcp",
        true,
        "every TCP connection: connect, accept, listen, close, retransmits",
    ),
    cgroup(
        "cgroup/sock_release",
        "sock_release",
        true,
        "the end of UDP sockets; who closed a TCP socket",
    ),
    cgroup("cgroup/post_bind4", "post_bind4", false, "UDP servers that have not sent yet, IPv4"),
    cgroup("cgroup/post_bind6", "post_bind6", false, "UDP servers that have not sent yet, IPv6"),
    cgroup("cgroup/sendmsg4", "sendmsg4", false, "datagrams sent by unconnected UDP sockets, IPv4"),
    cgroup("cgroup/sendmsg6", "sendmsg6", false, "datagrams sent by unconnected UDP sockets, IPv6"),
    cgroup("cgroup/recvmsg4", "recvmsg4", false, "datagrams read by unconnected UDP sockets, IPv4"),
    cgroup("cgroup/recvmsg6", "recvmsg6", false, "datagrams read by unconnected UDP sockets, IPv6"),
    tracepoint(
        READS,
        &[("socket_read", tracepoint::TCP_RCV_SPACE_ADJUST)],
        "who reads from a TCP socket, until it is closed",
    ),
    call(NEW_SOCKET, "new_descriptor", tracepoint::end_of_call("sys_exit_socket"), FORWARDS),
    call(NEW_ACCEPTED, "new_descriptor", tracepoint::end_of_call("sys_exit_accept"), FORWARDS),
    call(NEW_ACCEPTED_4, "new_descriptor", tracepoint::end_of_call("sys_exit_accept4"), FORWARDS),
    call(
        "tracepoint syscalls:sys_enter_pipe",
        "enter_pipe",
        tracepoint::SYS_ENTER_PIPE,
        "the same of forwarders that call pipe(2); docker-proxy calls pipe2(2)",
    ),
    call(
        "tracepoint syscalls:sys_exit_pipe",
        "exit_pipe",
        tracepoint::end_of_call("sys_exit_pipe"),
        "the same of forwarders that call pipe(2); docker-proxy calls pipe2(2)",
    ),
    call(
        "tracepoint syscalls:sys_enter_pipe2",
        "enter_pipe",
        tracepoint::SYS_ENTER_PIPE2,
        FORWARDS,
    ),
    call(
        "tracepoint syscalls:sys_exit_pipe2",
        "exit_pipe",
        tracepoint::end_of_call("sys_exit_pipe2"),
        FORWARDS,
    ),
    call(ENTER_SPLICE, "enter_splice", tracepoint::SYS_ENTER_SPLICE, FORWARDS),
    call(EXIT_SPLICE, "exit_splice", tracepoint::end_of_call("sys_exit_splice"), FORWARDS),
    detail(
        "tracepoint sock:inet_sk_error_report",
        &[("socket_error", tracepoint::INET_SK_ERROR_REPORT)],
        "why a TCP connect failed",
    ),
];

/// What came of attaching.
pub(super) struct Attached {
    /// Every hook, in a fixed order.
    pub(super) hooks: Vec<Hook>,
    /// The links of programs of which there are copies; the others are the object's own.
    pub(super) links: Vec<TracePointLink>,
    /// How often programs are left out whose records are missing then.
    pub(super) misses: Misses,
}

/// Loads and attaches every program.
///
/// Processes come first, then the owner hooks: a connection that begins while the rest is being
/// attached is then seen without its beginning, never without its process.
///
/// Programs of which there are copies stay as long as the links that are returned, the others as
/// long as `ebpf`.
pub(super) fn attach_all(ebpf: &mut Ebpf, root: &CgroupRoot) -> Attached {
    let (mut links, mut misses) = (vec![], Misses::default());
    let hooks = HOOKS
        .map(|Row { name, required, loses, place }| {
            let attached = match place {
                Place::Cgroup(program) => find_program(ebpf, program).and_then(|program| {
                    attach_to_cgroup(program, root).map_err(|error| one_line(&error))
                }),
                Place::Tracepoint(programs) => tracepoint::attach_first(ebpf, programs)
                    .map(|counter| misses.add(vec![counter])),
                Place::Detail(programs) => tracepoint::attach_first(ebpf, programs).map(drop),
                Place::Call(program, layout) => tracepoint::attach_copies(ebpf, program, &layout)
                    .map(|(copies, counters)| {
                        links.extend(copies);
                        misses.add(counters);
                    }),
            };
            let status = attached.map_or_else(HookStatus::Missing, |()| HookStatus::Attached);
            Hook { name, required, loses, status }
        })
        .into();
    Attached { hooks, links, misses }
}

/// Whether every new process and every new program of a process is told.
pub(super) fn tell_processes(hooks: &[Hook]) -> bool {
    are_attached(&[NEW_PROCESS, NEW_PROGRAM], hooks)
}

/// Whether what is told of forwarders can be trusted. Without the hooks for pipes nothing is told.
pub(super) fn tell_forwards(hooks: &[Hook]) -> bool {
    let needed = [READS, NEW_SOCKET, NEW_ACCEPTED, NEW_ACCEPTED_4, ENTER_SPLICE, EXIT_SPLICE];
    are_attached(&needed, hooks)
}

fn are_attached(names: &[&str], hooks: &[Hook]) -> bool {
    let attached =
        |name: &&str| hooks.iter().any(|hook| hook.name == *name && hook.status.is_attached());
    names.iter().all(attached)
}

pub(super) fn find_program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Program, String> {
    ebpf.program_mut(name)
        .ok_or_else(|| format!("no program {name} is built in: rebuild with `make probes`"))
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
            assert!(HOOKS[..position].iter().all(|other| other.name != row.name));
        }
    }

    fn hooks(missing: &str) -> Vec<Hook> {
        let hook = |Row { name, required, loses, .. }| {
            let missing = name == missing;
            let missing = missing.then(|| HookStatus::Missing(String::new()));
            Hook { name, required, loses, status: missing.unwrap_or(HookStatus::Attached) }
        };
        HOOKS.map(hook).into()
    }

    #[test]
    fn forwarders_are_not_trusted_without_knowing_of_new_descriptors() {
        assert!(tell_forwards(&hooks("")));
        assert!(tell_forwards(&hooks("tracepoint syscalls:sys_enter_pipe")));
        for missing in [READS, NEW_SOCKET, NEW_ACCEPTED, NEW_ACCEPTED_4] {
            assert!(!tell_forwards(&hooks(missing)), "{missing}");
        }
    }

    #[test]
    fn the_table_of_processes_needs_two_hooks() {
        assert!(tell_processes(&hooks("")));
        assert!(tell_processes(&hooks("tracepoint sched:sched_process_exit")));
        assert!(!tell_processes(&hooks(NEW_PROCESS)));
        assert!(!tell_processes(&hooks(NEW_PROGRAM)));
    }
}
