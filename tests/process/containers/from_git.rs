//! Packages from repositories, in images that need no git.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::conda::{self, CondaImage};
use super::{Engine, Farm};
use crate::harness::{Draft, GitServer, Place, ProcessExt, audit, git, git_commit_all, new_repository, package_index};

/// A build backend of a version, so that no index is asked twice.
const SETUPTOOLS: &str = "[build-system]\nrequires = ['setuptools==75.8.0']\nbuild-backend = 'setuptools.build_meta'\n";

/// A farm, and a server for code that wants a password.
struct Site {
    farm: Farm,
    code: GitServer,
}

impl Site {
    fn start(engine: &Engine, variables: &[(&str, &str)]) -> Self {
        let place = engine.user.map_or_else(Place::new, Place::of);
        let code = GitServer::start(&place);
        let authorities = code.authorities(&place);
        let mut all = vec![
            ("CLEARML_AGENT_GIT_USER", "robot"),
            ("CLEARML_AGENT_GIT_PASS", GitServer::PASSWORD),
            ("CLEARML_AGENT_GIT_HOST", "127.0.0.1"),
            ("GIT_SSL_CAINFO", authorities.as_str()),
        ];
        all.extend(variables);
        Self { farm: Farm::in_place(place, engine, &["--workers", "1"], &all), code }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.farm.place.path(name)
    }

    /// Makes a repository known by its name; the commit.
    fn publish(&self, name: &str, files: &[(&str, &str)], tag: Option<&str>) -> String {
        let folder = self.path(name);
        let commit = new_repository(&folder, files);
        tag.into_iter().for_each(|tag| drop(git(&folder, &["tag", tag])));
        self.code.publish(&folder, name);
        commit
    }

    /// `git+https://..`
    fn url(&self, name: &str) -> String {
        format!("git+{}", self.code.url(name))
    }

    /// A library with a submodule, which needs a package at a tag, which takes its version from git and needs a third,
    /// which is in a folder of its repository.
    fn publish_family(&self) {
        let program = format!(
            "from setuptools import setup\nsetup(name='hostler-second', use_scm_version=True, py_modules=['second'],\n\
             \x20     install_requires=['six', \"hostler-third @ {}#subdirectory=deep/down\"])\n",
            self.url("third")
        );
        let build = "[build-system]\nrequires = ['setuptools==75.8.0', 'setuptools-scm==8.1.0']\n\
            build-backend = 'setuptools.build_meta'\n";
        let third = format!(
            "{SETUPTOOLS}[project]\nname = 'hostler-third'\nversion = '3.0'\n[tool.setuptools]\npy-modules = ['third']\n"
        );
        self.publish(
            "third",
            &[("deep/down/pyproject.toml", &third), ("deep/down/third.py", "NAME = 'third'\n")],
            None,
        );
        let second = [("setup.py", program.as_str()), ("pyproject.toml", build), ("second.py", "NAME = 'second'\n")];
        self.publish("second", &second, Some("v2.5"));
        self.publish("inner", &[("word.py", "WORD = 'inner'\n")], None);
        let library = self.path("library");
        new_repository(&library, &[("pyproject.toml", &self.project("1.0")), ("library/__init__.py", "")]);
        let inner = self.path("inner");
        let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.to_str().unwrap()];
        git(&library, &[&add[..], &["library/inner"]].concat());
        git(&library, &["config", "--file", ".gitmodules", "submodule.library/inner.url", &self.code.url("inner")]);
        git_commit_all(&library, &[]);
        self.code.publish(&library, "library");
    }

    fn project(&self, version: &str) -> String {
        format!(
            "{SETUPTOOLS}[project]\nname = 'hostler-library'\nversion = '{version}'\ndependencies = ['hostler-second @ {}@v2.5']\n\
             [tool.setuptools]\npackages = ['library', 'library.inner']\n",
            self.url("second")
        )
    }

    /// What is recorded as the packages of a task.
    fn recorded(&self, task: &str) -> String {
        let recorded = self.farm.api.task(task)["script"]["requirements"]["pip"].clone();
        recorded.as_array().unwrap().iter().map(|line| format!("{}\n", line.as_str().unwrap())).collect()
    }

    fn run(&self, draft: &Draft) -> (String, String) {
        let task = self.farm.enqueue(draft, json!({}));
        self.farm.api.ended_as(&task, "completed");
        let console = self.farm.api.console(&task);
        (task, console)
    }

    fn is_whole(&self) {
        let verify = self.farm.place.hostler().args(["--json", "env", "verify"]).finish_within(Duration::from_secs(60));
        let found: Value = serde_json::from_str(&verify.stdout).unwrap();
        assert_eq!(found["damages"], json!([]), "{found}");
        self.farm.is_clean();
        audit(&self.farm.place);
    }
}

