//! Passwords from a person, a pipe or a file.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::cli::PasswordArgs;
use crate::exit::{Exit, Problem};

/// Bytes that are read at most.
const LONGEST: u64 = 4096;

/// The password that was given, where one is.
pub(super) fn given(args: &PasswordArgs) -> anyhow::Result<Option<String>> {
    if args.password || args.password_stdin || args.password_file.is_some() {
        return wanted(args).map(Some);
    }
    Ok(None)
}

/// The password, which is asked for where none is given in another way.
pub(super) fn wanted(args: &PasswordArgs) -> anyhow::Result<String> {
    let password = if let Some(file) = &args.password_file {
        of_file(file)?
    } else if args.password_stdin {
        first_line(io::stdin().lock()).map_err(|error| failed(&error))?
    } else {
        asked()?
    };
    if password.is_empty() {
        return Err(Problem::usage("the password is empty"));
    }
    Ok(password)
}

fn of_file(file: &Path) -> anyhow::Result<String> {
    let opened = std::fs::File::open(file).and_then(first_line);
    opened.map_err(|error| Problem::with(Exit::Config, format!("cannot read {}: {error}", file.display())))
}

fn first_line(from: impl Read) -> io::Result<String> {
    let mut line = String::new();
    BufReader::new(from.take(LONGEST)).read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// Asks twice, without showing what is typed.
fn asked() -> anyhow::Result<String> {
    if !io::stdin().is_terminal() {
        return Err(Problem::usage("no terminal to ask for a password on: use --password-stdin or --password-file"));
    }
    let first = ask("Password: ").map_err(|error| failed(&error))?;
    let second = ask("Again: ").map_err(|error| failed(&error))?;
    if first != second {
        return Err(Problem::usage("the two passwords differ"));
    }
    Ok(first)
}

fn ask(prompt: &str) -> io::Result<String> {
    let stdin = io::stdin();
    let _silence = Silence::over(&stdin)?;
    let mut stderr = io::stderr();
    stderr.write_all(prompt.as_bytes())?;
    stderr.flush()?;
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    stderr.write_all(b"\n")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

fn failed(error: &io::Error) -> anyhow::Error {
    Problem::usage(format!("cannot read the password: {error}"))
}

/// A terminal that does not show what is typed, as long as this lives.
struct Silence<'a, T: AsFd> {
    terminal: &'a T,
    before: Termios,
}

impl<'a, T: AsFd> Silence<'a, T> {
    fn over(terminal: &'a T) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl<T: AsFd> Drop for Silence<'_, T> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(self.terminal, SetArg::TCSAFLUSH, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        for (text, password) in [("secret\n", "secret"), ("secret", "secret"), (" a b \r\nmore", " a b "), ("", "")] {
            assert_eq!(first_line(text.as_bytes()).unwrap(), password);
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let args = PasswordArgs { password: false, password_stdin: false, password_file: Some("/no/such/file".into()) };
        assert!(wanted(&args).unwrap_err().to_string().contains("/no/such/file"));
    }
}
