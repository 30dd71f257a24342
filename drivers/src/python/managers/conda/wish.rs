//! What a task wants of conda.

use std::fs;
use std::path::PathBuf;

use protocols::task::Interpreter;

use crate::python::EnvironmentRequest;

/// Files in which a repository describes an environment.
const FILES: [&str; 2] = ["environment.yml", "environment.yaml"];

/// What an environment is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A file, by its content.
    File { path: PathBuf, text: String },
    /// Specifications as `conda create` takes them.
    Packages(Vec<String>),
}

/// The task's packages of conda; where it has neither those nor any of pip, the file of its repository.
pub(super) fn wish(request: &EnvironmentRequest<'_>, force_files: bool) -> Wish {
    let is_silent = request.conda.is_none() && request.requirements.is_none();
    if (is_silent || force_files)
        && let Some(code) = request.code
    {
        let paths = FILES.iter().flat_map(|name| [code.working_dir, code.root].map(|folder| folder.join(name)));
        let found = paths.into_iter().find_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text)));
        if let Some((path, text)) = found {
            return Wish::File { path, text };
        }
    }
    let mut packages: Vec<String> =
        request.conda.unwrap_or_default().iter().filter_map(|line| specification(line)).collect();
    if !packages.iter().any(|package| name_of(package) == "python") {
        let version = match request.interpreter {
            Interpreter::Python { version: Some(version), .. } => format!("python={version}"),
            Interpreter::Python { version: None, .. } | Interpreter::Shell(_) => "python".to_owned(),
        };
        packages.insert(0, version);
    }
    Wish::Packages(packages)
}

/// A line of the task as conda takes it; `None` of comments. What pip writes as `a==1` is `a=1` here: conda takes two
/// signs for one exact build.
fn specification(line: &str) -> Option<String> {
    let line = line.split(" #").next().unwrap_or(line).trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let line = line.split(';').next().unwrap_or(line);
    let line: String = line.split_whitespace().collect();
    Some(line.replace("===", "=").replace("==", "="))
}

/// The package that a specification names.
pub(super) fn name_of(specification: &str) -> &str {
    let name = specification.rsplit("::").next().unwrap_or(specification);
    name.split(['=', '<', '>', '!', '~', '[']).next().unwrap_or(name)
}