const FAMILY: &str = "import importlib.metadata as m, shutil, second, third\nfrom library.inner import word\n\
    print('GIT', shutil.which('git'))\n\
    print('GOT', word.WORD, second.NAME, third.NAME, *[m.version('hostler-' + n) for n in ('library', 'second', 'third')])\n\
    print('NEEDS', [r for r in m.requires('hostler-library') + m.requires('hostler-second') if 'git+' in r or 'file:' in r])\n";

#[test]
fn packages_their_submodules_and_what_they_need_in_turn_come_from_git() {
    for engine in Engine::docker().into_iter().chain(Engine::rootless()) {
        let site = Site::start(&engine, &[]);
        site.publish_family();
        let draft =
            Draft::script("family", FAMILY).requirements(&format!("hostler-library @ {}@main\n", site.url("library")));
        let (task, console) = site.run(&draft);
        assert!(console.contains("GIT None"), "the image has git: {console}");
        assert!(console.contains("GOT inner second third 1.0 2.5 3.0"), "{console}");
        assert!(!console.contains(GitServer::PASSWORD), "{console}");
        let needs = format!(
            "NEEDS ['hostler-second@ {}@v2.5', 'hostler-third @ {}#subdirectory=deep/down']",
            site.url("second"),
            site.url("third")
        );
        assert!(console.contains(&needs), "{needs}: {console}");
        let first = git(&site.path("library"), &["rev-parse", "HEAD"]);
        let recorded = site.recorded(&task);
        for line in [
            format!("hostler-library @ {}@{first}\n", site.url("library")),
            format!("hostler-second @ {}@{}\n", site.url("second"), git(&site.path("second"), &["rev-parse", "HEAD"])),
            format!("@{}#subdirectory=deep/down\n", git(&site.path("third"), &["rev-parse", "HEAD"])),
            "six==".to_owned(),
        ] {
            assert!(recorded.contains(&line), "{line}: {recorded}");
        }

        // A clone asks for what was installed: that is there.
        let (_, console) = site.run(&Draft::script("clone", FAMILY).requirements(&recorded));
        assert!(console.contains("reused") && console.contains("GOT inner second third 1.0 2.5 3.0"), "{console}");
        assert!(!console.contains("checking out"), "{console}");
        if engine.flag != "--docker" {
            site.is_whole();
            continue;
        }

        // The branch moves, and so does the environment of who asks for the branch.
        let library = site.path("library");
        git_commit_all(&library, &[("pyproject.toml", &site.project("1.1"))]);
        git(&library, &["push", "--quiet", site.code.folder.join("library.git").to_str().unwrap(), "HEAD:main"]);
        let (task, console) = site.run(&draft);
        assert!(console.contains("GOT inner second third 1.1 2.5 3.0"), "{console}");
        let now = git(&library, &["rev-parse", "HEAD"]);
        assert!(site.recorded(&task).contains(&format!("library.git@{now}")), "{}", site.recorded(&task));
        let (_, console) = site.run(&Draft::script("clone", FAMILY).requirements(&recorded));
        assert!(console.contains("GOT inner second third 1.0 2.5 3.0"), "{console}");
        site.is_whole();
    }
}

