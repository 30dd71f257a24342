//! Which packages from git a project needs, and how its files say so.
//!
//! What is not a matter of text (a `setup.py` that asks the network) is left to the installer, which then names it.

use std::fs;
use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, TableLike, Value};
use url::Url;

use super::super::error::PythonError;
use super::super::requirement_line::{normalised_name, package_name};
use crate::git::{PackageSource, Reference};

/// Files that are texts with requirements in them.
const TEXTS: [&str; 2] = ["setup.py", "setup.cfg"];

/// Which of a project's extras are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// None.
    NoExtras,
    /// Some: any may lead to any other.
    Extras,
    /// All, and all groups of dependencies, too: what uv decides on, whatever is wanted of it then.
    Everything,
}

impl Wanted {
    /// Of what stands before a URL, or is a path: `name[extra] @ `.
    pub(super) fn of(text: &str) -> Self {
        if text.contains('[') { Self::Extras } else { Self::NoExtras }
    }
}

/// Called with the name of a package, where it is known, and its repository. What is returned stands for it.
pub(super) type Replace<'a> = &'a mut dyn FnMut(Option<&str>, &PackageSource) -> Option<PathBuf>;

/// Puts folders into the files of a project where they name repositories. `keep` gets each file with its text before it
/// is changed.
pub(super) fn rewrite(
    folder: &Path,
    wanted: Wanted,
    replace: Replace<'_>,
    keep: &mut dyn FnMut(&Path, String),
) -> Result<(), PythonError> {
    for (path, old) in files(folder) {
        let new = changed(&path, &old, wanted, replace);
        if new != old {
            keep(&path, old);
            fs::write(&path, new).map_err(PythonError::io("write", &path))?;
        }
    }
    Ok(())
}

/// The folders of the other projects that are decided on with a project of uv: the members of its workspace.
pub(super) fn members(folder: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(folder.join("pyproject.toml")).unwrap_or_default();
    let Ok(document) = text.parse::<DocumentMut>() else { return Vec::new() };
    let mut item = document.get("tool");
    for name in ["uv", "workspace", "members"] {
        item = item.and_then(|item| item.get(name));
    }
    let patterns = item.and_then(Item::as_array).into_iter().flatten().filter_map(Value::as_str);
    let mut found: Vec<PathBuf> = patterns.flat_map(|pattern| matching(folder, pattern)).collect();
    found.retain(|folder| folder.join("pyproject.toml").is_file());
    found
}

/// Folders by a pattern, in which `*` stands for any name or part of one.
fn matching(folder: &Path, pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for part in pattern.split('/').filter(|part| !part.is_empty() && *part != ".") {
        let Some((start, end)) = part.split_once('*') else {
            found.iter_mut().for_each(|folder| folder.push(part));
            continue;
        };
        let is_meant = |name: &str| name.starts_with(start) && name.ends_with(end.trim_start_matches('*'));
        let entries = found.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_meant));
        found = named.map(|entry| entry.path()).collect();
    }
    found
}

/// The packages from git that a project names, with their names.
pub(super) fn dependencies(folder: &Path, wanted: Wanted) -> Vec<(String, PackageSource)> {
    let mut found: Vec<(String, PackageSource)> = Vec::new();
    for (path, text) in files(folder) {
        changed(&path, &text, wanted, &mut |name, source| {
            let name = name.map(normalised_name)?;
            if !found.iter().any(|(other, _)| *other == name) {
                found.push((name, source.clone()));
            }
            None
        });
    }
    found
}

/// The files that say what a project needs, with their texts: also lists of requirements that the others name.
fn files(folder: &Path) -> Vec<(PathBuf, String)> {
    // Links of a repository may lead to any file of this user: those that leave it are not followed.
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let read = |path: PathBuf| {
        let path = path.canonicalize().ok().filter(|path| path.starts_with(&real))?;
        fs::read_to_string(&path).ok().map(|text| (path, text))
    };
    let names = TEXTS.iter().copied().chain(["pyproject.toml"]);
    let mut found: Vec<(PathBuf, String)> = names.filter_map(|name| read(folder.join(name))).collect();
    let lists =
        [folder.to_owned(), folder.join("requirements")].into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    let lists = lists.flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let is_named = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.ends_with(".txt") && found.iter().any(|(_, text)| text.contains(&name))
    };
    let lists: Vec<_> = lists.filter(is_named).filter_map(read).collect();
    found.extend(lists);
    found
}

