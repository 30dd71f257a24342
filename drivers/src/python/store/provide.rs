//! From a question to an environment: found, or built by one of all who ask.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::question::digest;
use super::record::{self, Asked, now};
use super::{
    Difference, Lease, Limits, Nearest, Outcome, Protected, Question, READY_FILE, Ready, Store, TaskRecord, similar,
    touch,
};
use crate::command::CommandRunner;
use crate::file_lock::FileLock;
use crate::python::error::PythonError;

/// How an environment of one kind is made.
pub(crate) trait Recipe {
    /// Everything that decides on the environment.
    fn question(&self) -> Question;

    /// Whether the same question may have another answer tomorrow, without being the user's wish.
    fn is_moving(&self) -> bool;

    /// What every answer has among its packages, where [`resolve`](Self::resolve) can tell the exact answer: an
    /// environment without these is none.
    fn names(&self) -> Result<Option<Vec<String>>, PythonError> {
        Ok(None)
    }

    /// The exact answer, one package a line, where it can be had without building.
    fn resolve(&self, site: &BuildSite<'_>) -> Result<Option<Vec<String>>, PythonError>;

    /// Builds the environment in an empty folder.
    fn build(&self, site: &BuildSite<'_>, resolution: Option<&[String]>) -> Result<Built, PythonError>;

    /// Another question that has the same answer: that of a clone of the task, which asks for what was installed.
    fn question_of_clone(&self, built: &Built) -> Option<Question>;

    /// What is to be recorded with a resolution: inputs that a resolution does not replace.
    fn kind(&self) -> Vec<String>;

    /// Whether its interpreter is that of a container's image, which this machine does not see.
    fn is_for_an_image(&self) -> bool {
        false
    }
}

/// Where something is built.
#[derive(Clone, Copy)]
pub(crate) struct BuildSite<'a> {
    /// To be filled. Absent while a question is only resolved.
    pub(crate) folder: &'a Path,
    /// For input files, removed afterwards.
    pub(crate) scratch: &'a Path,
    /// To be given to child programs, so that it outlives this process as long as they do.
    pub(crate) lock: Option<&'a FileLock>,
    /// Whether what is built may have no file in common with caches and other environments.
    pub(crate) stands_alone: bool,
}

/// What was built.
pub(crate) struct Built {
    /// The interpreter, within the folder.
    pub(crate) program: PathBuf,
    pub(crate) python_version: String,
    /// As `pip freeze` writes them.
    pub(crate) packages: Vec<String>,
}

/// An environment with its lease.
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) folder: PathBuf,
    pub(crate) ready: Ready,
    pub(crate) lease: Lease,
    pub(crate) outcome: Outcome,
}

/// One who asks.
pub(crate) struct Asker<'a> {
    /// The task, for other tasks that wait for it and for people.
    pub(crate) task: &'a str,
    pub(crate) commands: &'a dyn CommandRunner,
    pub(crate) progress: &'a dyn Fn(&str),
    pub(crate) limits: Limits,
}

impl Store {
    /// The environment that was asked for, leased; built if it is not there, by one of all who ask.
    pub(crate) fn provide(&self, recipe: &dyn Recipe, asker: &Asker<'_>) -> Result<Found, PythonError> {
        let question = recipe.question();
        let key = question.key();
        if !recipe.is_moving()
            && let Some(found) = self.answered(&key)?
        {
            self.note(asker.task, &question, Outcome::Hit, &found.id, None);
            return Ok(found);
        }
        let nearest = if recipe.is_moving() { None } else { self.nearest(&question) };
        if let Some(nearest) = &nearest {
            (asker.progress)(&sentence(nearest));
        }
        let found = self.answer(recipe, asker, &question, &key)?;
        self.note(asker.task, &question, found.outcome, &found.id, nearest);
        Ok(found)
    }

    fn answer(
        &self,
        recipe: &dyn Recipe,
        asker: &Asker<'_>,
        question: &Question,
        key: &str,
    ) -> Result<Found, PythonError> {
        let lock = self.queue(key, asker)?;
        if !recipe.is_moving()
            && let Some(found) = self.answered(key)?
        {
            return Ok(found);
        }
        let scratch = self.scratch(key);
        super::remove(&scratch)?;
        fs::create_dir_all(&scratch).map_err(PythonError::io("make", &scratch))?;
        let site = BuildSite { folder: &scratch, scratch: &scratch, lock: Some(&lock), stands_alone: false };
        let answer = self.resolve_and_build(recipe, asker, key, &site);
        // Whether or not it can be removed: the next one who asks does it before anything else.
        let _ = super::remove(&scratch);
        let found = answer?;
        let asked = Asked {
            question: question.clone(),
            environment: found.id.clone(),
            resolution: found.ready.resolution.clone(),
            task: asker.task.to_owned(),
        };
        record::write(&self.asked(key), &asked)?;
        let built = Built {
            program: found.ready.program.clone(),
            python_version: found.ready.python_version.clone(),
            packages: found.ready.packages.clone(),
        };
        if let Some(question) = recipe.question_of_clone(&built) {
            let path = self.asked(&question.key());
            if !path.exists() {
                record::write(&path, &Asked { question, ..asked })?;
            }
        }
        Ok(found)
    }

