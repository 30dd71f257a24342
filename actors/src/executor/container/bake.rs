//! An image of the task's own: its image after the setup scripts, with code and environment in it.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drivers::container::Packed;
use drivers::python::Environment;
use protocols::container::ContainerSpec;
use protocols::container::init::{FromInit, Program};
use protocols::failure::{FailureClass, Phase, TaskFailure};
use protocols::lifecycle::Exit;
use protocols::order::Built;

use super::inside::Inside;
use super::mounts::IMAGE_PLACE as PLACE;
use super::running::{Running, of_engine, of_link, of_system};
use super::{look, mounts, scripts};
use crate::executor::console_pipe;
use crate::executor::steps::StepError;

/// Where this program is, for whoever runs the task.
const RUNNER: &str = "/hostler/bin/hostler";
/// How often a stop is looked for while a program of the container runs.
const LOOK: Duration = Duration::from_millis(100);

/// What an image does when it is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageEntry {
    /// Whatever it is told to.
    Nothing,
    /// It runs the task.
    Task,
    /// It runs a copy of the task.
    Copy,
}

/// An image that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageWish {
    /// `NAME[:TAG]`.
    pub name: String,
    /// What it does when it is run.
    pub entry: ImageEntry,
}

impl Inside<'_> {
    /// Makes the image. What was built in `into` has another place in it, which `built` says afterwards.
    pub(in crate::executor) fn bake(&self, into: &Path, built: &mut Built, wish: &ImageWish) -> Result<(), StepError> {
        let own_name = self.image.user.clone();
        let folder = self.folder("baking")?;
        let own = mounts::basic(&self.init, folder.path());
        let mut spec = look::for_building(&self.container.spec);
        // What a container is told, an image keeps; the scripts get it otherwise.
        let told = std::mem::take(&mut spec.environment);
        let spec = ContainerSpec { working_dir: None, ports: Vec::new(), exposed: Vec::new(), ..spec };
        let new = self.new_container("baking", spec, own);
        let is_stopped = || self.is_stopped_now();
        let running = Running::start(&self.engine, &new, folder, &is_stopped)?;
        let made = self.bake_in(&running, told, into, built, wish, &own_name);
        running.remove();
        made
    }

    fn bake_in(
        &self,
        running: &Running,
        told: Vec<(String, Option<String>)>,
        into: &Path,
        built: &mut Built,
        wish: &ImageWish,
        user: &str,
    ) -> Result<(), StepError> {
        let shells = self.shells(running)?;
        let paths: Vec<&Path> = shells.iter().map(PathBuf::as_path).collect();
        let is_stopped = || self.is_stopped_now();
        let told = told.into_iter().filter_map(|(name, value)| Some((name.into(), value?.into())));
        let environment = scripts::run_with(told, &self.container.scripts, running, &paths, self.console, &is_stopped)?;
        self.console.say(&format!("making the image {}", wish.name));
        let owner = self.owner_of(user, running)?;
        let mut packed = vec![Packed { from: into, to: Path::new(PLACE), owner }];
        let program = std::env::current_exe().map_err(|error| of_system(&error))?;
        if wish.entry != ImageEntry::Nothing {
            packed.push(Packed { from: &program, to: Path::new(RUNNER), owner: (0, 0) });
        }
        self.engine.upload(running.id(), &packed).map_err(|error| of_engine(&error))?;
        if wish.entry != ImageEntry::Nothing {
            self.check_runner(running)?;
        }
        let conda = Environment::of_build(into).and_then(|environment| environment.of_conda());
        relocate(built, into);
        let conda = conda.and_then(|conda| Some(Path::new(PLACE).join(conda.strip_prefix(into).ok()?)));
        let path = environment.get(OsStr::new("PATH")).map(|path| path.to_string_lossy().into_owned());
        let entrypoint = entrypoint(self.order.task.id.as_str(), wish.entry);
        let changes = changes(built, user, path.as_deref(), conda.as_deref());
        running.kill();
        if is_stopped() {
            return Err(StepError::Stopped);
        }
        self.engine.commit(running.id(), &wish.name, &entrypoint, &changes).map_err(|error| of_engine(&error))?;
        Ok(())
    }

    /// The numbers of the image's user, who is to be able to write where the task works.
    fn owner_of(&self, user: &str, running: &Running) -> Result<(u32, u32), StepError> {
        if user.is_empty() || user == "root" {
            return Ok((0, 0));
        }
        let file = |path| self.engine.file(running.id(), path).map_err(|error| of_engine(&error));
        let text = |bytes: Option<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        Ok(numbers(user, &text(file("/etc/passwd")?), &text(file("/etc/group")?)))
    }

    /// Whether this program runs in the image at all: it is linked with the C library of this machine.
    fn check_runner(&self, running: &Running) -> Result<(), StepError> {
        let (output, copying) = console_pipe::open(self.console).map_err(|error| of_system(&error))?;
        let program = Program {
            program: OsStr::new(RUNNER).into(),
            arguments: vec![OsStr::new("--version").into()],
            ..Program::default()
        };
        let asked = running.run(program, output.as_fd()).map_err(|error| of_link(&error))?;
        drop(output);
        let why = loop {
            match asked.next(LOOK).map_err(|error| of_link(&error))? {
                Some(FromInit::Ended { exit: Exit::Code(0), .. }) => return Ok(()),
                Some(FromInit::Ended { exit, .. }) => break format!("it ended with {exit:?}"),
                Some(FromInit::NotStarted { error, .. }) => break error,
                Some(_) => {}
                None if self.is_stopped_now() => return Err(StepError::Stopped),
                None => {}
            }
        };
        copying.settle();
        let message = format!(
            "an entry point needs hostler itself in the image, and it does not run in {} ({why}): it is linked with the \
             C library of this machine, which has to be glibc there too, and not an older one; build without \
             --entry-point, or on a machine that is as old",
            self.container.image
        );
        Err(StepError::Failed(TaskFailure::because(FailureClass::Environment, Phase::Image, message)))
    }
}