/// Where the packages of the image count, pip installs.
#[test]
fn pip_installs_them_too() {
    let Some(engine) = Engine::docker() else { return };
    let site = Site::start(&engine, &[("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__SYSTEM_SITE_PACKAGES", "true")]);
    site.publish_family();
    let commit = git(&site.path("library"), &["rev-parse", "HEAD"]);
    // Without a name, and after one that it asks for in other words.
    let second = git(&site.path("second"), &["rev-parse", "HEAD"]);
    let lines = format!("hostler-second @ {}@{second}\n{}@{commit}\n", site.url("second"), site.url("library"));
    let draft = Draft::script("pip", FAMILY).requirements(&lines);
    let (task, console) = site.run(&draft);
    assert!(console.contains("GOT inner second third 1.0 2.5 3.0"), "{console}");
    let recorded = site.recorded(&task);
    assert!(recorded.contains(&format!("hostler-library @ {}@{commit}", site.url("library"))), "{recorded}");
    let (_, console) = site.run(&draft);
    assert!(console.contains("reused"), "{console}");
    site.is_whole();
}

/// The task's own project names them, whose files stay as they are.
#[test]
fn a_project_of_the_tasks_own_code_finds_them() {
    let Some(engine) = Engine::docker() else { return };
    let site = Site::start(&engine, &[]);
    site.publish_family();
    let project = format!(
        "{SETUPTOOLS}[project]\nname = 'own'\nversion = '1'\ndependencies = ['hostler-library']\n[tool.setuptools]\npy-modules = []\n\
         [tool.uv.sources]\nhostler-library = {{ git = '{}', branch = 'main' }}\n",
        site.code.url("library")
    );
    let program = format!("{FAMILY}print('OWN', open('pyproject.toml').read().count('git = '))\n");
    site.publish("own", &[("pyproject.toml", &project), ("run.py", &program)], None);
    let draft = Draft::repository("own", &site.code.url("own"), "run.py").requirements("-e .\n");
    let (_, console) = site.run(&draft);
    assert!(console.contains("GOT inner second third 1.0 2.5 3.0") && console.contains("OWN 1"), "{console}");
    site.is_whole();
}

/// pip takes what a project needs only from its files: they name repositories again when the task reads them.
#[test]
fn pip_finds_them_for_a_project_of_the_tasks_own_code() {
    const PIP: (&str, &str) = ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__SYSTEM_SITE_PACKAGES", "true");
    for engine in Engine::docker().into_iter().chain(Engine::rootless()) {
        let site = Site::start(&engine, &[PIP]);
        site.publish_family();
        let project = format!(
            "{SETUPTOOLS}[project]\nname = 'own'\nversion = '1'\ndependencies = ['hostler-library @ {}@main']\n\
             [tool.setuptools]\npy-modules = []\n",
            site.url("library")
        );
        let program = format!(
            "{FAMILY}import glob\ntexts = [open(name).read() for name in ['pyproject.toml'] + glob.glob('own.egg-info/*')]\n\
             texts += m.requires('own')\nprint('OWN', len(texts), [text for text in texts if 'file:' in text])\n\
             print('SAME', texts[0].count('@ git+'))\n"
        );
        site.publish("own", &[("pyproject.toml", &project), ("run.py", &program)], None);
        let draft = Draft::repository("own", &site.code.url("own"), "run.py").requirements("-e .\n");
        let (_, console) = site.run(&draft);
        for words in ["GIT None", "GOT inner second third 1.0 2.5 3.0", "SAME 1"] {
            assert!(console.contains(words), "{words}: {console}");
        }
        let own = console.lines().find(|line| line.starts_with("OWN ")).unwrap();
        assert!(own.ends_with(" []") && own != "OWN 2 []", "{own}");
        site.is_whole();
    }
}

/// A build may run it, and finds what it works on.
#[test]
fn where_the_image_has_git_there_is_a_repository() {
    let Some(engine) = Engine::docker() else { return };
    let site = Site::start(&engine, &[]);
    let program = "import os\nfrom setuptools import setup\n\
        setup(name='looks', version='2.0' if os.path.isdir('.git/refs') else '1.0', py_modules=[])\n";
    let build = SETUPTOOLS.replace("build_meta'", "build_meta:__legacy__'");
    site.publish("looks", &[("setup.py", program), ("pyproject.toml", &build)], None);
    let draft = Draft::script("looks", "import importlib.metadata as m\nprint('LOOKS', m.version('looks'))\n")
        .requirements(&format!("looks @ {}\n", site.url("looks")));
    let (_, console) = site.run(&draft);
    assert!(console.contains("LOOKS 1.0"), "{console}");
    // The installer does not run it: what it is does not matter.
    let script = "ln -s /bin/true /usr/bin/git";
    let task = site.farm.enqueue(&draft, json!({ "setup_shell_script": script }));
    site.farm.api.ended_as(&task, "completed");
    let console = site.farm.api.console(&task);
    assert!(console.contains("LOOKS 2.0"), "{console}");
    site.is_whole();
}

