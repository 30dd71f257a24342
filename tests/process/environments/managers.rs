//! Package managers: which one decides, and what it installs.

use std::path::Path;
use std::time::Duration;

use crate::harness::{Draft, Place, ProcessExt, git_commit_all, new_repository, package_index};

use super::packages::{VERSIONS, versions};
use super::row::{Row, Table};

const TYPE: &str = "CLEARML_AGENT__AGENT__PACKAGE_MANAGER__TYPE";
const LIMIT: Duration = Duration::from_secs(120);

/// A project of uv that wants `six`, and `idna` for its development.
fn project(dependencies: &str) -> String {
    format!(
        "[project]\nname = 'project'\nversion = '1'\nrequires-python = '>=3.9'\ndependencies = [{dependencies}]\n\
         [dependency-groups]\ndev = ['idna==3.4']\n"
    )
}

/// Decides on the versions of a project, with the uv of the place.
fn lock(place: &Place, folder: &Path) {
    let mut command = place.command(place.path("bin/uv"));
    command.args(["lock", "--quiet"]).current_dir(folder).finish_within(LIMIT).ok();
}

/// A repository with a project of uv: locked, locked for what it wanted before, or not locked.
fn uv_repository(place: &Place, name: &str, locked: Option<&str>, wanted: &str) -> String {
    let folder = place.path(name);
    new_repository(&folder, &[("versions.py", VERSIONS), ("requirements.txt", "tomli==2.0.1\n")]);
    if let Some(before) = locked {
        std::fs::write(folder.join("pyproject.toml"), project(before)).unwrap();
        lock(place, &folder);
    }
    git_commit_all(&folder, &[("pyproject.toml", &project(wanted))]);
    folder.to_str().unwrap().to_owned()
}

fn draft(url: &str) -> Draft {
    Draft::repository("project", url, "versions.py six idna tomli")
}

#[test]
fn projects_of_uv() {
    let place = Place::new();
    let six = "'six==1.16.0'";
    let locked = uv_repository(&place, "locked", Some(six), six);
    let stale = uv_repository(&place, "stale", Some("'six==1.15.0'"), six);
    let unlocked = uv_repository(&place, "unlocked", None, six);
    let package = package_of_uv(&place);
    let table = Table::start(place, &[(TYPE, "uv")]);
    let expected = &["six=1.16.0 idna=3.4 tomli=None"];
    table.run(&[
        Row::completes("a project with a lock", draft(&locked), expected).says("uv.lock").reports("six==1.16.0"),
        Row::completes("defect 02: the same once more", draft(&locked), expected).reports("six==1.16.0"),
        Row::completes("a project before the task's lines", draft(&locked).requirements("tomli"), expected),
        Row::completes("a lock that is not up to date", draft(&stale), expected).says("brought up to date"),
        Row::completes("a project without a lock", draft(&unlocked), expected).says("pyproject.toml"),
        Row::completes("a project that is a package", package, &["inside 1.16.0"]),
        Row::completes("defect 02: no project at all", versions("six==1.15.0", "six"), &["six=1.15.0"]),
        Row::completes("defect 02: no project, once more", versions("six==1.15.0", "six"), &["six=1.15.0"]),
    ]);
    table.finish();
}

/// A project whose own code is to be installed.
fn package_of_uv(place: &Place) -> Draft {
    let folder = place.path("package");
    let text = project("'six==1.16.0'").replace("name = 'project'", "name = 'inside'")
        + "[build-system]\nrequires = ['setuptools==75.8.0']\nbuild-backend = 'setuptools.build_meta'\n";
    let files = [
        ("pyproject.toml", text.as_str()),
        ("src/inside/__init__.py", "import six\nNAME = 'inside'\n"),
        ("jobs/run.py", "import inside\nprint('OUT', inside.NAME, inside.six.__version__)\n"),
    ];
    new_repository(&folder, &files);
    lock(place, &folder);
    git_commit_all(&folder, &[]);
    Draft::repository("package", folder.to_str().unwrap(), "run.py").with("working_dir", "jobs")
}

