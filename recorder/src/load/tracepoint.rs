//! Tracepoints: where the kernel lists them, and whether one looks the way its program was written
//! for.

use std::{fs, io, path::Path};

use aya::{
    Ebpf,
    programs::{Program, ProgramError, TracePoint, trace_point::TracePointLink},
};

use super::{
    copies,
    hooks::{find_program, one_line},
    misses::Counter,
    mount,
};

/// Where tracefs is mounted, newer place first.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// A tracepoint and the fields its program reads.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    category: &'static str,
    name: &'static str,
    /// Name, offset and size in bytes.
    fields: &'static [(&'static str, usize, usize)],
    /// The first Linux that has it, where that is later than the first one we run on.
    since: Option<&'static str>,
}

const fn layout(
    category: &'static str,
    name: &'static str,
    fields: &'static [(&'static str, usize, usize)],
) -> Layout {
    Layout { category, name, fields, since: None }
}

/// `sock:inet_sk_error_report`, as `recorder-ebpf/src/error.rs` reads it.
pub(super) const INET_SK_ERROR_REPORT: Layout = Layout {
    since: Some("5.15"),
    ..layout(
        "sock",
        "inet_sk_error_report",
        &[
            ("error", 8, 4),
            ("sport", 12, 2),
            ("dport", 14, 2),
            ("family", 16, 2),
            ("protocol", 18, 2),
            ("saddr", 20, 4),
            ("daddr", 24, 4),
            ("saddr_v6", 28, 16),
            ("daddr_v6", 44, 16),
        ],
    )
};

/// `task:task_newtask`, as `recorder-ebpf/src/process.rs` reads it.
pub(super) const TASK_NEWTASK: Layout =
    layout("task", "task_newtask", &[("pid", 8, 4), ("clone_flags", 32, 8)]);

/// `sched:sched_process_exec`, likewise.
pub(super) const SCHED_PROCESS_EXEC: Layout =
    layout("sched", "sched_process_exec", &[("old_pid", 16, 4)]);

/// `sched:sched_process_exit`, likewise.
pub(super) const SCHED_PROCESS_EXIT: Layout =
    layout("sched", "sched_process_exit", &[("group_dead", 32, 1)]);

/// The same where it doesn't say whether the thread is the last.
pub(super) const SCHED_PROCESS_EXIT_OLD: Layout = layout("sched", "sched_process_exit", &[]);

/// `syscalls:sys_enter_execve`, as `recorder-ebpf/src/process/text.rs` reads it.
pub(super) const SYS_ENTER_EXECVE: Layout =
    layout("syscalls", "sys_enter_execve", &[("filename", 16, 8), ("argv", 24, 8)]);

/// `syscalls:sys_enter_execveat`, likewise.
pub(super) const SYS_ENTER_EXECVEAT: Layout =
    layout("syscalls", "sys_enter_execveat", &[("filename", 24, 8), ("argv", 32, 8)]);

/// `tcp:tcp_rcv_space_adjust`, as `recorder-ebpf/src/reader.rs` reads it.
pub(super) const TCP_RCV_SPACE_ADJUST: Layout =
    layout("tcp", "tcp_rcv_space_adjust", &[("sock_cookie", 64, 8)]);

/// `syscalls:sys_enter_splice`, as `recorder-ebpf/src/forward.rs` reads it.
pub(super) const SYS_ENTER_SPLICE: Layout =
    layout("syscalls", "sys_enter_splice", &[("fd_in", 16, 8), ("fd_out", 32, 8)]);

/// `syscalls:sys_enter_pipe`, as `recorder-ebpf/src/forward/pipe.rs` reads it.
pub(super) const SYS_ENTER_PIPE: Layout =
    layout("syscalls", "sys_enter_pipe", &[("fildes", 16, 8)]);

/// `syscalls:sys_enter_pipe2`, likewise.
pub(super) const SYS_ENTER_PIPE2: Layout =
    layout("syscalls", "sys_enter_pipe2", &[("fildes", 16, 8)]);

/// The end of a system call in the category `syscalls`, of which only the result is read.
pub(super) const fn end_of_call(name: &'static str) -> Layout {
    layout("syscalls", name, &[("ret", 16, 8)])
}

/// Loads and attaches the first of several programs for one tracepoint that reads it the way it
/// is here.
///
/// # Errors
/// Why none, in one line: what the last of them says.
pub(super) fn attach_first(
    ebpf: &mut Ebpf,
    programs: &[(&str, Layout)],
) -> Result<Counter, String> {
    with_tracefs(|tracefs| {
        let mut attached = Err("no program is built in: rebuild with `make probes`".to_owned());
        for (program, layout) in programs {
            attached = find(ebpf, program).and_then(|program| {
                check_at(tracefs, layout)?;
                attach(program, layout).map_err(|error| one_line(&error))?;
                Counter::of(program)
            });
            if attached.is_ok() {
                break;
            }
        }
        attached
    })
}

/// Loads and attaches as many copies of a program as a system call needs here. They stay as long as
/// the links that are returned; each comes with its counter.
///
/// # Errors
/// Why not, in one line.
pub(super) fn attach_copies(
    ebpf: &mut Ebpf,
    program: &str,
    layout: &Layout,
) -> Result<(Vec<TracePointLink>, Vec<Counter>), String> {
    with_tracefs(|tracefs| {
        let program = find(ebpf, program)?;
        check_at(tracefs, layout)?;
        (0..copies::wanted()).map(|_| attach_copy(program, layout)).collect()
    })
}

