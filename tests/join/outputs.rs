//! Files that are written have their names only when they are whole, and nothing else is touched
//! meanwhile.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::bad_input::{list, refused};
use crate::scene::{pcapng, put, scene};
use crate::tools::join;

/// Everything that can be written.
const ALL: [&str; 6] = ["-o", "out.pcapng", "--packets", "out.parquet", "--report", "out.html"];

/// A join of `capture`, which comes through a pipe that stays open, as far as its outputs are begun.
fn begun(folder: &TempDir, capture: &[u8]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebpfjoin"));
    command.current_dir(folder.path()).args(["-", "ev.parquet", "--quiet"]).args(ALL);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("ebpfjoin starts");
    child.stdin.as_mut().expect("a pipe").write_all(capture).expect("written");
    // Of its files, and what keeps the pipe.
    let files = || {
        let open = fs::read_dir(format!("/proc/{}/fd", child.id())).expect("its files");
        let links = open.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
        links.filter(|link| link.starts_with(folder.path())).count()
    };
    for _ in 0..1000 {
        if files() >= 4 {
            break;
        }
        sleep(Duration::from_millis(10));
    }
    child
}

#[test]
fn who_is_ended_leaves_nothing_behind() {
    let folder = scene();
    let before = list(&folder);
    // Ctrl-C does what TERM does, but who runs the tests in the background may have it ignored.
    for signal in [Signal::TERM, Signal::KILL] {
        let mut child = begun(&folder, &pcapng(false, &[]));
        kill_process(Pid::from_child(&child), signal).expect("it lives");
        assert!(!child.wait().expect("it ends").success());
        assert_eq!(list(&folder), before, "{signal:?}");
    }
}

#[test]
fn two_that_write_to_one_place_do_not_disturb_each_other() {
    let folder = scene();
    let captures = [pcapng(false, &[]), pcapng(true, &[]).repeat(2)];
    let want = captures.each_ref().map(|capture| {
        put(&folder, "in.pcapng", capture);
        join(folder.path(), "in.pcapng", &[]);
        fs::read(folder.path().join("out.pcapng")).expect("output")
    });
    let both = captures.each_ref().map(|capture| begun(&folder, capture));
    for (mut child, want) in both.into_iter().zip(&want) {
        drop(child.stdin.take());
        assert!(child.wait().expect("it ends").success());
        assert!(fs::read(folder.path().join("out.pcapng")).expect("output") == *want);
    }
}

#[test]
fn files_of_others_are_left_alone_whatever_their_names() {
    let folder = scene();
    let place = |name: &str| folder.path().join(name);
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    put(&folder, "victim", b"precious");
    put(&folder, "out.parquet.partial", b"mine");
    symlink("victim", place("out.pcapng.partial")).expect("linked");
    let mut want = list(&folder);
    join(folder.path(), "in.pcapng", &ALL[2..]);
    want.extend(["out.html", "out.parquet", "out.pcapng"].map(str::to_owned));
    want.sort();
    assert_eq!(list(&folder), want);
    assert_eq!(fs::read(place("victim")).expect("there"), b"precious");
    assert_eq!(fs::read(place("out.parquet.partial")).expect("there"), b"mine");
    // Such a name is as good as any for a capture, too.
    put(&folder, "out.parquet.partial", &pcapng(true, &[]));
    join(folder.path(), "out.parquet.partial", &ALL[2..]);
}

#[test]
fn outputs_that_meet_behind_a_link_are_refused() {
    let folder = scene();
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    symlink("out.pcapng", folder.path().join("rows")).expect("linked");
    let args = ["in.pcapng", "ev.parquet", "-o", "out.pcapng", "--packets", "rows"];
    assert_eq!(
        refused(&folder, &args),
        "ebpfjoin: out.pcapng: writing rows would overwrite this output; give another name with \
         --packets"
    );
}

#[test]
fn what_is_replaced_keeps_its_permissions_and_its_links() {
    let folder = scene();
    let place = |name: &str| folder.path().join(name);
    put(&folder, "in.pcapng", &pcapng(false, &[]));
    symlink("there", place("out.pcapng")).expect("linked");
    join(folder.path(), "in.pcapng", &[]);
    let first = fs::read(place("there")).expect("the link's target is made");
    fs::set_permissions(place("there"), fs::Permissions::from_mode(0o600)).expect("set");
    put(&folder, "there.old", &first);
    join(folder.path(), "there.old", &[]);
    assert!(fs::symlink_metadata(place("out.pcapng")).expect("there").is_symlink());
    let mode = fs::metadata(place("there")).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}
