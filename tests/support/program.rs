//! Other programs of a test: its own executable, started again in a role. A program says what it
//! knows of itself on standard output, line by line as `key value`, and goes on, or ends, when its
//! standard input is closed.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    str::FromStr,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

/// First argument of a test executable that is to play a role.
pub(crate) const PLAY: &str = "play";

/// Nothing takes longer on an idle machine by a factor of a hundred.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A program in its role. It is killed if the test fails.
pub(crate) struct Program {
    child: Child,
    lines: BufReader<ChildStdout>,
    stdin: Option<ChildStdin>,
}

impl Program {
    /// Starts the role `args[0]` with the rest of `args`.
    pub(crate) fn start(args: &[&str]) -> Result<Self> {
        Self::start_command(Command::new(std::env::current_exe()?), args)
    }

    /// The same in a network namespace that ip(8) made.
    pub(crate) fn start_in(namespace: &str, args: &[&str]) -> Result<Self> {
        let mut command = Command::new("ip");
        // Becomes the program, with the same pid.
        command.args(["netns", "exec", namespace]).arg(std::env::current_exe()?);
        Self::start_command(command, args)
    }

    fn start_command(mut command: Command, args: &[&str]) -> Result<Self> {
        let mut child = command
            .arg(PLAY)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {args:?}"))?;
        let lines = BufReader::new(child.stdout.take().context("no standard output")?);
        let stdin = child.stdin.take();
        Ok(Self { child, lines, stdin })
    }

    /// The program's pid.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The value of the next line, which must be `key value`.
    pub(crate) fn value<T: FromStr>(&mut self, key: &str) -> Result<T> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        let value = line.trim_end().strip_prefix(key).map(str::trim);
        value
            .and_then(|value| value.parse().ok())
            .with_context(|| format!("expected `{key} …`, the program said `{}`", line.trim_end()))
    }

    /// Lets the program go on, and returns what it says until its good end.
    pub(crate) fn rest(mut self) -> Result<Vec<String>> {
        drop(self.stdin.take());
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest)?;
        let status = self.child.wait()?;
        ensure!(status.success(), "a program failed: {status}; it said `{rest}`");
        Ok(rest.lines().map(str::to_owned).collect())
    }

    /// Kills the program, and returns what it had said.
    pub(crate) fn kill(mut self) -> Result<Vec<String>> {
        self.child.kill()?;
        self.child.wait()?;
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest)?;
        Ok(rest.lines().map(str::to_owned).collect())
    }

    /// Lets the program go on, and waits for its good end.
    pub(crate) fn finish(self) -> Result<()> {
        self.rest().map(|_| ())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // After `finish` there is nothing left to kill, and the error says only that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Accepts one connection and reads it to its end.
pub(crate) fn take_one(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read_to_end(&mut vec![])?;
    Ok(())
}