/// What uv has decided, a commit for each repository.
#[test]
fn a_lock_of_uv_names_commits() {
    let Some(engine) = Engine::docker() else { return };
    let site = Site::start(&engine, &[]);
    site.publish_family();
    let project = format!(
        "{SETUPTOOLS}[project]\nname = 'own'\nversion = '1'\nrequires-python = '>=3.9'\ndependencies = ['hostler-library']\n\
         [tool.setuptools]\npy-modules = []\n[tool.uv.sources]\nhostler-library = {{ git = '{}', branch = 'main' }}\n",
        site.code.url("library")
    );
    let own = site.path("own");
    new_repository(&own, &[("pyproject.toml", &project), ("run.py", FAMILY)]);
    let mut lock = site.farm.place.command(site.path("bin/uv"));
    lock.args(["lock", "--quiet"]).current_dir(&own).env("GIT_SSL_CAINFO", site.code.authorities(&site.farm.place));
    let [name, value] = site.code.with_password();
    lock.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", name).env("GIT_CONFIG_VALUE_0", value);
    lock.finish_within(Duration::from_secs(200)).ok();
    git_commit_all(&own, &[]);
    site.code.publish(&own, "own");
    let (task, console) = site.run(&Draft::repository("own", &site.code.url("own"), "run.py"));
    assert!(console.contains("GOT inner second third 1.0 2.5 3.0") && console.contains("uv.lock"), "{console}");
    let commit = git(&site.path("library"), &["rev-parse", "HEAD"]);
    assert!(site.recorded(&task).contains(&format!("library.git@{commit}")), "{}", site.recorded(&task));
    site.is_whole();
}

/// What uv has not decided on yet, it decides on in the container; the task finds its files as they were.
#[test]
fn a_project_of_uv_that_is_not_locked_needs_no_git_in_the_image() {
    let uv = ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__TYPE", "uv");
    for engine in Engine::docker().into_iter().chain(Engine::rootless()) {
        let site = Site::start(&engine, &[uv]);
        site.publish_family();
        let first = git(&site.path("library"), &["rev-parse", "HEAD"]);
        let project = |more: &str| {
            format!(
                "[project]\nname = 'own'\nversion = '1'\nrequires-python = '>=3.9'\ndependencies = ['hostler-library'{more}]\n\
                 [dependency-groups]\nother = ['hostler-second']\n[tool.uv]\ndefault-groups = []\n\
                 [tool.uv.sources]\nhostler-library = {{ git = '{}', branch = 'main' }}\n\
                 hostler-second = {{ git = '{}', tag = 'v2.5' }}\n",
                site.code.url("library"),
                site.code.url("second")
            )
        };
        let program = format!(
            "{FAMILY}import os\nlock = open('uv.lock').read() if os.path.exists('uv.lock') else ''\n\
             print('FILES', open('pyproject.toml').read().count('git = '), lock.count('directory = '), lock.count('#{first}'))\n"
        );
        site.publish("own", &[("pyproject.toml", &project("")), ("run.py", &program)], None);
        let draft = Draft::repository("own", &site.code.url("own"), "run.py");
        let (task, console) = site.run(&draft);
        for words in ["GIT None", "GOT inner second third 1.0 2.5 3.0", "FILES 2 0 0"] {
            assert!(console.contains(words), "{words}: {console}");
        }
        let line = format!("hostler-library @ {}@{first}\n", site.url("library"));
        assert!(site.recorded(&task).contains(&line), "{}", site.recorded(&task));
        assert!(!console.contains(GitServer::PASSWORD), "{console}");

        if engine.user.is_some() {
            // Who makes the lock below would not be this user.
            site.is_whole();
            continue;
        }

        // It is locked; then the branch moves, and the project wants something more: what was decided on stays.
        let own = site.path("own");
        let mut lock = site.farm.place.command(site.path("bin/uv"));
        lock.args(["lock", "--quiet"]).current_dir(&own).env("GIT_SSL_CAINFO", site.code.authorities(&site.farm.place));
        let [name, value] = site.code.with_password();
        lock.env("GIT_CONFIG_COUNT", "1").env("GIT_CONFIG_KEY_0", name).env("GIT_CONFIG_VALUE_0", value);
        lock.finish_within(Duration::from_secs(200)).ok();
        git_commit_all(&own, &[("pyproject.toml", &project(", 'idna==3.4'"))]);
        let library = site.path("library");
        git_commit_all(&library, &[("pyproject.toml", &site.project("1.1"))]);
        for (folder, name) in [(&own, "own"), (&library, "library")] {
            git(
                folder,
                &["push", "--quiet", site.code.folder.join(format!("{name}.git")).to_str().unwrap(), "HEAD:main"],
            );
        }
        let (task, console) = site.run(&draft);
        for words in ["brought up to date", "GOT inner second third 1.0 2.5 3.0", "FILES 2 0 1"] {
            assert!(console.contains(words), "{words}: {console}");
        }
        let recorded = site.recorded(&task);
        assert!(recorded.contains(&line) && recorded.contains("idna==3.4"), "{recorded}");
        site.is_whole();
    }
}

