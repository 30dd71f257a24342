//! Where a requirement names a repository of git: `git+URL@REVISION#FRAGMENT`, in a line that an installer reads, or in
//! the text of a program that makes such lines.

use std::ops::Range;

/// What begins every one.
const MARK: &str = "git+";
/// Where one ends in the text of a program.
const ENDS: [char; 4] = ['"', '\'', '`', '\\'];
/// Where one ends there, too, if it is in no quotes.
const ENDS_UNQUOTED: [char; 6] = [',', ')', ']', '>', '|', '\0'];

/// A repository in a text. Not `Debug`: the URL may hold a password.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Reference<'t> {
    /// Where it stands, from `git+` to the end of its fragment.
    pub(crate) range: Range<usize>,
    /// The URL of the repository.
    pub(crate) repository: &'t str,
    /// What follows: `@REVISION#FRAGMENT`, either of which may be missing.
    pub(crate) rest: &'t str,
}

impl<'t> Reference<'t> {
    /// The repository that a line of a requirements file names, or a requirement by itself: alone, after a name and `@`,
    /// or after `-e`. Markers, options, comments and the rest of a continued line are no part of it.
    pub(crate) fn in_line(line: &'t str) -> Option<Self> {
        let content = &line[..comment(line)];
        starts(content).find_map(|start| {
            let text = &content[start..];
            let whole = match quote_before(&content[..start]) {
                Some(quote) => text.find(quote),
                None => text.find(|letter: char| letter.is_whitespace() || letter == '\\'),
            };
            let text = &text[..whole.unwrap_or(text.len())];
            Self::read(&text[..marker(text, &content[..start])], start)
        })
    }

    /// All repositories that the text of a program names, but for those that are put together when it runs.
    pub(crate) fn in_program(text: &'t str) -> impl Iterator<Item = Self> {
        starts(text).filter_map(move |start| {
            let rest = &text[start..];
            let line = &text[text[..start].rfind('\n').map_or(0, |at| at + 1)..start];
            let is_quoted = line.contains(['"', '\'']);
            let ends = |(at, letter): &(usize, char)| {
                let is_of_extras = *letter == ']' && rest[..*at].contains('[');
                let ends_unquoted = ENDS_UNQUOTED.contains(letter) && !is_quoted && !is_of_extras;
                letter.is_whitespace() || ENDS.contains(letter) || ends_unquoted
            };
            let end = rest.char_indices().find(ends).map(|(at, _)| at);
            let whole = &rest[..end.unwrap_or(rest.len())];
            // The program adds what follows.
            let is_begun = whole.ends_with(['@', '#', '=', '/']);
            Self::read(whole, start).filter(|_| !is_begun)
        })
    }

    fn read(text: &'t str, start: usize) -> Option<Self> {
        let url = text.strip_prefix(MARK)?;
        let host = url.find("://")? + "://".len();
        let location = &url[..url.find('#').unwrap_or(url.len())];
        let path = location.get(host..)?.find('/').map_or(location.len(), |at| host + at);
        // The last one, as pip has it: there may be one in the path, and there are some before the host.
        let end = location[path..].rfind('@').map_or(location.len(), |at| path + at);
        let (repository, rest) = url.split_at(end);
        Some(Self { range: start..start + text.len(), repository, rest })
    }

    /// What is asked for: a branch, a tag, a commit, or a whole reference.
    pub(crate) fn revision(&self) -> Option<&'t str> {
        let revision = self.rest.strip_prefix('@')?.split('#').next()?;
        Some(revision).filter(|revision| !revision.is_empty())
    }

    /// A value of its fragment.
    pub(crate) fn value(&self, name: &str) -> Option<&'t str> {
        let (_, fragment) = self.rest.split_once('#')?;
        fragment.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
    }
}

/// Where one may begin: not in the middle of a word.
fn starts(text: &str) -> impl Iterator<Item = usize> {
    let is_part = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | '+' | '/');
    text.match_indices(MARK).map(|(start, _)| start).filter(move |start| !text[..*start].ends_with(is_part))
}

/// Where the comment of a line begins, as pip has it.
fn comment(line: &str) -> usize {
    let is_one = |at: &usize| *at == 0 || line[..*at].ends_with(char::is_whitespace);
    line.match_indices('#').map(|(at, _)| at).find(is_one).unwrap_or(line.len())
}

/// The quote that a text ends with, as in `-e "git+..`.
fn quote_before(text: &str) -> Option<char> {
    text.chars().next_back().filter(|letter| matches!(letter, '"' | '\''))
}

