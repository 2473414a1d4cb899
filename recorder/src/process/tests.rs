//! Processes, by the kernel's word and by `/proc`'s.

use std::{
    io::{Read as _, Write as _},
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::*;

fn owner(pid: u32, comm: &str) -> Owner {
    let mut padded = [0; 16];
    padded[..comm.len()].copy_from_slice(comm.as_bytes());
    Owner { pid, tid: pid, uid: 0, gid: 0, cgroup_id: 7, comm: padded }
}

#[test]
fn a_child_is_known_until_it_is_gone() {
    let mut processes = Processes::default();
    let mut child = Command::new("cat")
        .args(["-u", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("child");
    // Once it answers, its program is in place.
    child.stdin.as_mut().expect("piped").write_all(b"x").expect("written");
    child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("read");
    let known = processes.get(&owner(child.id(), "cat")).expect("running");
    assert_eq!(known.program.comm(), Some("cat"));
    assert_eq!(known.program.cmdline(), Some("cat -u -"));
    assert_eq!(known.ppid, std::process::id());
    let parent = known.parent.as_ref().expect("our own process");
    let own = std::env::current_exe().expect("our program");
    assert_eq!(parent.program.exe(), own.to_str());
    child.kill().expect("killed");
    child.wait().expect("reaped");
    // Long enough for what is kept not to be believed unseen.
    std::thread::sleep(Duration::from_nanos(FRESH_NS * 2));
    assert_eq!(processes.get(&owner(child.id(), "cat")), None);
}

#[test]
fn another_name_means_another_program() {
    let mut processes = Processes::default();
    let mut child = Command::new("sh")
        .args(["-c", "read line; exec sleep 60"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("child");
    let before = processes.get(&owner(child.id(), "sh")).expect("running");
    assert_eq!(before.program.comm(), Some("sh"));
    child.stdin.as_mut().expect("piped").write_all(b"go\n").expect("told");
    let replaced = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        processes
            .get(&owner(child.id(), "sleep"))
            .is_some_and(|now| now.program.comm() == Some("sleep"))
    });
    child.kill().expect("killed");
    child.wait().expect("reaped");
    assert!(replaced);
}

/// A process id beyond the kernel's highest (`PID_MAX_LIMIT`): `/proc` shows nothing.
const NOBODY: u32 = 5_000_000;

fn told() -> Processes {
    let mut processes = Processes::default();
    processes.trust_events();
    processes
}

fn fork(boot_ns: u64, pid: u32, maker: u32) -> ProcessEvent {
    ProcessEvent::Fork { boot_ns, pid, maker: owner(maker, "maker"), foreign_parent: false }
}

fn exec(boot_ns: u64, pid: u32, path: &str, arguments: &[u8]) -> ProcessEvent {
    let comm = path.rsplit('/').next().expect("a name");
    let started = Started {
        began_ns: boot_ns - 1,
        path: Some(path.into()),
        arguments: arguments.to_owned(),
        cut: false,
    };
    ProcessEvent::Exec { boot_ns, owner: owner(pid, comm), started: Some(started) }
}

#[test]
fn a_process_that_was_gone_at_once_is_known_by_what_was_told() {
    let mut processes = told();
    let (shell, child) = (NOBODY, NOBODY + 1);
    processes.note(&exec(50_000_000, shell, "/bin/shell", b"shell\0-c\0x\0"));
    processes.note(&fork(125_000_000, child, shell));
    let before = processes.get(&owner(child, "maker")).expect("told");
    assert_eq!(before.program.exe(), Some("/bin/shell"), "a copy of its father");
    let row = processes.note(&exec(126_000_000, child, "/bin/client", b"client\0a b\0"));
    let now = processes.get(&owner(child, "client")).expect("told");
    assert_eq!(row.as_ref(), Some(&now));
    assert_eq!(before.program.exe(), Some("/bin/shell"), "what a row says stays");
    assert_eq!(now.program.comm(), Some("client"));
    assert_eq!(now.program.exe(), Some("/bin/client"));
    assert_eq!(now.program.cmdline(), Some("client 'a b'"));
    let ticks = 125_000_000 * processes.ticks_per_second / 1_000_000_000;
    assert_eq!((now.start_ticks, now.ppid), (Some(ticks), shell));
    let parent = now.parent.as_ref().expect("told");
    assert_eq!(parent.program.exe(), Some("/bin/shell"));
    let ended = ProcessEvent::Exit { boot_ns: 127_000_000, owner: owner(child, "client") };
    assert_eq!(processes.note(&ended).as_ref(), Some(&now));
    // Its sockets are closed after the hook has told of its end.
    assert_eq!(processes.get(&owner(child, "client")).as_ref(), Some(&now));
    // The id is used again.
    processes.note(&fork(900_000_000, child, shell));
    let other = processes.get(&owner(child, "maker")).expect("told");
    assert_ne!(other.start_ticks, now.start_ticks);
    assert_eq!(other.program.exe(), Some("/bin/shell"));
}

#[test]
fn a_child_of_ones_father_is_a_sibling() {
    let mut processes = told();
    processes.note(&fork(1, NOBODY + 1, NOBODY));
    let maker = owner(NOBODY + 1, "maker");
    let foreign_parent = true;
    processes.note(&ProcessEvent::Fork { boot_ns: 2, pid: NOBODY + 2, maker, foreign_parent });
    let sibling = processes.get(&owner(NOBODY + 2, "maker")).expect("told");
    assert_eq!(sibling.ppid, NOBODY);
}

#[test]
fn after_a_loss_nothing_told_is_believed() {
    let mut processes = told();
    processes.note(&fork(1, NOBODY + 1, NOBODY));
    assert!(processes.get(&owner(NOBODY + 1, "maker")).is_some());
    processes.distrust();
    assert_eq!(processes.get(&owner(NOBODY + 1, "maker")), None);
}

/// Ends it with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_proc_showed_of_a_later_program_is_taken_back() {
    let mut processes = told();
    let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = Running(child.expect("child"));
    child.0.stdin.as_mut().expect("piped").write_all(b"x").expect("written");
    child.0.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("read");
    let pid = child.0.id();
    let early = processes.get(&owner(pid, "sh")).expect("running");
    assert!(early.program.exe().is_some_and(|exe| exe.ends_with("cat")));
    // The record of an earlier event was read late: by then the process ran `cat`, which only
    // now is told.
    let now = boot_ns();
    let mut began = exec(now, pid, "/usr/bin/cat", b"cat\0");
    if let ProcessEvent::Exec { started: Some(started), .. } = &mut began {
        started.began_ns = 1;
    }
    processes.note(&began);
    assert_eq!((early.program.exe(), early.program.comm()), (None, None));
    let late = processes.get(&owner(pid, "cat")).expect("told");
    assert!(late.program.exe().is_some_and(|exe| exe.ends_with("cat")));
    assert_eq!(late.program.cmdline(), Some("cat"));
    assert_eq!(late.start_ticks, early.start_ticks);
}

#[test]
fn an_owner_whose_cgroup_nobody_told_does_not_have_it_looked_up_again() {
    let mut processes = told();
    processes.note(&fork(1, NOBODY + 1, NOBODY));
    let hooked = owner(NOBODY + 1, "maker");
    let existing = Owner { cgroup_id: 0, ..hooked };
    let looked_up = |processes: &mut Processes, owner: &Owner| {
        assert!(processes.get(owner).is_some());
        processes.kept.peek(&owner.pid).and_then(|kept| kept.cgroup_id)
    };
    assert_eq!(looked_up(&mut processes, &existing), Some(0));
    assert_eq!(looked_up(&mut processes, &hooked), Some(7));
    assert_eq!(looked_up(&mut processes, &existing), Some(7));
}
