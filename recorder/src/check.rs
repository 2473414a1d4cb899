//! What this host gives: every hook, attached or not, and what is lost without it; and every
//! container runtime, and whether it answers.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    container::{Runtime, RuntimeState},
    load::{Hook, HookStatus},
    text::Printable,
};

/// What is said of a runtime that has not been heard of.
const NO_ANSWER: &str = "no answer";

/// Hook → `attached`, or why it is not: for the metadata of the event file.
#[must_use]
pub fn hooks_json(hooks: &[Hook]) -> Value {
    let status = |hook: &Hook| match &hook.status {
        HookStatus::Attached => Value::from("attached"),
        HookStatus::Missing(why) => Value::from(why.as_str()),
    };
    Value::Object(hooks.iter().map(|hook| (hook.name.to_owned(), status(hook))).collect())
}

/// Whether nothing is missing that a recording can't do without.
#[must_use]
pub fn is_enough(hooks: &[Hook]) -> bool {
    hooks.iter().all(|hook| !hook.required || hook.status.is_attached())
}

/// The whole report as JSON.
#[must_use]
pub fn report_json(kernel: &str, hooks: &[Hook], runtimes: &[Runtime]) -> Value {
    let hooks_json: Vec<Value> = hooks
        .iter()
        .map(|hook| {
            let why = match &hook.status {
                HookStatus::Attached => None,
                HookStatus::Missing(why) => Some(why),
            };
            json!({
                "name": hook.name,
                "attached": why.is_none(),
                "required": hook.required,
                "why": why,
                "loses": hook.loses,
            })
        })
        .collect();
    json!({
        "kernel": kernel,
        "enough": is_enough(hooks),
        "hooks": hooks_json,
        "runtimes": runtimes.iter().map(runtime_json).collect::<Vec<_>>(),
    })
}

/// A socket, whether it was found, and who answers there, or why nobody does.
fn runtime_json(runtime: &Runtime) -> Value {
    let (name, version, why) = match &runtime.state {
        RuntimeState::Answers { runtime, version } => (Some(runtime), Some(version.as_str()), None),
        RuntimeState::Down(why) => (None, None, Some(why.as_str())),
        RuntimeState::Connecting => (None, None, Some(NO_ANSWER)),
        RuntimeState::Absent => (None, None, None),
    };
    json!({
        "socket": runtime.path.to_string_lossy(),
        "found": runtime.state != RuntimeState::Absent,
        "answers": name.is_some(),
        "runtime": name,
        "version": version,
        "why": why,
    })
}

/// The same as lines of the table, without those that are not there.
fn runtime_lines(runtimes: &[Runtime]) -> String {
    let mut out = String::new();
    for Runtime { path, state } in runtimes {
        let said = match state {
            RuntimeState::Absent => continue,
            RuntimeState::Answers { runtime, version } => {
                format!("{runtime} {}", Printable::text(version))
            }
            RuntimeState::Down(why) => format!("no names: {}", Printable::text(why)),
            RuntimeState::Connecting => format!("no names: {NO_ANSWER}"),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(out, "  {}  {said}", Printable::path(path));
    }
    if out.is_empty() {
        return "no container runtime found: containers go by their ids\n".to_owned();
    }
    format!("container runtimes\n{out}")
}

/// The whole report as a table, each line ended.
#[must_use]
pub fn report_table(kernel: &str, hooks: &[Hook], runtimes: &[Runtime]) -> String {
    let mut out = String::new();
    let width = hooks.iter().map(|hook| hook.name.len()).max().unwrap_or(0);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "kernel {}", Printable::text(kernel));
    for hook in hooks {
        let _ = match &hook.status {
            HookStatus::Attached => writeln!(out, "  {:width$}  attached", hook.name),
            HookStatus::Missing(why) => {
                let needed = if hook.required { ", required" } else { "" };
                writeln!(
                    out,
                    "  {:width$}  missing{needed}: {}\n  {:width$}  lost: {}",
                    hook.name,
                    Printable::text(why),
                    "",
                    hook.loses
                )
            }
        };
    }
    out += &runtime_lines(runtimes);
    let missing = hooks.iter().filter(|hook| !hook.status.is_attached()).count();
    let verdict = match (is_enough(hooks), missing) {
        (true, 0) => "everything can be recorded",
        (true, _) => "recording works, without what is listed as lost",
        (false, _) => "recording does not work on this kernel",
    };
    let _ = writeln!(out, "{verdict}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(required: bool, status: HookStatus) -> Hook {
        Hook { name: "cgroup/x", required, loses: "the end of sockets", status }
    }

    #[test]
    fn a_missing_hook_says_why_and_what_is_lost() {
        let hooks = [hook(false, HookStatus::Missing("no\nsuch".to_owned()))];
        assert_eq!(
            report_table("6.18", &hooks, &[]),
            "kernel 6.18\n  cgroup/x  missing: no\\nsuch\n            lost: the end of sockets\n\
             no container runtime found: containers go by their ids\n\
             recording works, without what is listed as lost\n"
        );
        assert_eq!(report_json("6.18", &hooks, &[])["hooks"][0]["why"], "no\nsuch");
        assert_eq!(hooks_json(&hooks)["cgroup/x"], "no\nsuch");
    }

    #[test]
    fn only_a_required_hook_decides() {
        let all = [hook(true, HookStatus::Attached)];
        assert!(is_enough(&all));
        assert!(report_table("", &all, &[]).ends_with("everything can be recorded\n"));
        let without = [hook(true, HookStatus::Missing(String::new()))];
        assert!(!is_enough(&without));
        assert!(report_table("", &without, &[]).contains("missing, required"));
        assert_eq!(report_json("", &without, &[])["enough"], false);
    }

    #[test]
    fn a_runtime_answers_or_it_is_said_why_not() {
        let at = |path: &str, state| Runtime { path: path.into(), state };
        let runtimes = [
            at("/d", RuntimeState::Answers { runtime: "docker", version: "1\n2".to_owned() }),
            at("/c", RuntimeState::Down("no answer within 1 s".to_owned())),
            at("/p", RuntimeState::Absent),
        ];
        assert_eq!(
            runtime_lines(&runtimes),
            "container runtimes\n  /d  docker 1\\n2\n  /c  no names: no answer within 1 s\n"
        );
        let json = report_json("", &[], &runtimes);
        assert_eq!(json["runtimes"][0]["runtime"], "docker");
        assert_eq!(json["runtimes"][1]["answers"], false);
        assert_eq!(json["runtimes"][2]["found"], false);
    }
}
