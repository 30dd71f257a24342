//! What people ask about the store.

use std::time::SystemTime;

use super::folder::Size;
use super::lease::is_leased;
use super::record::{self, Asked};
use super::{Nearest, Ready, Store, TaskRecord, last_used};
use crate::python::error::PythonError;

/// One environment.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// What was written down when it was built.
    pub ready: Ready,
    /// When it was used last.
    pub last_used: SystemTime,
    /// Whether a task uses it at this moment.
    pub is_in_use: bool,
    /// Files, byte code included.
    pub files: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Bytes on disk that its removal would free: files with another name elsewhere (another environment, the
    /// installer's cache) are not among them.
    pub own_bytes: u64,
}

/// Why a task has, or had, to wait for its environment.
#[derive(Clone, Debug)]
pub struct Why {
    /// What happened when the task was last prepared here.
    pub record: TaskRecord,
    /// The environment that the same question would get now, if it is there.
    pub now: Option<String>,
    /// Where it is not there, the nearest one that is.
    pub nearest_now: Option<Nearest>,
}

impl Store {
    /// All environments, those used last first.
    pub fn list(&self) -> Result<Vec<Entry>, PythonError> {
        let ids = record::entries(&self.built())?;
        let ids = ids.iter().filter_map(|folder| folder.file_name()).map(|name| name.to_string_lossy().into_owned());
        let mut entries: Vec<Entry> = ids.filter_map(|id| self.entry(&id)).collect();
        entries.sort_by(|one, other| (other.last_used, &one.id).cmp(&(one.last_used, &other.id)));
        Ok(entries)
    }

    /// One environment.
    pub fn entry(&self, id: &str) -> Option<Entry> {
        let ready = self.ready(id)?;
        let folder = self.folder(id);
        let size = Size::of(&folder);
        Some(Entry {
            id: id.to_owned(),
            ready,
            last_used: last_used(&folder),
            is_in_use: is_leased(&folder),
            files: size.files,
            bytes: size.bytes,
            own_bytes: size.own_bytes,
        })
    }

    /// Ids of environments that begin so.
    pub fn find(&self, start: &str) -> Result<Vec<String>, PythonError> {
        let ids = record::entries(&self.built())?;
        let ids = ids.iter().filter_map(|folder| folder.file_name()).map(|name| name.to_string_lossy().into_owned());
        Ok(ids.filter(|id| id.starts_with(start) && self.ready(id).is_some()).collect())
    }

    /// How a task came to its environment; `None` if it was never prepared here.
    pub fn why(&self, task: &str) -> Option<Why> {
        let record: TaskRecord = record::read(&self.task(task))?;
        let asked = record::read::<Asked>(&self.asked(&record.question.key()));
        let now = asked.map(|asked| asked.environment).filter(|id| self.ready(id).is_some());
        let nearest_now = if now.is_none() { self.nearest(&record.question) } else { None };
        Some(Why { record, now, nearest_now })
    }

    /// Tasks whose last preparation used an environment.
    pub fn tasks_of(&self, id: &str) -> Result<Vec<TaskRecord>, PythonError> {
        let records = record::entries(&self.root.join("tasks"))?;
        let records = records.iter().filter_map(|path| record::read::<TaskRecord>(path));
        let mut tasks: Vec<TaskRecord> = records.filter(|task| task.environment == id).collect();
        tasks.sort_by_key(|task| std::cmp::Reverse(task.time));
        Ok(tasks)
    }
}
