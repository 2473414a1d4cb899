//! Completions and man pages, as shells and man read them.

use std::process::{Command, Stdio};

use crate::tools::ebpfjoin;

#[test]
fn every_shell_gets_completions_it_understands() {
    let folder = tempfile::tempdir().expect("folder");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = ebpfjoin(folder.path(), &["completions", shell]);
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains("clock-offset") && text.contains("explain"), "{shell}");
        std::fs::write(folder.path().join(shell), text).expect("written");
        // Shells that are there read it without executing it.
        if ["bash", "zsh", "fish"].contains(&shell) {
            let checked =
                Command::new(shell).args(["-n", shell]).current_dir(folder.path()).status();
            match checked {
                Ok(status) => assert!(status.success(), "{shell}"),
                Err(_) => eprintln!("completions not read by {shell}: it is not installed"),
            }
        }
    }
    let output = ebpfjoin(folder.path(), &["completions", "tcsh"]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_man_pages_are_well_formed() {
    let folder = tempfile::tempdir().expect("folder");
    let output = ebpfjoin(folder.path(), &["man", "."]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for page in ["ebpfjoin.1", "ebpfjoin-show.1", "ebpfjoin-explain.1"] {
        let text = std::fs::read_to_string(folder.path().join(page)).expect("a page");
        assert!(text.contains(".SH NAME"), "{page}");
        let mut groff = Command::new("groff");
        groff.args(["-man", "-Tutf8", "-ww", "-z", page]).current_dir(folder.path());
        match groff.stdin(Stdio::null()).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success() && said.is_empty(), "{page}: {said}");
            }
            Err(_) => eprintln!("man pages not read by groff: it is not installed"),
        }
    }
    let output = ebpfjoin(folder.path(), &["man", "no/such/folder"]);
    assert!(
        crate::tools::failure(&output).starts_with("ebpfjoin: cannot write to no/such/folder: ")
    );
}
