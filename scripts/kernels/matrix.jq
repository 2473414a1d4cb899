# From the reports of `ebpfrec check --json`, one for each kernel: hooks down, kernels across, in
# Markdown.
def row: "| " + join(" | ") + " |";
def release: .kernel | rtrimstr("-cloud-amd64");
. as $reports
| (["hook", "needed"] + map(release) | row),
  (["---", "---"] + map("---") | row),
  (map(.hooks) | max_by(length) | .[] | . as $hook
    | ["`" + $hook.name + "`", (if $hook.required then "yes" else "" end)]
      + ($reports | map((.hooks[] | select(.name == $hook.name) | .attached) // false
          | if . then "yes" else "–" end))
    | row),
  (["live tests", ""] + map(.suite) | row)