fn changed(path: &Path, text: &str, wanted: Wanted, replace: Replace<'_>) -> String {
    if path.file_name().is_some_and(|name| name == "pyproject.toml") {
        let Ok(mut document) = text.parse::<DocumentMut>() else { return text.to_owned() };
        Project { document: &mut document, wanted, replace }.change();
        return document.to_string();
    }
    if path.extension().is_some_and(|end| end == "py") {
        return exchanged(text, Reference::in_program(text), replace);
    }
    text.split_inclusive('\n').map(|line| changed_line(line, replace)).collect()
}

/// A line of a list, or a requirement by itself.
fn changed_line(line: &str, replace: Replace<'_>) -> String {
    exchanged(line, Reference::in_line(line).into_iter(), replace)
}

/// The text with folders instead of what it names.
fn exchanged<'t>(text: &'t str, found: impl Iterator<Item = Reference<'t>>, replace: Replace<'_>) -> String {
    let mut result = String::with_capacity(text.len());
    let mut done = 0;
    for reference in found {
        let Some(source) = PackageSource::of(&reference) else { continue };
        let before = &text[done..reference.range.start];
        let folder = replace(name_before(before).as_deref(), &source);
        let whole = &text[reference.range.clone()];
        let stands = folder.as_deref().and_then(file_url).unwrap_or_else(|| whole.to_owned());
        result.extend([before, &stands]);
        done = reference.range.end;
    }
    result.push_str(&text[done..]);
    result
}

/// The name in `NAME[EXTRAS] @ `, at the end of a text.
fn name_before(text: &str) -> Option<String> {
    let text = text.trim_end().strip_suffix('@')?.trim_end();
    let text = text.strip_suffix(']').and_then(|text| text.rsplit_once('[')).map_or(text, |(name, _)| name).trim_end();
    let start = text.rfind(|letter: char| !(letter.is_ascii_alphanumeric() || "-_.".contains(letter)));
    package_name(&text[start.map_or(0, |at| at + 1)..])
}

fn file_url(folder: &Path) -> Option<String> {
    let url = Url::from_directory_path(folder).ok()?;
    Some(url.as_str().trim_end_matches('/').to_owned())
}

/// A `pyproject.toml`.
struct Project<'a, 'r> {
    document: &'a mut DocumentMut,
    wanted: Wanted,
    replace: Replace<'r>,
}

impl Project<'_, '_> {
    fn change(&mut self) {
        let mut names = Vec::new();
        let lists = [["build-system", "requires"], ["project", "dependencies"]];
        for [table, key] in lists {
            let list = self.document.get_mut(table).and_then(|table| table.get_mut(key)).and_then(Item::as_array_mut);
            list.into_iter().for_each(|list| requirements(list, &mut names, self.replace));
        }
        let extras = self.document.get_mut("project").and_then(|project| project.get_mut("optional-dependencies"));
        let extras = extras.and_then(Item::as_table_like_mut).filter(|_| self.wanted != Wanted::NoExtras);
        extras.into_iter().for_each(|extras| all_requirements(extras, &mut names, self.replace));
        let is_all = self.wanted == Wanted::Everything;
        let groups = self.document.get_mut("dependency-groups").filter(|_| is_all);
        let groups = groups.and_then(Item::as_table_like_mut);
        groups.into_iter().for_each(|groups| all_requirements(groups, &mut names, self.replace));
        let Some(tool) = self.document.get_mut("tool").and_then(Item::as_table_like_mut) else { return };
        let lists = tool.get_mut("uv").and_then(Item::as_table_like_mut).filter(|_| is_all);
        lists.into_iter().for_each(|lists| all_requirements(lists, &mut names, self.replace));
        if let Some(sources) = table_of(tool, "uv", "sources") {
            for (name, item) in sources.iter_mut() {
                if is_all || names.contains(&normalised_name(&name)) {
                    repositories(item, &name, false, self.replace);
                }
            }
        }
        if let Some(dependencies) = table_of(tool, "poetry", "dependencies") {
            for (name, item) in dependencies.iter_mut() {
                repositories(item, &name, self.wanted == Wanted::NoExtras, self.replace);
            }
        }
    }
}

fn table_of<'a>(tool: &'a mut dyn TableLike, name: &str, key: &str) -> Option<&'a mut dyn TableLike> {
    tool.get_mut(name)?.get_mut(key)?.as_table_like_mut()
}

/// All lists of requirements in a table.
fn all_requirements(table: &mut dyn TableLike, names: &mut Vec<String>, replace: Replace<'_>) {
    for (_, list) in table.iter_mut() {
        list.as_array_mut().into_iter().for_each(|list| requirements(list, names, replace));
    }
}

