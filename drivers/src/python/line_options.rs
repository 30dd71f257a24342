//! Options of a single requirement (`six --config-settings="a=b"`): pip alone reads them, and not every pip each.

use std::ops::Range;

use super::error::PythonError;
use super::installer::{Engine, Installer};
use super::probe::PYTHON_VARIABLES;
use crate::command::{CommandError, CommandLine};

/// Prints the versions of pip that may be the one of a new environment, the newest being it.
const QUESTION: &str = "import ensurepip, sys\n\
    print(ensurepip.version())\n\
    if 'shared' in sys.argv:\n\
    \x20   import pip\n\
    \x20   print(pip.__version__)\n";

/// Major and minor number of a pip.
pub(super) type PipVersion = (u32, u32);

/// An option as it is written, with its value.
struct LineOption<'a> {
    /// Empty for what is none, which the installer has to judge.
    name: &'static str,
    text: &'a str,
}

impl LineOption<'_> {
    /// Whether a program reads it: a pip, or uv where there is none.
    fn is_read(&self, pip: Option<PipVersion>) -> bool {
        match (self.name, pip) {
            ("" | "--hash", _) => true,
            ("--config-settings", Some(version)) => version >= (23, 1),
            ("--global-option", Some(version)) => version < (25, 3),
            ("--install-option", Some(version)) => version < (23, 1),
            (_, _) => false,
        }
    }
}

/// The requirement without its options.
pub(super) fn without_options(line: &str) -> &str {
    taken_apart(line).0
}

/// Whether a requirement has options other than hashes.
pub(super) fn has_options(line: &str) -> bool {
    taken_apart(line).1.iter().any(|option| !matches!(option.name, "" | "--hash"))
}

/// The lines of a file with the options alone that a program reads.
pub(super) fn readable(text: &str, pip: Option<PipVersion>) -> String {
    let line = |line: &str| {
        let (head, options) = taken_apart(line);
        if options.iter().all(|option| option.is_read(pip)) {
            return format!("{line}\n");
        }
        let kept = options.iter().filter(|option| option.is_read(pip)).map(|option| option.text);
        std::iter::once(head).chain(kept).collect::<Vec<_>>().join(" ") + "\n"
    };
    text.lines().map(line).collect()
}

fn taken_apart(line: &str) -> (&str, Vec<LineOption<'_>>) {
    // Most lines have none.
    if !line.contains(" -") && !line.contains("\t-") {
        return (line, Vec::new());
    }
    let words = words(line);
    let start = words.iter().skip(1).position(|range| name(&line[range.clone()]).is_some());
    let Some(start) = start.map(|start| start + 1) else { return (line, Vec::new()) };
    let head = line[..words[start].start].trim_end();
    let mut options = Vec::new();
    let mut rest = words[start..].iter();
    while let Some(range) = rest.next() {
        let word = &line[range.clone()];
        let name = name(word);
        let is_alone = name.is_some() && (word == "-C" || (word.starts_with("--") && !word.contains('=')));
        let end = if is_alone { rest.next().map_or(range.end, |value| value.end) } else { range.end };
        options.push(LineOption { name: name.unwrap_or_default(), text: &line[range.start..end] });
    }
    (head, options)
}

/// The long name of an option that a requirement may have.
fn name(word: &str) -> Option<&'static str> {
    const NAMES: [&str; 5] = ["--hash", "--config-settings", "--global-option", "--install-option", "--build-option"];
    let before = word.split('=').next().unwrap_or(word);
    let is_short = before.starts_with("-C") || before == "--config-setting";
    if is_short { Some("--config-settings") } else { NAMES.into_iter().find(|name| *name == before) }
}

/// Where the words of a line are, with their quotes.
fn words(line: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let (mut start, mut quote, mut is_escaped) = (None, None, false);
    for (at, letter) in line.char_indices() {
        match (letter, quote) {
            _ if is_escaped => is_escaped = false,
            ('\\', _) if quote != Some('\'') => is_escaped = true,
            (end, Some(open)) if end == open => quote = None,
            ('"' | '\'', None) => quote = Some(letter),
            (_, None) if letter.is_whitespace() => {
                found.extend(start.take().map(|start| start..at));
                continue;
            }
            (_, _) => {}
        }
        start.get_or_insert(at);
    }
    found.extend(start.map(|start| start..line.len()));
    found
}