    fn resolve_and_build(
        &self,
        recipe: &dyn Recipe,
        asker: &Asker<'_>,
        key: &str,
        site: &BuildSite<'_>,
    ) -> Result<Found, PythonError> {
        // What an evicted environment was made of is what it is made of again, in its own place.
        let remembered = record::read::<Asked>(&self.asked(key)).filter(|_| !recipe.is_moving());
        if let Some(Asked { environment, resolution: Some(resolution), .. }) = remembered {
            let built = if environment == key {
                self.build(recipe, asker, key, Some(&resolution), site)
            } else {
                self.build_once(recipe, asker, key, Some(&resolution), site)
            };
            match built {
                // Its versions may have been withdrawn since.
                Err(PythonError::Install { is_transient: false, .. }) => {}
                built => return built,
            }
        }
        if !recipe.is_moving()
            && let Some(names) = recipe.names()?
            && !self.has_similar(&recipe.kind(), &names)
        {
            // No environment can be the answer: it is resolved and installed in one go.
            return self.build(recipe, asker, key, None, site);
        }
        let resolution = match recipe.resolve(site) {
            Err(error) if recipe.is_moving() && error.is_transient() => {
                let found = self.answered(key)?.ok_or(error)?;
                (asker.progress)("whether a repository has moved cannot be found out now: taking what it was");
                return Ok(found);
            }
            resolved => resolved?,
        };
        if resolution.is_none()
            && let Some(found) = self.answered(key)?
        {
            return Ok(found);
        }
        self.build_once(recipe, asker, key, resolution.as_deref(), site)
    }

    /// Builds the environment of a resolution, unless it is there.
    fn build_once(
        &self,
        recipe: &dyn Recipe,
        asker: &Asker<'_>,
        key: &str,
        resolution: Option<&[String]>,
        site: &BuildSite<'_>,
    ) -> Result<Found, PythonError> {
        let Some(lines) = resolution else { return self.build(recipe, asker, key, None, site) };
        let mut all = recipe.kind();
        all.extend(lines.iter().cloned());
        let id = digest(&all);
        if let Some(found) = self.lease(&id, Outcome::Shared)? {
            return Ok(found);
        }
        if let Some(other) = self.with_packages(&recipe.kind(), lines)
            && let Some(found) = self.lease(&other, Outcome::Shared)?
        {
            return Ok(found);
        }
        let lock = self.queue(&id, asker)?;
        if let Some(found) = self.lease(&id, Outcome::Shared)? {
            return Ok(found);
        }
        self.build(recipe, asker, &id, resolution, &BuildSite { lock: Some(&lock), ..*site })
    }

    /// Builds into the environment's own folder, which counts when its record is there. The caller has its lock.
    fn build(
        &self,
        recipe: &dyn Recipe,
        asker: &Asker<'_>,
        id: &str,
        resolution: Option<&[String]>,
        site: &BuildSite<'_>,
    ) -> Result<Found, PythonError> {
        let begun = Instant::now();
        self.make_room(asker);
        let folder = self.folder(id);
        self.discard(&folder)?;
        fs::create_dir_all(&folder).map_err(PythonError::io("make", &folder))?;
        let built = match recipe.build(&BuildSite { folder: &folder, ..*site }, resolution) {
            Ok(built) => built,
            Err(error) => {
                // As for scratch files.
                let _ = self.discard(&folder);
                return Err(error);
            }
        };
        let resolution = match resolution {
            Some(lines) => Some(lines.to_vec()),
            None if recipe.names()?.is_some() => similar::pins(&built.packages),
            None => None,
        };
        let ready = Ready {
            format: super::FORMAT,
            program: built.program,
            python_version: built.python_version,
            question: recipe.question(),
            packages: built.packages,
            resolution,
            task: asker.task.to_owned(),
            created: now(),
            seconds: begun.elapsed().as_secs_f64(),
            is_for_an_image: recipe.is_for_an_image(),
        };
        // From its first task on. A container sees it through a mount that cannot be written.
        if !recipe.is_for_an_image() {
            super::protect(&folder.join("venv"), Protected::All);
        }
        touch(&folder)?;
        // Leased before it counts: no eviction comes in between.
        let lease = Lease::take(&folder)?.ok_or_else(|| gone(&folder))?;
        record::write(&folder.join(READY_FILE), &ready)?;
        (asker.progress)(&format!("{} packages installed in {:.1} s", ready.packages.len(), ready.seconds));
        self.make_room(asker);
        Ok(Found { id: id.to_owned(), folder, ready, lease, outcome: Outcome::Built })
    }

