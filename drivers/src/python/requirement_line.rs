//! Single lines of requirement files: what they are, and when two of them say the same.

use super::line_options::without_options;
use crate::git::Reference;

/// Takes comments off and joins continued lines, as pip does. Empty lines are dropped.
pub(super) fn logical_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut found = Vec::new();
    let mut continued = String::new();
    for line in lines.into_iter().flat_map(str::lines) {
        let is_comment = line.trim_start().starts_with('#');
        if let Some(start) = line.strip_suffix('\\')
            && !is_comment
        {
            continued.push_str(start);
            continue;
        }
        if !is_comment {
            continued.push_str(line);
        }
        found.extend(without_comment(&std::mem::take(&mut continued)));
    }
    found.extend(without_comment(&continued));
    found
}

fn without_comment(line: &str) -> Option<String> {
    let mut end = line.len();
    for (position, _) in line.match_indices('#') {
        if line[..position].ends_with(|letter: char| letter.is_whitespace()) || position == 0 {
            end = position;
            break;
        }
    }
    let text = line[..end].trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// An option line as name and value; `None` for a requirement. Short names are made long.
pub(super) fn as_option(line: &str) -> Option<(&'static str, String)> {
    const NAMES: [(&str, &str); 8] = [
        ("-r", "--requirement"),
        ("-c", "--constraint"),
        ("-e", "--editable"),
        ("-f", "--find-links"),
        ("-i", "--index-url"),
        ("-Z", "--always-unzip"),
        ("--pypi-url", "--index-url"),
        ("--extra-index-url", "--extra-index-url"),
    ];
    const LONG: [&str; 14] = [
        "--requirement",
        "--constraint",
        "--editable",
        "--find-links",
        "--index-url",
        "--always-unzip",
        "--no-index",
        "--pre",
        "--trusted-host",
        "--no-binary",
        "--only-binary",
        "--prefer-binary",
        "--require-hashes",
        "--use-feature",
    ];
    if !line.starts_with('-') {
        return None;
    }
    let (name, value) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
    let value = unquoted(value.trim());
    if let Some((_, long)) = NAMES.iter().find(|(short, _)| *short == name) {
        return Some((long, value.to_owned()));
    }
    if let Some(long) = LONG.iter().find(|long| **long == name) {
        return Some((long, value.to_owned()));
    }
    // `-rfile`: the value may hang on a short name.
    let joined = NAMES.iter().find(|(short, _)| short.len() == 2 && !line.starts_with("--") && line.starts_with(short));
    joined.map(|(_, long)| (*long, line[2..].trim().to_owned())).or(Some(("", line.to_owned())))
}

/// A value without the quotes around all of it, which pip takes off as a shell does.
fn unquoted(value: &str) -> &str {
    let inner = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
    inner.filter(|inner| !inner.contains(['"', '\''])).unwrap_or(value)
}

/// Whether it has a URL scheme that leads away from this machine.
pub(super) fn is_remote(text: &str) -> bool {
    text.contains("://") && !text.starts_with("file:")
}

/// The path in a requirement that lies on this machine, without extras and markers.
pub(super) fn local_path(requirement: &str) -> Option<&str> {
    let requirement = without_options(requirement);
    let head = requirement.split(" ;").next().unwrap_or(requirement).split("; ").next().unwrap_or(requirement);
    if let Some((_, url)) = head.split_once('@')
        && let Some(path) = url.trim().strip_prefix("file://")
    {
        return Some(path.split('#').next().unwrap_or(path));
    }
    if let Some(path) = head.strip_prefix("file://") {
        return Some(path.split('#').next().unwrap_or(path));
    }
    if head.contains("://") || head.contains('@') {
        return None;
    }
    let path = head.split('[').next().unwrap_or(head).trim();
    let is_archive = [".whl", ".zip", ".tar.gz", ".tar.bz2"].iter().any(|end| path.ends_with(end));
    (path.starts_with(['.', '/', '~']) || path.contains('/') || is_archive).then_some(path)
}

/// The path of the task's code that a requirement line refers to: a project, an archive, another list.
pub fn code_path(line: &str) -> Option<String> {
    match as_option(line) {
        Some(("--requirement" | "--editable" | "--constraint", value)) if !is_remote(&value) => {
            Some(local_path(&value).unwrap_or(&value).split('[').next().unwrap_or_default().to_owned())
        }
        Some(_) => None,
        None => local_path(line).map(str::to_owned),
    }
}

/// Whether a line means the same wherever it is read: the name of a package, or an option without a path.
pub(super) fn is_free_of_code(line: &str) -> bool {
    match as_option(line) {
        Some(("--pre" | "--trusted-host" | "--prefer-binary" | "--only-binary" | "--no-binary", _)) => true,
        Some(("--index-url" | "--extra-index-url", url)) => is_remote(&url),
        Some(_) => false,
        None => package_name(line).is_some() && local_path(line).is_none(),
    }
}

/// A URL with its name in front, where it carries one: `git+..#egg=name` is `name @ git+..`, which every installer
/// takes. What follows the URL stays, and so does a requirement that begins with a name.
pub(super) fn named_url(requirement: &str) -> String {
    let end = requirement.find(char::is_whitespace).unwrap_or(requirement.len());
    let (url, rest) = requirement.split_at(end);
    let (url, mark) = url.strip_suffix(';').map_or((url, ""), |url| (url, " ;"));
    let Some((base, fragment)) = url.split_once('#').filter(|(base, _)| is_url(base)) else {
        return requirement.to_owned();
    };
    let mut name = None;
    let mut kept = Vec::new();
    for part in fragment.split('&') {
        match part.strip_prefix("egg=") {
            Some(egg) => name = Some(egg),
            None => kept.push(part),
        }
    }
    let fragment = if kept.is_empty() { String::new() } else { format!("#{}", kept.join("&")) };
    name.map_or_else(|| requirement.to_owned(), |name| format!("{name} @ {base}{fragment}{mark}{rest}"))
}

/// Whether a text begins with a scheme, and not with a name and `@`.
fn is_url(text: &str) -> bool {
    let is_of_scheme = |letter: char| letter.is_ascii_alphanumeric() || "+-.".contains(letter);
    text.split_once("://").is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.chars().all(is_of_scheme))
}