impl Installer<'_> {
    /// Which pip a new environment will have, where requirements have options for it.
    pub(super) fn pip_for_options(&self) -> Result<Option<PipVersion>, PythonError> {
        if !self.requirements.texts().any(has_options) {
            return Ok(None);
        }
        let command = CommandLine::new(&self.interpreter.path).arguments(["-I", "-c", QUESTION]);
        let command = command.arguments(self.settings.system_site_packages.then_some("shared"));
        match self.commands.run(command.without_variables(PYTHON_VARIABLES), &mut |_| {}) {
            Ok(answer) => Ok(answer.tail.iter().filter_map(|line| version(line)).max()),
            Err(CommandError::Stopped { .. }) => Err(PythonError::Stopped),
            // Then there is none.
            Err(CommandError::NotFound { .. } | CommandError::Run { .. }) => Ok(None),
        }
    }

    /// Whether a pip reads options of requirements that uv does not.
    pub(super) fn has_options_for(&self, pip: PipVersion) -> bool {
        let options = self.requirements.texts().flat_map(|line| taken_apart(line).1);
        options.into_iter().any(|option| option.is_read(Some(pip)) && !option.is_read(None))
    }

    /// Says which options of requirements are left out.
    pub(super) fn say_left_out(&self, engine: &Engine) {
        let (who, pip) = match engine {
            Engine::Uv(_) => ("uv".to_owned(), None),
            Engine::Pip { version: None } => return,
            Engine::Pip { version: Some(pip) } => (format!("pip {}.{}", pip.0, pip.1), Some(*pip)),
        };
        for line in self.requirements.texts() {
            let (head, options) = taken_apart(line);
            for option in options.iter().filter(|option| !option.is_read(pip)) {
                let text = format!("{} of {head} is left out: {who} does not read it in a list", option.text);
                (self.progress)(&self.indexes.scrubber().scrub(&text));
            }
        }
    }
}

fn version(text: &str) -> Option<PipVersion> {
    let mut numbers = text.trim().split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_from_the_requirement() {
        let check = |line: &str, head: &str, options: &[&str]| {
            let (found, texts) = taken_apart(line);
            let texts: Vec<&str> = texts.iter().map(|option| option.text).collect();
            assert_eq!((found, &*texts), (head, options), "{line}");
        };
        check("six==1.16.0", "six==1.16.0", &[]);
        check("six --global-option=x", "six", &["--global-option=x"]);
        check("a ; os_name == 'a -C b' -Cx=y -C z", "a ; os_name == 'a -C b'", &["-Cx=y", "-C z"]);
        check(
            "a==1 --config-settings=\"--x=a b\" --global-option '-y' --hash=sha256:00",
            "a==1",
            &["--config-settings=\"--x=a b\"", "--global-option '-y'", "--hash=sha256:00"],
        );
        check("-e ./my -dir", "-e ./my -dir", &[]);
        check("a --config-setting b=c --frobnicate", "a", &["--config-setting b=c", "--frobnicate"]);
        assert!(has_options("a -C x=y") && !has_options("a --hash=sha256:00") && !has_options("--config-settings x"));
    }

    #[test]
    fn each_program_gets_what_it_reads() {
        let text = "--pre\na==1 --config-settings=\"a=b\" --hash=sha256:00\nb --global-option=x --install-option y\n\
                    c --build-option=z --frobnicate\n";
        for (pip, a, b) in [
            (None, "a==1 --hash=sha256:00", "b"),
            (Some((22, 3)), "a==1 --hash=sha256:00", "b --global-option=x --install-option y"),
            (Some((23, 1)), "a==1 --config-settings=\"a=b\" --hash=sha256:00", "b --global-option=x"),
            (Some((25, 3)), "a==1 --config-settings=\"a=b\" --hash=sha256:00", "b"),
        ] {
            assert_eq!(readable(text, pip), format!("--pre\n{a}\n{b}\nc --frobnicate\n"), "{pip:?}");
        }
        assert_eq!((version("23.2.1\n"), version("26.0"), version("Error")), (Some((23, 2)), Some((26, 0)), None));
    }
}