    /// The environment that a question was answered with, leased.
    fn answered(&self, key: &str) -> Result<Option<Found>, PythonError> {
        match record::read::<Asked>(&self.asked(key)) {
            Some(asked) => self.lease(&asked.environment, Outcome::Hit),
            None => Ok(None),
        }
    }

    /// A whole environment, leased.
    fn lease(&self, id: &str, outcome: Outcome) -> Result<Option<Found>, PythonError> {
        let folder = self.folder(id);
        if !folder.join(READY_FILE).exists() {
            return Ok(None);
        }
        let Some(lease) = Lease::take(&folder)? else { return Ok(None) };
        let Some(ready) = self.ready(id) else { return Ok(None) };
        // The link leads to an interpreter that may have been removed.
        if !ready.has_program(&folder) {
            return Ok(None);
        }
        // A store that can only be read is good for what is in it.
        if let Err(error) = touch(&folder) {
            tracing::debug!(%error, "when an environment was used is not written down");
        }
        Ok(Some(Found { id: id.to_owned(), folder, ready, lease, outcome }))
    }

    /// Waits for everybody who works on the same; says for whom.
    fn queue(&self, name: &str, asker: &Asker<'_>) -> Result<FileLock, PythonError> {
        let path = self.lock(name);
        let waiting = || {
            let holder = fs::read_to_string(&path).unwrap_or_default();
            let holder = if holder.is_empty() { "another task" } else { holder.trim() };
            (asker.progress)(&format!("waiting for {holder}, which builds the same environment"));
        };
        let lock = FileLock::acquire(&path, asker.commands, waiting)?;
        // For people alone: what it says while nobody holds the lock means nothing.
        let _ = fs::write(&path, format!("task {} (process {})\n", asker.task, std::process::id()));
        Ok(lock)
    }

    /// Takes what is left of an earlier build out of the way first: whoever still writes into it, writes elsewhere.
    fn discard(&self, folder: &Path) -> Result<(), PythonError> {
        super::folder::doom(folder, &self.doomed())?.map_or(Ok(()), |doomed| super::remove(&doomed))
    }

    /// Evicts what the limits ask for. A failure is no reason for a task to fail.
    fn make_room(&self, asker: &Asker<'_>) {
        match self.evict(&asker.limits) {
            Ok(pruned) if pruned.environments.is_empty() => {}
            Ok(pruned) => {
                (asker.progress)(&format!("{} environments that were not in use made room", pruned.environments.len()));
            }
            Err(error) => tracing::warn!(%error, "environments are not evicted"),
        }
        // Input files of a killed build may hold secrets.
        if let Err(error) = self.sweep() {
            tracing::warn!(%error, "remains of broken builds are not removed");
        }
    }

    /// Writes down how a task came to its environment. For people: a failure is no reason for the task to fail.
    pub(crate) fn note(
        &self,
        task: &str,
        question: &Question,
        outcome: Outcome,
        environment: &str,
        nearest: Option<Nearest>,
    ) {
        if task.is_empty() {
            return;
        }
        let (task, environment) = (task.to_owned(), environment.to_owned());
        let record = TaskRecord { task, time: now(), question: question.clone(), outcome, environment, nearest };
        if let Err(error) = record::write(&self.task(&record.task), &record) {
            tracing::warn!(%error, "the way to the environment is not recorded");
        }
    }

    /// Of all environments that are there, the one whose question differs least from this one.
    pub(crate) fn nearest(&self, question: &Question) -> Option<Nearest> {
        let paths = record::entries(&self.root.join("asked")).unwrap_or_default();
        let asked = paths.iter().filter_map(|path| record::read::<Asked>(path));
        let there = asked.filter(|asked| self.folder(&asked.environment).join(READY_FILE).exists());
        let compared = there.map(|asked| (question.difference(&asked.question), asked));
        let least = compared.filter(|(difference, _)| difference.count() > 0);
        let (difference, asked) = least.min_by_key(|(difference, _)| difference.count())?;
        Some(Nearest { environment: asked.environment, task: asked.task, difference })
    }
}

fn sentence(nearest: &Nearest) -> String {
    let Difference { here, there } = &nearest.difference;
    let list = |lines: &[String]| match lines {
        [] => "nothing".to_owned(),
        lines if lines.len() > 3 => format!("{} and {} more", lines[..3].join(", "), lines.len() - 3),
        lines => lines.join(", "),
    };
    format!("no environment for this yet; the nearest one has {} instead of {}", list(there), list(here))
}

fn gone(folder: &Path) -> PythonError {
    PythonError::io("lock", folder)(std::io::ErrorKind::NotFound.into())
}
