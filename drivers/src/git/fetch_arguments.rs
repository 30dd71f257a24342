//! `agent.git_fetch_args`: how the user of this machine wants things to be fetched, as far as it is about how.

/// What is fetched is known here: these would ask for more, or for less than a work tree needs. Mirrors have whole
/// histories, since work trees borrow their objects, and what is missing there cannot be told to them.
const ABOUT_WHAT: [&str; 22] = [
    "--all",
    "--append",
    "--deepen",
    "--depth",
    "--dry-run",
    "--filter",
    "--multiple",
    "--no-recurse-submodules",
    "--no-tags",
    "--no-write-fetch-head",
    "--prune",
    "--prune-tags",
    "--recurse-submodules",
    "--refmap",
    "--shallow-exclude",
    "--shallow-since",
    "--tags",
    "--unshallow",
    "-a",
    "-p",
    "-P",
    "-t",
];

/// Those that count: options, with their values in the same word.
pub(super) fn about_how(arguments: &[String]) -> impl Iterator<Item = &str> {
    arguments.iter().map(String::as_str).filter(|argument| {
        let name = argument.split_once('=').map_or(*argument, |(name, _)| name);
        let is_option = argument.starts_with('-') && name != "--";
        is_option && !ABOUT_WHAT.contains(&name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_stays_as_it_is() {
        let given =
            ["--all", "--tags", "--recurse-submodules", "--depth=1", "--jobs=4", "-4", "origin", "--", "--no-tags"];
        let given = given.map(str::to_owned);
        assert_eq!(about_how(&given).collect::<Vec<_>>(), ["--jobs=4", "-4"]);
    }
}
