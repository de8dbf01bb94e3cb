//! What goes to stderr: one line each, without passwords and without control characters.

use std::{
    borrow::Cow, error::Error, ffi::OsString, fmt::Write as _, io::Write as _, sync::OnceLock,
};

use anstyle::{AnsiColor, Style};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// What no message may repeat.
static SECRETS: OnceLock<Secrets> = OnceLock::new();

/// Keeps what looks like a URL with a password among these arguments out of every message.
pub(crate) fn hide_secrets_of(args: &[OsString]) {
    // A second program in one process is a test, and has the first one's secrets hidden too.
    SECRETS.get_or_init(|| Secrets::of_arguments(args));
}

fn hide(text: &str) -> Cow<'_, str> {
    SECRETS.get().map_or(Cow::Borrowed(text), |secrets| Cow::Owned(secrets.hide(text)))
}

/// Prints why the program fails.
pub(crate) fn error(message: &str) {
    line("error", ERROR, message);
}

/// Prints what went wrong beside the point.
pub(crate) fn warning(message: &str) {
    line("warning", WARNING, message);
}

/// Prints what is good to know.
pub(crate) fn note(message: &str) {
    line("note", Style::new().bold(), message);
}

fn line(label: &str, style: Style, message: &str) {
    let message = one_line(&hide(message));
    // Once stderr is gone there is nowhere left to tell it.
    let _ = writeln!(anstream::stderr(), "{style}{label}:{style:#} {message}");
}

/// Prints a usage error, which has its own label and several lines.
pub(crate) fn usage(text: &str) {
    // As above.
    let _ = write!(anstream::stderr(), "{}", hide(text));
}

/// An error's message and those of its sources. A source that its error has repeated is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    for source in sources(error) {
        let source = source.to_string();
        if !text.contains(&source) {
            let _ = write!(text, ": {source}");
        }
    }
    text
}

/// The errors behind an error, the nearest first.
pub(crate) fn sources<'a>(error: &'a dyn Error) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |&error| error.source())
}

/// The text with its control characters spelt out: names and messages come from files and servers,
/// and a terminal obeys what it is sent.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_control(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    Cow::Owned(plain)
}

/// Controls, and the marks that turn the direction of what follows.
fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn one_line(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    printable(&lines.join(" ")).into_owned()
}

/// Arguments that look like URLs with a password: what usage errors and file errors repeat.
struct Secrets(Vec<String>);

impl Secrets {
    fn of_arguments(args: &[OsString]) -> Self {
        let mut secrets: Vec<String> = Vec::new();
        for arg in args.iter().skip(1) {
            let arg = arg.to_string_lossy();
            let value =
                arg.split_once('=').map(|(_, value)| value).filter(|_| arg.starts_with('-'));
            for text in [Some(&*arg), value].into_iter().flatten() {
                if has_user_info(text) {
                    secrets.push(text.to_owned());
                }
            }
        }
        // The longer ones first: another may be a part of them.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The text without what stands between the scheme and the `@` of such arguments.
    fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            let start = secret.find(':').map_or(0, |place| place + 1);
            let end = secret.rfind('@').unwrap_or(secret.len());
            let hidden = format!(
                "{}…{}",
                secret.get(..start).unwrap_or_default(),
                secret.get(end..).unwrap_or_default()
            );
            text.replace(secret.as_str(), &hidden)
        })
    }
}

fn has_user_info(text: &str) -> bool {
    let is_url = text.contains("://")
        || ["memory:", "arango", "cql"].iter().any(|scheme| text.starts_with(scheme));
    is_url && text.contains(':') && text.contains('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hide(arg: &str, text: &str) -> String {
        Secrets::of_arguments(&["unibatch".into(), arg.into()]).hide(text)
    }

    #[test]
    fn the_user_info_of_an_argument_is_hidden_wherever_it_is_repeated() {
        for arg in [
            "cql://u:hunter2@h/ks",
            "cql://u:hun@hunter2@h/ks",
            "cql:u:hunter2@h",
            "http://u:hunter2@h",
            "memory:u:hunter2@h",
            "--stor=cql://u:hunter2@h",
        ] {
            let url = arg.trim_start_matches("--stor=");
            let hidden = hide(arg, &format!("no file '{url}', and '{arg}' is no option"));
            assert!(!hidden.contains("hun"), "{arg}: {hidden}");
            assert!(hidden.contains("…@h"), "{arg}: {hidden}");
        }
    }

    #[test]
    fn what_is_no_url_with_user_info_is_left_as_it_is() {
        for arg in ["students@2024.ndjson", "cql://h/ks", "a:b@c", "-"] {
            assert_eq!(hide(arg, arg), arg);
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_spelt_out() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\u{9b}"), "a\\u{1b}[2Jb\\u{202e}c\\u{9b}");
        assert_eq!(printable("Zoë → 学"), "Zoë → 学");
        assert_eq!(one_line("a\r\n  b\n"), "a   b");
    }

    #[test]
    fn a_chain_names_each_source_once() {
        use unibatch::{Error, ErrorKind};

        let inner = Error::new(ErrorKind::Connection, "refused by 127.0.0.1");
        let outer = Error::new(ErrorKind::Timeout, "no answer within 3 s").with_source(inner);
        assert_eq!(chain(&outer), "no answer within 3 s: refused by 127.0.0.1");
        let inner = Error::new(ErrorKind::Connection, "refused");
        let outer = Error::new(ErrorKind::Timeout, "late: refused").with_source(inner);
        assert_eq!(chain(&outer), "late: refused");
    }
}
