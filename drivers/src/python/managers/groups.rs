//! Groups of dependencies in a `pyproject.toml` of poetry. Pure.

use super::project::sections;

/// The groups that `poetry install` installs besides the main one: all that are not optional.
pub(super) fn installed(text: &str) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for section in sections(text) {
        let name = match section.strip_prefix("tool.poetry.group.").and_then(|rest| rest.strip_suffix(".dependencies"))
        {
            Some(name) => name,
            None if section == "tool.poetry.dev-dependencies" => "dev",
            None => continue,
        };
        if !groups.iter().any(|group| group == name) && !is_optional(text, name) {
            groups.push(name.to_owned());
        }
    }
    for name in keys(text, "dependency-groups") {
        if !groups.contains(&name) && !is_optional(text, &name) {
            groups.push(name);
        }
    }
    groups
}

fn is_optional(text: &str, group: &str) -> bool {
    let values = |line: &str| line.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()));
    body(text, &format!("tool.poetry.group.{group}"))
        .filter_map(values)
        .any(|(key, value)| key == "optional" && value.starts_with("true"))
}

/// Keys of a table, as far as they begin a line.
fn keys(text: &str, section: &str) -> Vec<String> {
    let key = |line: &str| {
        let (key, _) = line.split_once('=')?;
        let key = key.trim().trim_matches(['"', '\'']);
        let is_name =
            !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
        (is_name && !line.starts_with([' ', '\t'])).then(|| key.to_owned())
    };
    body(text, section).filter_map(key).collect()
}

/// Lines of one table.
fn body<'a>(text: &'a str, section: &str) -> impl Iterator<Item = &'a str> {
    let mut is_inside = false;
    let section = section.to_owned();
    text.lines().filter(move |line| {
        if line.trim_start().starts_with('[')
            && let Some(name) = sections(line).next()
            && !line.starts_with([' ', '\t'])
        {
            is_inside = name == section;
            return false;
        }
        is_inside
    })
}

/// Whether poetry installs the project itself, which it does where there is something to install.
pub(super) fn installs_itself(text: &str, exists: impl Fn(&str) -> bool) -> bool {
    let value = |section: &str, key: &str| {
        let pairs = body(text, section).filter_map(|line| line.split_once('='));
        let found = pairs.map(|(key, value)| (key.trim(), value.trim())).find(|(name, _)| *name == key);
        found.map(|(_, value)| value.to_owned())
    };
    let off = value("tool.poetry", "package-mode").is_some_and(|value| value.starts_with("false"));
    if off || !sections(text).any(|section| section == "build-system") {
        return false;
    }
    let name = value("tool.poetry", "name").or_else(|| value("project", "name")).unwrap_or_default();
    let name = name.split('#').next().unwrap_or_default().trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    let module = name.replace(['-', '.'], "_");
    let places = [module.clone(), format!("src/{module}"), format!("{module}.py"), format!("src/{module}.py")];
    let is_listed = value("tool.poetry", "packages").is_some();
    is_listed || (!module.is_empty() && places.iter().any(|place| exists(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[tool.poetry]\nname = \"my-project\"\n[tool.poetry.dependencies]\npython = '^3.9'\n\
        [tool.poetry.group.dev.dependencies]\npytest = '*'\n[tool.poetry.group.docs]\noptional = true\n\
        [tool.poetry.group.docs.dependencies]\nmkdocs = '*'\n[dependency-groups]\nlint = [\n  \"ruff\",\n]\n\
        test = ['pytest']\n[build-system]\nrequires = ['poetry-core']\n";

    #[test]
    fn optional_groups_are_left_out() {
        assert_eq!(installed(TEXT), ["dev", "lint", "test"]);
        assert_eq!(installed("[tool.poetry.dev-dependencies]\nx = '*'\n"), ["dev"]);
        assert_eq!(installed("[project]\nname = 'x'\n"), [""; 0]);
    }

    #[test]
    fn a_project_without_code_of_its_own_is_not_installed() {
        assert!(installs_itself(TEXT, |place| place == "src/my_project"));
        assert!(!installs_itself(TEXT, |_| false));
        assert!(!installs_itself(&TEXT.replace("name =", "package-mode = false\nname ="), |_| true));
        assert!(!installs_itself("[tool.poetry]\nname = 'x'\n", |_| true));
    }
}