/// Calls `attach` with the place where tracefs is mounted; where it is not, from a thread that sees
/// it mounted.
fn with_tracefs<T: Send>(
    attach: impl FnOnce(&str) -> Result<T, String> + Send,
) -> Result<T, String> {
    let mounted = TRACEFS.into_iter().find(|path| Path::new(path).join("events").exists());
    match mounted {
        Some(tracefs) => attach(tracefs),
        None => mount::with_private("tracefs", TRACEFS[0], || attach(TRACEFS[0]))
            .map_err(|error| format!("tracefs is not mounted, and mounting it failed: {error}"))?,
    }
}

fn find<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut TracePoint, String> {
    match find_program(ebpf, name)? {
        Program::TracePoint(program) => Ok(program),
        _ => Err(format!("the program {name} is built for something else")),
    }
}

fn attach(program: &mut TracePoint, layout: &Layout) -> Result<(), ProgramError> {
    program.load()?;
    program.attach(layout.category, layout.name).map(drop)
}

/// Attaches a copy, and leaves the program as it was: not loaded.
fn attach_copy(
    program: &mut TracePoint,
    layout: &Layout,
) -> Result<(TracePointLink, Counter), String> {
    let mut attach = || {
        program.load()?;
        let id = program.attach(layout.category, layout.name)?;
        program.take_link(id)
    };
    let link = attach().map_err(|error| one_line(&error))?;
    let counter = Counter::of(program)?;
    program.unload().map_err(|error| one_line(&error))?;
    Ok((link, counter))
}

/// Whether the kernel has the tracepoint, and the way the program reads it.
fn check_at(tracefs: &str, layout: &Layout) -> Result<(), String> {
    let Layout { category, name, .. } = layout;
    let format = Path::new(tracefs).join("events").join(category).join(name).join("format");
    match fs::read_to_string(&format) {
        Ok(format) => check(&format, layout),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(match layout.since {
            Some(since) => format!("this kernel does not have it (Linux {since} and newer do)"),
            None => "this kernel was built without it".to_owned(),
        }),
        Err(error) => Err(format!("its format file cannot be read: {error}")),
    }
}

/// Compares the text of a tracepoint's `format` file with what the program reads.
fn check(format: &str, layout: &Layout) -> Result<(), String> {
    for &(name, offset, size) in layout.fields {
        let found = format.lines().find_map(|line| parse_field(line, name));
        if found != Some((offset, size)) {
            return Err(format!("its field {name} is not where it used to be"));
        }
    }
    Ok(())
}

/// Offset and size in bytes, if `line` describes the field `name`:
/// `field:__u8 saddr[4]; offset:20; size:4; signed:0;` (with tabs)
fn parse_field(line: &str, name: &str) -> Option<(usize, usize)> {
    let mut parts = line.trim().split(';').map(str::trim);
    let declaration = parts.next()?.strip_prefix("field:")?;
    let declared = declaration.rsplit(' ').next()?;
    if declared.split('[').next()? != name {
        return None;
    }
    let offset = parts.next()?.strip_prefix("offset:")?.parse().ok()?;
    let size = parts.next()?.strip_prefix("size:")?.parse().ok()?;
    Some((offset, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str = "name: inet_sk_error_report
ID: 2286
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:int error;\toffset:8;\tsize:4;\tsigned:1;
\tfield:__u16 sport;\toffset:12;\tsize:2;\tsigned:0;
\tfield:__u16 dport;\toffset:14;\tsize:2;\tsigned:0;
\tfield:__u16 family;\toffset:16;\tsize:2;\tsigned:0;
\tfield:__u16 protocol;\toffset:18;\tsize:2;\tsigned:0;
\tfield:__u8 saddr[4];\toffset:20;\tsize:4;\tsigned:0;
\tfield:__u8 daddr[4];\toffset:24;\tsize:4;\tsigned:0;
\tfield:__u8 saddr_v6[16];\toffset:28;\tsize:16;\tsigned:0;
\tfield:__u8 daddr_v6[16];\toffset:44;\tsize:16;\tsigned:0;

print fmt: \"family=%s\", __print_symbolic(REC->family, { 2, \"AF_INET\" })
";

    #[test]
    fn the_known_layout_fits() {
        assert_eq!(check(FORMAT, &INET_SK_ERROR_REPORT), Ok(()));
    }

    #[test]
    fn a_moved_or_missing_field_is_named() {
        let moved = FORMAT.replace("offset:14", "offset:22");
        let error = check(&moved, &INET_SK_ERROR_REPORT);
        assert_eq!(error, Err("its field dport is not where it used to be".to_owned()));
        let grown = FORMAT.replace(
            "size:4;\tsigned:1;\n\tfield:__u16 sport",
            "size:8;\tsigned:1;\n\tfield:__u16 sport",
        );
        assert!(check(&grown, &INET_SK_ERROR_REPORT).is_err());
        assert!(check("", &INET_SK_ERROR_REPORT).is_err());
    }

    #[test]
    fn an_exit_that_does_not_name_the_last_thread_is_told_from_one_that_does() {
        let old = "\tfield:pid_t pid;\toffset:24;\tsize:4;\tsigned:1;\n";
        let new = format!("{old}\tfield:bool group_dead;\toffset:32;\tsize:1;\tsigned:0;\n");
        assert_eq!(check(&new, &SCHED_PROCESS_EXIT), Ok(()));
        assert!(check(old, &SCHED_PROCESS_EXIT).is_err());
        assert_eq!(check(old, &SCHED_PROCESS_EXIT_OLD), Ok(()));
    }
}
