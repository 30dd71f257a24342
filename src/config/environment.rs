//! The process's environment as the configuration sees it.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// Variables, taken once at the start, so that tests can give others.
#[derive(Clone, Default)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Values may be secrets.
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

impl Environment {
    /// The environment of this process. Variables that are not UTF-8 do not exist for us.
    pub(crate) fn of_process() -> Self {
        Self(
            std::env::vars_os()
                .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
        )
    }

    /// An environment of just these.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        Self(variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    /// A variable, unless it is empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The first of these that is not empty.
    pub(crate) fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// `CLEARML_name`, else `TRAINS_name`.
    pub(crate) fn clearml(&self, name: &str) -> Option<&str> {
        self.get(&format!("CLEARML_{name}")).or_else(|| self.get(&format!("TRAINS_{name}")))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The person's home.
    pub(crate) fn home(&self) -> Option<PathBuf> {
        self.get("HOME").map(PathBuf::from)
    }

    /// `$XDG_STATE_HOME/hostler`.
    pub(crate) fn state_home(&self) -> Option<PathBuf> {
        self.xdg("XDG_STATE_HOME", ".local/state")
    }

    /// `$XDG_CACHE_HOME/hostler`.
    pub(crate) fn cache_home(&self) -> Option<PathBuf> {
        self.xdg("XDG_CACHE_HOME", ".cache")
    }

    fn xdg(&self, variable: &str, below_home: &str) -> Option<PathBuf> {
        // The specification: relative paths in these variables are to be ignored.
        let base = self.get(variable).map(PathBuf::from).filter(|path| path.is_absolute());
        Some(base.or_else(|| Some(self.home()?.join(below_home)))?.join("hostler"))
    }

    /// Replaces a leading `~` by the home and `$NAME`, `${NAME}` by the variable.
    pub(crate) fn expand_path(&self, text: &str) -> PathBuf {
        let text = match (text.strip_prefix('~'), self.home()) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => format!("{}{rest}", home.display()),
            _ => text.to_owned(),
        };
        let mut expanded = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            let braced = after.strip_prefix('{').and_then(|after| after.split_once('}'));
            let length = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            let (name, remaining) = braced.unwrap_or(after.split_at(length));
            match self.get(name) {
                Some(value) => expanded.push_str(value),
                None => {
                    expanded.push('$');
                    expanded.push_str(&after[..after.len() - remaining.len()]);
                }
            }
            rest = remaining;
        }
        expanded.push_str(rest);
        PathBuf::from(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_name_wins_and_empty_counts_as_not_set() {
        let environment =
            Environment::of(&[("CLEARML_X", ""), ("TRAINS_X", "old"), ("CLEARML_Y", "new"), ("TRAINS_Y", "old")]);
        assert_eq!(environment.clearml("X"), Some("old"));
        assert_eq!(environment.clearml("Y"), Some("new"));
        assert_eq!(environment.clearml("Z"), None);
    }

    #[test]
    fn paths_are_expanded() {
        let environment = Environment::of(&[("HOME", "/home/h"), ("D", "/data")]);
        for (text, expected) in [
            ("~/x", "/home/h/x"),
            ("$D/y", "/data/y"),
            ("${D}z", "/dataz"),
            ("$NO/y", "$NO/y"),
            ("${NO}/y", "${NO}/y"),
            ("~x", "~x"),
        ] {
            assert_eq!(environment.expand_path(text), PathBuf::from(expected));
        }
    }

    #[test]
    fn directories_follow_xdg() {
        let environment = Environment::of(&[("HOME", "/home/h"), ("XDG_CACHE_HOME", "relative")]);
        assert_eq!(environment.cache_home(), Some(PathBuf::from("/home/h/.cache/hostler")));
        let environment = Environment::of(&[("XDG_STATE_HOME", "/s")]);
        assert_eq!(environment.state_home(), Some(PathBuf::from("/s/hostler")));
    }
}