/// Whether the URL of a requirement has a password, or a token where one may be.
pub(super) fn has_credentials(requirement: &str) -> bool {
    let Some((scheme, rest)) = requirement.split_once("://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':') || !scheme.ends_with("ssh"))
}

/// Whether a requirement names a repository without a commit: with a branch, a tag, or nothing.
pub(super) fn is_moving(requirement: &str) -> bool {
    let is_commit = |revision: &str| revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    Reference::in_line(requirement).is_some_and(|found| !found.revision().is_some_and(is_commit))
}

/// The name of the package, normalised, where the requirement begins with one.
pub(super) fn package_name(requirement: &str) -> Option<String> {
    let end = requirement.find(|letter: char| !(letter.is_ascii_alphanumeric() || "-_.".contains(letter)));
    let (name, rest) = requirement.split_at(end.unwrap_or(requirement.len()));
    let is_name = !name.is_empty()
        && !rest.starts_with([':', '/', '+'])
        && local_path(requirement).is_none_or(|_| rest.contains('@'));
    is_name.then(|| normalised_name(name))
}

/// Package names that differ in case and separators only are equal.
pub(super) fn normalised_name(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
}

/// The form in which two requirements are compared: name normalised, no spaces in the specifier.
pub(super) fn normalised(requirement: &str) -> String {
    let (head, marker) = requirement.split_once(';').unwrap_or((requirement, ""));
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let head = match package_name(head) {
        Some(name) if !head.contains('@') && !head.contains(" --") => {
            let end = head.find(|letter: char| !(letter.is_ascii_alphanumeric() || "-_.".contains(letter)));
            let rest: String = head[end.unwrap_or(head.len())..].split_whitespace().collect();
            format!("{name}{rest}")
        }
        Some(_) | None => words(head),
    };
    if marker.trim().is_empty() { head } else { format!("{head};{}", words(marker)) }
}

/// `name==version`, with its marker, of a requirement that allows exactly one version.
pub(super) fn pin(requirement: &str) -> Option<String> {
    let requirement = without_options(requirement);
    let (head, marker) = requirement.split_once(';').unwrap_or((requirement, ""));
    let (name, version) = head.split_once("==")?;
    let version = version.trim_start_matches('=').trim();
    let is_exact = !version.is_empty() && !version.contains(['*', ',', ' ']);
    let name = name.split('[').next().unwrap_or(name).trim();
    let marker = if marker.trim().is_empty() { String::new() } else { format!(" ; {}", marker.trim()) };
    let is_name =
        !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    (is_exact && is_name).then(|| format!("{name}=={version}{marker}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_continuations() {
        let text = "# head\n\n a==1 # why\nb @ git+https://h/r#egg=b\nc==2 \\\n  --hash=sha256:00 \\\n# not part of it\nd\\\n>=3";
        assert_eq!(logical_lines([text]), ["a==1", "b @ git+https://h/r#egg=b", "c==2   --hash=sha256:00", "d>=3"]);
    }

    #[test]
    fn options_are_read_in_every_form() {
        let check = |line: &str, expected: Option<(&str, &str)>| {
            let option = as_option(line);
            assert_eq!(option.as_ref().map(|(name, value)| (*name, value.as_str())), expected, "{line}");
        };
        check("-r base.txt", Some(("--requirement", "base.txt")));
        check("-rbase.txt", Some(("--requirement", "base.txt")));
        check("--requirement=base.txt", Some(("--requirement", "base.txt")));
        check("-e .[dev]", Some(("--editable", ".[dev]")));
        check("-e \"git+https://h/r#egg=x\"", Some(("--editable", "git+https://h/r#egg=x")));
        check("--pre", Some(("--pre", "")));
        check("--extra-index-url https://h/s", Some(("--extra-index-url", "https://h/s")));
        check("--no-such-option x", Some(("", "--no-such-option x")));
        check("six==1.16.0", None);
    }

    #[test]
    fn what_lies_here_is_told_from_what_lies_elsewhere() {
        let check = |line: &str, expected: Option<&str>| assert_eq!(local_path(line), expected, "{line}");
        check(".", Some("."));
        check("./lib[extra]", Some("./lib"));
        check("../x ; python_version < '3.9'", Some("../x"));
        check("libs/mine", Some("libs/mine"));
        check("wheels/a-1-py3-none-any.whl", Some("wheels/a-1-py3-none-any.whl"));
        check("numpy @ file:///croot/numpy/work", Some("/croot/numpy/work"));
        check("file:///a/b#egg=x", Some("/a/b"));
        check("./lib --config-settings=\"a=b\"", Some("./lib"));
        check("six --config-settings=\"a=./b\"", None);
        check("numpy", None);
        check("a @ https://h/a.whl", None);
        check("git+ssh://git@h/r", None);
        check("a==1.0 ; sys_platform == 'linux'", None);
    }

    #[test]
    fn a_line_may_refer_to_the_code() {
        let check = |line: &str, expected: Option<&str>| assert_eq!(code_path(line).as_deref(), expected, "{line}");
        check("-e .[dev]", Some("."));
        check("-e lib", Some("lib"));
        check("-r more/list.txt", Some("more/list.txt"));
        check("./lib[x]", Some("./lib"));
        check("-e git+https://h/r", None);
        check("--extra-index-url https://h/s", None);
        check("six==1.17.0", None);
    }

    #[test]
    fn equal_requirements_are_equal() {
        let check = |one: &str, other: &str| assert_eq!(normalised(one), normalised(other));
        check("Foo_Bar == 1.0", "foo-bar==1.0");
        check("a [x, y]>=1 , <2", "a[x,y]>=1,<2");
        check("a==1 ;  python_version<'3'", "a==1;python_version<'3'");
        assert_ne!(normalised("a==1 ; os_name == 'x y'"), normalised("a==1"));
        assert_ne!(normalised("a @ https://h/A"), normalised("a @ https://h/a"));
        assert_eq!(normalised("git+https://h/R"), "git+https://h/R");
    }

    #[test]
    fn what_moves_and_what_is_secret_in_a_url() {
        let commit = "0123456789012345678901234567890123456789";
        for (line, moving, secret) in [
            ("six==1".to_owned(), false, false),
            ("x @ https://h/x.whl".to_owned(), false, false),
            ("x @ git+https://h/r".to_owned(), true, false),
            ("x @ git+https://h/r@main#subdirectory=a".to_owned(), true, false),
            (format!("x @ git+https://h/r@{commit}"), false, false),
            (format!("-e git+ssh://git@h/r@{commit}#egg=x"), false, false),
            ("x @ git+ssh://git@h/r".to_owned(), true, false),
            ("x @ git+https://token@h/r@v1".to_owned(), true, true),
            ("x @ https://u:p@h/x.whl".to_owned(), false, true),
        ] {
            assert_eq!((is_moving(&line), has_credentials(&line)), (moving, secret), "{line}");
        }
    }

    #[test]
    fn pins_are_found() {
        let check = |line: &str, expected: Option<&str>| assert_eq!(pin(line).as_deref(), expected, "{line}");
        check("a==1.0", Some("a==1.0"));
        check("a[x] == 1.0 ; os_name == 'nt'", Some("a==1.0 ; os_name == 'nt'"));
        check("a===1.0+cu118", Some("a==1.0+cu118"));
        check("a==1.*", None);
        check("a>=1", None);
        check("a @ https://h/x==y", None);
        check("a==1 --hash=sha256:00", Some("a==1"));
        check("a==1 ; os_name == 'nt' --config-settings=\"a=b\"", Some("a==1 ; os_name == 'nt'"));
    }

    #[test]
    fn eggs_become_names() {
        assert_eq!(named_url("git+https://h/r@v1#egg=x&subdirectory=s"), "x @ git+https://h/r@v1#subdirectory=s");
        assert_eq!(named_url("git+https://h/r"), "git+https://h/r");
        for (line, expected) in [
            ("git+https://h/r#egg=x[a,b] ; os_name == 'nt'", "x[a,b] @ git+https://h/r ; os_name == 'nt'"),
            ("git+https://h/r#egg=x; os_name == 'nt'", "x @ git+https://h/r ; os_name == 'nt'"),
            ("https://h/x.zip#egg=x --hash=sha256:00", "x @ https://h/x.zip --hash=sha256:00"),
            ("x @ git+https://h/r#egg=x", "x @ git+https://h/r#egg=x"),
            ("x@git+https://h/r#egg=x", "x@git+https://h/r#egg=x"),
        ] {
            assert_eq!(named_url(line), expected);
        }
        assert_eq!(package_name("Foo.Bar>=1"), Some("foo-bar".into()));
        assert_eq!(package_name("git+https://h/r"), None);
        assert_eq!(package_name("./x"), None);
    }
}
