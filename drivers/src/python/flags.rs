//! `agent.package_manager.extra_pip_install_flags`: what the user of this machine tells every installation.
//!
//! What a requirements file could say counts as if it stood there: so the address of an index never is on a command
//! line. The rest goes to the installer: to uv where it understands all of it, else pip installs.

use super::requirement_line::as_option;

/// Options of requirement files.
const OF_FILES: [&str; 10] = [
    "--index-url",
    "--extra-index-url",
    "--find-links",
    "--no-index",
    "--pre",
    "--trusted-host",
    "--no-binary",
    "--only-binary",
    "--prefer-binary",
    "--require-hashes",
];
/// What uv takes as pip does.
const OF_UV: [&str; 23] = [
    "--break-system-packages",
    "--compile",
    "--config-settings",
    "--constraint",
    "--disable-pip-version-check",
    "--exclude-newer",
    "--force-reinstall",
    "--index-strategy",
    "--link-mode",
    "--no-build-isolation",
    "--no-build-isolation-package",
    "--no-cache",
    "--no-cache-dir",
    "--no-color",
    "--no-compile",
    "--no-deps",
    "--prerelease",
    "--quiet",
    "--upgrade",
    "--verbose",
    "-C",
    "-U",
    "-v",
];
/// What means nothing to uv, or what it does in any case.
const NOTHING_TO_UV: [&str; 10] = [
    "--default-timeout",
    "--ignore-installed",
    "--no-input",
    "--no-warn-conflicts",
    "--no-warn-script-location",
    "--progress-bar",
    "--require-virtualenv",
    "--retries",
    "--timeout",
    "--use-pep517",
];
/// What would put packages elsewhere, or would install what no task asks for.
const REFUSED: [&str; 10] =
    ["--user", "--target", "-t", "--prefix", "--root", "--src", "--editable", "-e", "--requirement", "-r"];

/// The flags, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// Options of requirement files.
    pub(super) options: Vec<(&'static str, String)>,
    /// The rest: each flag with its values.
    arguments: Vec<Vec<String>>,
    /// Those that cannot be granted.
    refused: Vec<String>,
}

impl Flags {
    /// Reads them: words as on a command line, or a flag and its value in one.
    pub(super) fn read(words: &[String]) -> Self {
        let mut flags: Vec<Vec<String>> = Vec::new();
        for word in words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()) {
            let (first, second) = match word.split_once(char::is_whitespace) {
                Some((first, second)) if word.starts_with('-') => (first, Some(second.trim())),
                Some(_) | None => (word, None),
            };
            match flags.last_mut() {
                Some(flag) if !word.starts_with('-') => flag.push(word.to_owned()),
                Some(_) | None => flags.push(std::iter::once(first).chain(second).map(str::to_owned).collect()),
            }
        }
        let mut read = Self::default();
        for flag in flags {
            let name = name(&flag).to_owned();
            match as_option(&flag.join(" ")) {
                _ if REFUSED.contains(&name.as_str()) => read.refused.push(name),
                Some((option, value)) if OF_FILES.contains(&option) => read.options.push((option, value)),
                Some(_) | None => read.arguments.push(flag),
            }
        }
        read
    }

    /// What people are told about those that cannot be granted, if there are any.
    pub(super) fn refusal(&self) -> Option<String> {
        let names = self.refused.join(", ");
        (!names.is_empty()).then(|| format!("extra_pip_install_flags: {names} cannot be used here"))
    }

    /// Whether the installer is told anything.
    pub(super) fn is_empty(&self) -> bool {
        self.arguments.is_empty()
    }

    /// Whether uv can do what is asked.
    pub(super) fn is_for_uv(&self) -> bool {
        self.arguments.iter().all(|flag| OF_UV.contains(&name(flag)) || NOTHING_TO_UV.contains(&name(flag)))
    }

    /// For the command line of uv.
    pub(super) fn for_uv(&self) -> impl Iterator<Item = &str> {
        let told = self.arguments.iter().filter(|flag| !NOTHING_TO_UV.contains(&name(flag)));
        told.flatten().map(String::as_str)
    }

    /// For the command line of pip.
    pub(super) fn for_pip(&self) -> impl Iterator<Item = &str> {
        self.arguments.iter().flatten().map(String::as_str)
    }
}

/// The name of a flag without its value.
fn name(flag: &[String]) -> &str {
    let first = flag.first().map_or("", String::as_str);
    first.split_once('=').map_or(first, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(words: &[&str]) -> Flags {
        Flags::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_a_file_could_say_is_no_argument() {
        let read = flags(&["--extra-index-url", "https://u:p@h/s", "--pre", "--find-links=/w", "--no-binary :all:"]);
        let expected =
            [("--extra-index-url", "https://u:p@h/s"), ("--pre", ""), ("--find-links", "/w"), ("--no-binary", ":all:")];
        assert_eq!(read.options, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(read.is_empty() && read.is_for_uv());
    }

    #[test]
    fn uv_gets_what_it_understands() {
        let read = flags(&["--no-deps", "--retries", "3", "-C", "a=b", "--link-mode=copy"]);
        assert!(read.is_for_uv() && !read.is_empty());
        assert_eq!(read.for_uv().collect::<Vec<_>>(), ["--no-deps", "-C", "a=b", "--link-mode=copy"]);
        assert_eq!(read.for_pip().count(), 6);
        assert!(!flags(&["--no-deps", "--upgrade-strategy", "eager"]).is_for_uv());
        assert!(!flags(&["--use-deprecated=legacy-resolver"]).is_for_uv());
    }

    #[test]
    fn packages_stay_where_they_belong() {
        let read = flags(&["--user", "--target=/tmp/x", "-r", "more.txt", "--no-deps"]);
        assert_eq!(read.refused, ["--user", "--target", "-r"]);
        assert_eq!(read.for_pip().collect::<Vec<_>>(), ["--no-deps"]);
    }
}
