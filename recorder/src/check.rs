//! What this kernel gives: every hook, attached or not, and what is lost without it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    load::{Hook, HookStatus},
    text::Printable,
};

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
pub fn report_json(kernel: &str, hooks: &[Hook]) -> Value {
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
    json!({ "kernel": kernel, "enough": is_enough(hooks), "hooks": hooks_json })
}

/// The whole report as a table, each line ended.
#[must_use]
pub fn report_table(kernel: &str, hooks: &[Hook]) -> String {
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
            report_table("6.18", &hooks),
            "kernel 6.18\n  cgroup/x  missing: no\\nsuch\n            lost: the end of sockets\n\
             recording works, without what is listed as lost\n"
        );
        assert_eq!(report_json("6.18", &hooks)["hooks"][0]["why"], "no\nsuch");
        assert_eq!(hooks_json(&hooks)["cgroup/x"], "no\nsuch");
    }

    #[test]
    fn only_a_required_hook_decides() {
        let all = [hook(true, HookStatus::Attached)];
        assert!(is_enough(&all));
        assert!(report_table("", &all).ends_with("everything can be recorded\n"));
        let without = [hook(true, HookStatus::Missing(String::new()))];
        assert!(!is_enough(&without));
        assert!(report_table("", &without).contains("missing, required"));
        assert_eq!(report_json("", &without)["enough"], false);
    }
}