/// `USER[:GROUP]`, names or numbers, as numbers; those of root where a name is nobody's. No engine starts such an image.
fn numbers(user: &str, passwd: &str, groups: &str) -> (u32, u32) {
    let (user, group) = user.split_once(':').map_or((user, None), |(user, group)| (user, Some(group)));
    let column = |line: &str, at: usize| line.split(':').nth(at).map(str::to_owned);
    let named = |lines: &str, name: &str| {
        let line = lines
            .lines()
            .find(|line| column(line, 0).as_deref() == Some(name) || column(line, 2).as_deref() == Some(name));
        line.map(str::to_owned)
    };
    let number = |text: Option<String>| text.and_then(|text| text.parse().ok());
    let entry = named(passwd, user);
    let uid = user.parse().ok().or_else(|| number(column(entry.as_deref()?, 2))).unwrap_or(0);
    let gid = match group {
        Some(group) => group.parse().ok().or_else(|| number(column(&named(groups, group)?, 2))),
        None => entry.as_deref().and_then(|entry| number(column(entry, 3))),
    };
    (uid, gid.unwrap_or(0))
}

/// What the image runs by itself.
fn entrypoint(task: &str, entry: ImageEntry) -> Vec<String> {
    let words = match entry {
        ImageEntry::Nothing => Vec::new(),
        ImageEntry::Task => vec![RUNNER, "execute", "--id", task, "--prebuilt", PLACE],
        ImageEntry::Copy => vec![RUNNER, "execute", "--id", task, "--prebuilt", PLACE, "--clone"],
    };
    words.into_iter().map(str::to_owned).collect()
}

/// What of the image is said anew, as a Dockerfile says it. Labels of ours would make it look like a container that
/// somebody has left.
fn changes(built: &Built, user: &str, path: Option<&str>, conda: Option<&Path>) -> Vec<String> {
    let mut changes = vec![
        "CMD []".to_owned(),
        format!("WORKDIR {}", built.directory.display()),
        format!("USER {}", if user.is_empty() { "root" } else { user }),
    ];
    if let Some(bin) =
        built.python.as_ref().filter(|python| python.starts_with(PLACE)).and_then(|python| python.parent())
    {
        let path = path.unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        changes.push(format!("ENV PATH={}:{path}", bin.display()));
        changes.extend(conda.map(|environment| format!("ENV CONDA_PREFIX={}", environment.display())));
    }
    changes.extend(look::label_names().map(|name| format!("LABEL {name}=\"\"")));
    changes
}

/// The same with the place that it has in the image.
fn relocate(built: &mut Built, from: &Path) {
    let from = from.to_string_lossy().into_owned();
    let moved = |text: &str| text.replace(&from, PLACE);
    let moved_path = |path: &Path| PathBuf::from(moved(&path.to_string_lossy()));
    built.code = moved_path(&built.code);
    built.directory = moved_path(&built.directory);
    built.python = built.python.as_deref().map(moved_path);
    built.command = built.command.iter().map(|word| moved(word)).collect();
    built.python_path = moved(&built.python_path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_number_and_so_is_a_group() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nme:x:1234:1235::/home/me:/bin/sh\n";
        let groups = "root:x:0:\nvideo:x:44:me\n";
        for (user, expected) in [
            ("me", (1234, 1235)),
            ("1234", (1234, 1235)),
            ("me:video", (1234, 44)),
            ("me:7", (1234, 7)),
            ("9:9", (9, 9)),
            ("9", (9, 0)),
            ("nobody", (0, 0)),
        ] {
            assert_eq!(numbers(user, passwd, groups), expected, "{user}");
        }
    }

    #[test]
    fn an_image_says_what_it_is_for_and_nothing_of_its_making() {
        let mut built = Built {
            directory: "/a/b/code".into(),
            python: Some("/a/b/environment/venv/bin/python".into()),
            command: vec!["/a/b/environment/venv/bin/python".to_owned(), "x.py".to_owned()],
            python_path: "/a/b/code".to_owned(),
            ..Built::default()
        };
        relocate(&mut built, Path::new("/a/b"));
        assert_eq!(built.command[0], "/hostler/task/environment/venv/bin/python");
        let lines = changes(&built, "1234", Some("/bin"), Some(Path::new("/hostler/task/environment/venv")));
        for line in [
            "WORKDIR /hostler/task/code",
            "USER 1234",
            "ENV PATH=/hostler/task/environment/venv/bin:/bin",
            "ENV CONDA_PREFIX=/hostler/task/environment/venv",
            r#"LABEL hostler.attempt="""#,
        ] {
            assert!(lines.iter().any(|found| found == line), "{line}: {lines:#?}");
        }
        let words = ["/hostler/bin/hostler", "execute", "--id", "t", "--prebuilt", "/hostler/task", "--clone"];
        assert_eq!(entrypoint("t", ImageEntry::Copy), words);
        assert!(entrypoint("t", ImageEntry::Nothing).is_empty());
    }
}