/// A list of requirements. Adds the names of all of them.
fn requirements(list: &mut Array, names: &mut Vec<String>, replace: Replace<'_>) {
    for value in list.iter_mut() {
        let Some(text) = value.as_str().map(str::to_owned) else { continue };
        names.extend(package_name(&text));
        let new = changed_line(&text, replace);
        if new != text {
            *value = Value::from(new);
        }
    }
}

/// `{ git = .. }`, or a list of such.
fn repositories(item: &mut Item, name: &str, without_optional: bool, replace: Replace<'_>) {
    if let Some(list) = item.as_array_mut() {
        for table in list.iter_mut().filter_map(Value::as_inline_table_mut) {
            repository(table, name, without_optional, replace);
        }
    } else if let Some(tables) = item.as_array_of_tables_mut() {
        tables.iter_mut().for_each(|table| repository(table, name, without_optional, replace));
    } else if let Some(table) = item.as_table_like_mut() {
        repository(table, name, without_optional, replace);
    }
}

fn repository(table: &mut dyn TableLike, name: &str, without_optional: bool, replace: Replace<'_>) {
    let is_optional = table.get("optional").and_then(Item::as_bool).unwrap_or(false);
    let source = {
        let value = |key: &str| table.get(key).and_then(Item::as_str);
        let revision = ["rev", "tag", "branch"].into_iter().find_map(value);
        value("git").and_then(|url| PackageSource::new(url, revision, value("subdirectory")))
    };
    let Some(source) = source.filter(|_| !(is_optional && without_optional)) else { return };
    let Some(folder) = replace(Some(name), &source) else { return };
    for key in ["git", "rev", "tag", "branch", "subdirectory", "lfs"] {
        table.remove(key);
    }
    table.insert("path", toml_edit::value(folder.display().to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The project's files after what they name was replaced by `/c/NAME`, and what was asked for.
    fn rewritten(texts: &[(&str, &str)], wanted: Wanted) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in texts {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut asked = Vec::new();
        let mut kept = Vec::new();
        let mut replace = |_: Option<&str>, source: &PackageSource| {
            asked.push(source.requirement());
            Some(Path::new("/c").join(source.name()))
        };
        rewrite(folder.path(), wanted, &mut replace, &mut |_, text| kept.push(text)).unwrap();
        assert!(kept.iter().all(|kept| texts.iter().any(|(_, text)| text == kept)));
        (texts.iter().map(|(name, _)| fs::read_to_string(folder.path().join(name)).unwrap()).collect(), asked)
    }

    #[test]
    fn programs_and_lists_are_texts() {
        let setup = "setup(install_requires=['six', \"a[x] @ git+https://h/a@v1\", 'b@git+ssh://git@h/b#egg=b'],\n\
            extras_require={'t': [f'c @ git+https://{TOKEN}@h/c']}, more=open('requirements.txt'))";
        let (texts, asked) = rewritten(
            &[
                ("setup.py", setup),
                ("requirements.txt", "d @ git+https://h/d ; python_version > '3'\n"),
                ("requirements-dev.txt", "e @ git+https://h/e\n"),
            ],
            Wanted::NoExtras,
        );
        assert!(texts[0].contains("\"a[x] @ file:///c/a\", 'b@file:///c/b'"), "{}", texts[0]);
        assert!(texts[0].contains("git+https://{TOKEN}@h/c"), "{}", texts[0]);
        assert_eq!(texts[1], "d @ file:///c/d ; python_version > '3'\n");
        assert_eq!(texts[2], "e @ git+https://h/e\n", "nobody names it");
        assert_eq!(asked, ["git+https://h/a@v1", "git+ssh://git@h/b", "git+https://h/d"]);
    }

    #[test]
    fn what_lies_elsewhere_is_left_alone() {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let line = "a @ git+https://h/a\n";
        fs::write(other.path().join("more.txt"), line).unwrap();
        fs::write(folder.path().join("setup.py"), "open('more.txt')").unwrap();
        std::os::unix::fs::symlink(other.path(), folder.path().join("requirements")).unwrap();
        std::os::unix::fs::symlink(other.path().join("more.txt"), folder.path().join("more.txt")).unwrap();
        rewrite(folder.path(), Wanted::NoExtras, &mut |_, _| Some("/c/a".into()), &mut |_, _| {}).unwrap();
        assert_eq!(fs::read_to_string(other.path().join("more.txt")).unwrap(), line);
    }

    const PROJECT: &str = r#"
# kept
[build-system]
requires = ["backend @ git+https://h/backend"]
[project]
name = "x"
dependencies = ["a @ git+https://h/a@main#subdirectory=s", "My_B>=1", "c"]
[project.optional-dependencies]
dev = ["d @ git+https://h/d"]
[dependency-groups]
test = ["t @ git+https://h/t"]
[tool.uv.sources]
my-b = { git = "https://h/b", tag = "v1", subdirectory = "y" }
c = [{ git = "ssh://git@h/c", rev = "abc", marker = "os_name == 'nt'" }, { path = "../c", marker = "os_name != 'nt'" }]
unused = { git = "https://h/unused" }
"#;

    #[test]
    fn a_project_says_it_in_its_tables() {
        let (texts, asked) = rewritten(&[("pyproject.toml", PROJECT)], Wanted::NoExtras);
        assert_eq!(
            asked,
            [
                "git+https://h/backend",
                "git+https://h/a@main#subdirectory=s",
                "git+https://h/b@v1#subdirectory=y",
                "git+ssh://git@h/c@abc"
            ]
        );
        for text in [
            "# kept\n",
            r#"requires = ["backend @ file:///c/backend"]"#,
            r#""a @ file:///c/a""#,
            r#"path = "/c/b""#,
            r#"marker = "os_name == 'nt'""#,
            r#"path = "/c/c""#,
            r#"dev = ["d @ git+https://h/d"]"#,
            r#"unused = { git = "https://h/unused" }"#,
        ] {
            assert!(texts[0].contains(text), "{text}: {}", texts[0]);
        }
        texts[0].parse::<DocumentMut>().unwrap();
        let (_, asked) = rewritten(&[("pyproject.toml", PROJECT)], Wanted::Extras);
        assert!(asked.contains(&"git+https://h/d".to_owned()));
        let (_, asked) = rewritten(&[("pyproject.toml", PROJECT)], Wanted::Everything);
        for all in ["git+https://h/d", "git+https://h/t", "git+https://h/unused"] {
            assert!(asked.contains(&all.to_owned()), "{all}: {asked:?}");
        }
    }

    #[test]
    fn a_workspace_has_members() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[tool.uv.workspace]\nmembers = ['libs/*', './tools/own-*', 'gone', 'one']\n";
        fs::write(folder.path().join("pyproject.toml"), text).unwrap();
        for member in ["libs/a", "libs/b", "tools/own-x", "tools/other", "one"] {
            fs::create_dir_all(folder.path().join(member)).unwrap();
            fs::write(folder.path().join(member).join("pyproject.toml"), "").unwrap();
        }
        fs::create_dir_all(folder.path().join("libs/empty")).unwrap();
        let mut found = members(folder.path());
        found.sort();
        assert_eq!(found, ["libs/a", "libs/b", "one", "tools/own-x"].map(|name| folder.path().join(name)));
    }

    #[test]
    fn poetry_has_tables_of_its_own() {
        let text = "[tool.poetry.dependencies]\npython = \"^3.8\"\na = { git = \"https://h/a.git\", branch = \"main\" }\n\
            o = { git = \"git@h:o/o.git\", optional = true }\n[tool.poetry.dependencies.b]\ngit = \"https://h/b\"\n";
        let (texts, asked) = rewritten(&[("pyproject.toml", text)], Wanted::NoExtras);
        assert_eq!(asked, ["git+https://h/a.git@main", "git+https://h/b"]);
        assert!(texts[0].contains("path = \"/c/a\"") && texts[0].contains("path = \"/c/b\""), "{}", texts[0]);
        let (_, asked) = rewritten(&[("pyproject.toml", text)], Wanted::Extras);
        assert!(asked.contains(&"git+ssh://git@h/o/o.git".to_owned()), "{asked:?}");
    }

    #[test]
    fn names_are_found_beside_their_repositories() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("pyproject.toml"), PROJECT).unwrap();
        let found: Vec<String> = dependencies(folder.path(), Wanted::of(".[dev]"))
            .into_iter()
            .map(|(name, source)| format!("{name} {}", source.name()))
            .collect();
        assert_eq!(found, ["backend backend", "a a", "d d", "my-b b", "c c"]);
        for (text, expected) in
            [("x = ['a[b] @ ", Some("a")), ("A_b@", Some("a-b")), ("'", None), ("a, c @ ", Some("c"))]
        {
            assert_eq!(name_before(text).as_deref(), expected, "{text}");
        }
    }
}