/// With pip, what a lock says counts where nothing else says anything.
#[test]
fn locks_where_nothing_else_is_said() {
    let place = Place::new();
    let six = "'six==1.16.0'";
    let with_files = uv_repository(&place, "files", Some(six), six);
    let only_lock = uv_repository(&place, "lock", Some(six), six);
    std::fs::remove_file(place.path("lock/requirements.txt")).unwrap();
    git_commit_all(&place.path("lock"), &[]);
    let settings = [
        ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__FORCE_REPO_REQUIREMENTS_TXT", "true"),
        ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__POST_OPTIONAL_PACKAGES", "[Hostler_No_Such_Package]"),
    ];
    let missing = place.path("missing");
    let lines = "six==1.15.0\nhostler-no-such-package==1\n";
    new_repository(&missing, &[("versions.py", VERSIONS), ("requirements.txt", lines)]);
    let table = Table::start(place, &settings);
    table.run(&[
        Row::completes("files before a lock", draft(&with_files), &["six=None idna=None tomli=2.0.1"]),
        Row::completes(
            "files before the task's lines, where the configuration says so",
            draft(&with_files).requirements("six==1.15.0"),
            &["six=None idna=None tomli=2.0.1"],
        ),
        Row::completes(
            "an optional package that is not there",
            draft(missing.to_str().unwrap()),
            &["six=1.15.0 idna=None tomli=None"],
        )
        .says("hostler-no-such-package cannot be installed"),
        Row::completes("a lock and nothing else", draft(&only_lock), &["six=1.16.0 idna=3.4 tomli=None"]),
    ]);
    table.finish();
}

#[test]
fn projects_of_poetry() {
    let place = Place::new();
    let folder = place.path("poetry");
    let index = package_index();
    let text = format!(
        "[tool.poetry]\nname = 'project'\nversion = '1'\ndescription = ''\nauthors = []\npackage-mode = false\n\
        [[tool.poetry.source]]\nname = 'index'\nurl = '{index}'\npriority = 'primary'\n\
        [tool.poetry.dependencies]\npython = '>=3.9,<4'\nsix = '1.16.0'\n\
        [tool.poetry.group.dev.dependencies]\nidna = '3.4'\n\
        [tool.poetry.group.docs]\noptional = true\n[tool.poetry.group.docs.dependencies]\ntomli = '2.0.1'\n"
    );
    new_repository(&folder, &[("versions.py", VERSIONS), ("pyproject.toml", &text)]);
    let url = folder.to_str().unwrap().to_owned();
    let table = Table::start(place, &[(TYPE, "poetry")]);
    let expected = &["six=1.16.0 idna=3.4 tomli=None"];
    table.run(&[
        Row::completes("a project of poetry without a lock", draft(&url), expected).says("deciding on versions")
    ]);

    // The poetry that was installed for it makes the lock, as a user's would.
    let tools = std::fs::read_dir(table.place().path("home/.cache/hostler/tools")).unwrap();
    let poetry = tools.map(|entry| entry.unwrap().path().join("bin/poetry")).find(|path| path.exists()).unwrap();
    let mut command = table.place().command(poetry);
    command.args(["lock", "--no-interaction"]).current_dir(&folder).env("POETRY_VIRTUALENVS_CREATE", "false");
    command.finish_within(LIMIT).ok();
    git_commit_all(&folder, &[]);
    let broken = table.place().path("broken");
    new_repository(&broken, &[("versions.py", VERSIONS), ("pyproject.toml", &text), ("poetry.lock", "not a lock")]);
    table.run(&[
        Row::completes("a project of poetry with a lock", draft(&url), expected).never_says("deciding on versions"),
        Row::completes("no project of poetry", versions("six==1.15.0", "six"), &["six=1.15.0"]),
        Row::fails("a lock that is none", draft(broken.to_str().unwrap()), "environment", &["poetry"]),
    ]);
    table.finish();
}

/// Where there is none, that is what the user is told; what conda itself does is tested beside the code.
#[test]
fn conda_that_is_not_there() {
    let table = Table::start(Place::new(), &[(TYPE, "conda")]);
    let draft = versions("six==1.15.0", "six");
    let names = ["none of micromamba, mamba and conda is on PATH"];
    table.run(&[Row::fails("conda without conda", draft, "environment", &names)]);
    table.finish();
}

#[test]
fn no_manager_at_all() {
    let table = Table::start(Place::new(), &[(TYPE, "none")]);
    let program = "import sys\nprint('OUT', sys.prefix == sys.base_prefix)\n";
    let draft = Draft::script("none", program).requirements("six==99.99");
    table.run(&[Row::completes("the machine's interpreter", draft, &["True"]).says("of the machine as it is")]);
    table.finish();
}
