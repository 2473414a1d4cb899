//! `/proc/PID/cmdline` (proc_pid_cmdline(5)) as one line that a POSIX shell would take apart into
//! the same arguments.

/// What a cut line ends with.
const ELLIPSIS: &str = "…";

/// The arguments, each ended by NUL, joined by spaces and quoted where they need it. Bytes that
/// are not UTF-8 become U+FFFD. At most `most` bytes; a longer line is cut and ends with `…`.
#[must_use]
pub fn quote_cmdline(arguments: &[u8], most: usize) -> String {
    let arguments = arguments.strip_suffix(&[0]).unwrap_or(arguments);
    let mut line = String::new();
    for (position, argument) in arguments.split(|&byte| byte == 0).enumerate() {
        if position > 0 {
            line.push(' ');
        }
        push_quoted(&mut line, &String::from_utf8_lossy(argument));
        if line.len() > most {
            let mut end = most.saturating_sub(ELLIPSIS.len());
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            line.push_str(ELLIPSIS);
            break;
        }
    }
    line
}

fn push_quoted(line: &mut String, argument: &str) {
    if !argument.is_empty() && argument.chars().all(is_plain) {
        line.push_str(argument);
        return;
    }
    line.push('\'');
    // A single quote can't stand inside single quotes: end them, escape it, begin again.
    line.push_str(&argument.replace('\'', r"'\''"));
    line.push('\'');
}

/// Whether a shell takes the character as it is wherever it stands. `~` and `#` would be, but for
/// the first place; `=` is, but for `zsh`.
fn is_plain(char: char) -> bool {
    char.is_alphanumeric() || "_-./:,@%+=".contains(char)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes a line apart by the rules of a POSIX shell, as far as quoting uses them.
    fn shell_words(line: &str) -> Vec<String> {
        let mut words = vec![];
        let mut word: Option<String> = None;
        let mut chars = line.chars();
        while let Some(char) = chars.next() {
            match char {
                ' ' => words.extend(word.take()),
                '\\' => word.get_or_insert_default().extend(chars.next()),
                '\'' => {
                    let word = word.get_or_insert_default();
                    word.extend(chars.by_ref().take_while(|&char| char != '\''));
                }
                char => word.get_or_insert_default().push(char),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn arguments_are_quoted_where_they_need_it() {
        for (arguments, want) in [
            (&b"curl\0-s\0http://a:80/?x=1\0"[..], "curl -s 'http://a:80/?x=1'"),
            (b"sh\0-c\0echo 'hi'; ls\0", r"sh -c 'echo '\''hi'\''; ls'"),
            (b"a\0\0b\0", "a '' b"),
            // A process that wrote its title over its arguments.
            (b"nginx: worker process\0", "'nginx: worker process'"),
            (b"title without nul", "'title without nul'"),
            (b"\xff\xfe\0", "'\u{fffd}\u{fffd}'"),
            (b"\n\x1b[31m\0", "'\n\u{1b}[31m'"),
        ] {
            assert_eq!(quote_cmdline(arguments, 4096), want);
        }
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        for fill in 4000..4100 {
            let arguments = ["x".repeat(fill), "ü".repeat(200)].join("\0");
            let line = quote_cmdline(arguments.as_bytes(), 4096);
            assert!(line.len() <= 4096 && line.len() > 4090, "{}", line.len());
            assert!(line.ends_with('…'));
        }
        let exact = "x".repeat(4096);
        assert_eq!(quote_cmdline(exact.as_bytes(), 4096), exact);
    }

    proptest! {
        #[test]
        fn a_shell_reads_the_same_arguments(
            arguments in prop::collection::vec("[^\0]{0,20}", 1..6),
        ) {
            let mut bytes = arguments.join("\0").into_bytes();
            bytes.push(0);
            prop_assert_eq!(shell_words(&quote_cmdline(&bytes, 4096)), arguments);
        }

        #[test]
        fn any_bytes_fit(bytes in prop::collection::vec(any::<u8>(), 0..200), most in 3_usize..100) {
            prop_assert!(quote_cmdline(&bytes, most).len() <= most);
        }
    }
}