/// Where a marker begins in a URL that has one behind it without a space. After a name that is at the first semicolon;
/// by itself, a URL may have one, and pip wants the space at least behind it.
fn marker(text: &str, before: &str) -> usize {
    let at = match before.trim_end().ends_with('@') {
        true => text.find(';'),
        false => text.strip_suffix(';').map(str::len),
    };
    at.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found, and what is left of the line where it stood.
    fn found(line: &str) -> Option<(String, String)> {
        let found = Reference::in_line(line)?;
        let left = format!("{}*{}", &line[..found.range.start], &line[found.range.end..]);
        Some((format!("{} {}", found.repository, found.rest).trim().to_owned(), left))
    }

    #[test]
    fn every_line_that_names_one_is_read() {
        let check = |line: &str, expected: &str, left: &str| {
            assert_eq!(found(line), Some((expected.to_owned(), left.to_owned())), "{line}");
        };
        check("git+https://h/o/r.git", "https://h/o/r.git", "*");
        check("a @ git+https://h/r@v1.2", "https://h/r @v1.2", "a @ *");
        check("a@git+ssh://git@h/r@a/b", "ssh://git@h/r @a/b", "a@*");
        check("a[x, y] @ git+https://h/r", "https://h/r", "a[x, y] @ *");
        check("-e git+https://h/r@v1#egg=a&subdirectory=s/t", "https://h/r @v1#egg=a&subdirectory=s/t", "-e *");
        check("--editable=git+https://h/r", "https://h/r", "--editable=*");
        check("-e \"git+https://h/r@v 1#egg=a\" # why", "https://h/r @v 1#egg=a", "-e \"*\" # why");
        check("git+https://h/r#egg=a[x]&subdirectory=s", "https://h/r #egg=a[x]&subdirectory=s", "*");
        // `@` in front of the host, in the path, and before the revision.
        check("a @ git+https://me@corp:p%40@h:8/r@v1", "https://me@corp:p%40@h:8/r @v1", "a @ *");
        check("git+https://h/@scope/r@v1", "https://h/@scope/r @v1", "*");
        check("git+https://h/r@refs/pull/1/head", "https://h/r @refs/pull/1/head", "*");
        check("git+https://h@v1", "https://h@v1", "*");
        // Markers, with spaces and without.
        check("a @ git+https://h/r ; python_version > '3'", "https://h/r", "a @ * ; python_version > '3'");
        check("a @ git+https://h/r; os_name == 'nt'", "https://h/r", "a @ *; os_name == 'nt'");
        check("a @ git+https://h/r@v1;os_name=='nt'", "https://h/r @v1", "a @ *;os_name=='nt'");
        check("git+https://h/r@v1; os_name == 'nt'", "https://h/r @v1", "*; os_name == 'nt'");
        check("git+https://h/r;x@v1", "https://h/r;x @v1", "*");
        // Comments, hashes, continued lines.
        check("git+https://h/r@v1 # from git+https://h/other", "https://h/r @v1", "* # from git+https://h/other");
        check("a @ git+https://h/r\t#git", "https://h/r", "a @ *\t#git");
        check("git+https://h/r@v1 --hash=sha256:00", "https://h/r @v1", "* --hash=sha256:00");
        check("a @ git+https://h/r@v1 \\\n --hash=sha256:00", "https://h/r @v1", "a @ * \\\n --hash=sha256:00");
        check("a @ git+https://h/r@v1\\\n  ; x", "https://h/r @v1", "a @ *\\\n  ; x");
        check("a @ git+https://${USER}:${TOKEN}@h/r@v1", "https://${USER}:${TOKEN}@h/r @v1", "a @ *");
        check("git+file:///srv/r@v1", "file:///srv/r @v1", "*");
        for line in [
            "",
            "git+x",
            "six==1",
            "# git+https://h/r",
            "six # git+https://h/r",
            "https://h/git+https",
            "a.git+https://h/r",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }

    #[test]
    fn a_program_says_where_its_texts_end() {
        let text = "setup(install_requires=['six', \"a[x] @ git+https://h/a@v1\", 'b@git+ssh://git@h/b#egg=b[x,y]&subdirectory=s'],\n\
            # git+https://h/c, see there\n\
            links=(git+https://h/d), more=`git+https://h/e`, made=['git+https://h/f@' + REVISION, 'git+https://h/' + NAME])\n";
        let found: Vec<String> =
            Reference::in_program(text).map(|found| format!("{} {}", found.repository, found.rest)).collect();
        assert_eq!(
            found,
            [
                "https://h/a @v1",
                "ssh://git@h/b #egg=b[x,y]&subdirectory=s",
                "https://h/c ",
                "https://h/d ",
                "https://h/e "
            ]
        );
    }

    #[test]
    fn a_reference_has_parts() {
        let parts = |text: &str| {
            let found = Reference::in_line(text)?;
            Some(
                [found.revision(), found.value("egg"), found.value("subdirectory")]
                    .map(|part| part.unwrap_or("-").to_owned()),
            )
        };
        let check =
            |text: &str, expected: [&str; 3]| assert_eq!(parts(text), Some(expected.map(str::to_owned)), "{text}");
        check("git+https://h/r", ["-", "-", "-"]);
        check("git+https://h/r@#subdirectory=s", ["-", "-", "s"]);
        check("git+https://h/r@v1#egg=a&subdirectory=s/t", ["v1", "a", "s/t"]);
        check("git+https://h/r#subdirectory=a@b", ["-", "-", "a@b"]);
        assert_eq!(parts("hg+https://h/r"), None);
    }
}