/// poetry runs in the container, and what it says is found outside.
#[test]
fn a_project_of_poetry_is_installed() {
    let Some(engine) = Engine::docker() else { return };
    let manager = ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__TYPE", "poetry");
    for engine in std::iter::once(engine).chain(Engine::rootless()) {
        let site = Site::start(&engine, &[manager]);
        let project = format!(
            "[tool.poetry]\npackage-mode = false\n[[tool.poetry.source]]\nname = 'index'\nurl = '{}'\n\
             [tool.poetry.dependencies]\npython = '>=3.9,<4'\nsix = '1.16.0'\n",
            package_index()
        );
        let program = "import six\nprint('SIX', six.__version__)\n";
        site.publish("own", &[("pyproject.toml", &project), ("run.py", program)], None);
        let draft = Draft::repository("own", &site.code.url("own"), "run.py");
        let (_, console) = site.run(&draft);
        assert!(console.contains("SIX 1.16.0") && console.contains("a project of poetry"), "{console}");
        site.is_whole();
    }
}

/// What conda leaves to pip.
#[test]
fn environments_of_conda_have_them_too() {
    let Some(engine) = Engine::docker() else { return };
    let site = Site::start(&engine, &[conda::TYPE, conda::CHANNELS]);
    site.publish_family();
    let image = CondaImage::with(&engine, "/opt/conda/bin/conda");
    let program = "import importlib.metadata as m, third\n\
        print('GOT', third.NAME, m.distribution('hostler-third').read_text('direct_url.json'))\n";
    let line = format!("hostler-third @ {}#subdirectory=deep/down", site.url("third"));
    let task = site.farm.enqueue(&conda::draft(program, "thing==2.0", &line), image.container());
    site.farm.api.ended_as(&task, "completed");
    let console = site.farm.api.console(&task);
    assert!(console.contains("GOT third") && console.contains("\"vcs\":\"git\""), "{console}");
    site.is_whole();
}

#[test]
fn what_cannot_be_had_is_named() {
    let Some(engine) = Engine::docker() else { return };
    let site = Site::start(&engine, &[]);
    site.publish_family();
    for (line, reason) in [
        (format!("x @ {}@no-such-branch", site.url("library")), "branch no-such-branch is not in"),
        (format!("x @ {}", site.url("no-such")), "cannot fetch"),
    ] {
        let task = site.farm.enqueue(&Draft::script("fails", "print(1)").requirements(&line), json!({}));
        let found = site.farm.failure(&task);
        let expected = format!("cannot get {}", line.trim_start_matches("x @ "));
        assert!(found.contains("environment") && found.contains(&expected) && found.contains(reason), "{found}");
    }
    let (_, console) = site.run(&Draft::script("next", "print('NEXT')"));
    assert!(console.contains("NEXT"), "{console}");
    site.is_whole();
}
