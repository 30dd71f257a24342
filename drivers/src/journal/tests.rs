use std::io::{Seek, SeekFrom, Write};

use futures::future::join_all;
use protocols::ids::{AttemptId, QueueId, WorkerId};
use protocols::lifecycle::TaskEvent;

use super::*;

fn pulled() -> JournalRecord {
    JournalRecord::Pulled {
        worker: WorkerId::from("w"),
        queue: QueueId::from("q"),
        gpus: vec![],
        share: protocols::gpu::Share::WHOLE,
    }
}

fn started(attempt: u32) -> JournalRecord {
    JournalRecord::Event(TaskEvent::AttemptStarted(AttemptId(attempt)))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("state").join("journal.db")
    }

    fn open(&self) -> Journal {
        Journal::open(&self.path()).unwrap()
    }
}

#[tokio::test]
async fn what_was_appended_is_there_after_reopening() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    let task = TaskId::from("t1");
    let first = journal.append(task.clone(), pulled(), 1_000).await.unwrap();
    assert_eq!(journal.append(task.clone(), started(1), 2_000).await.unwrap(), first + 1);
    let entries = [
        JournalEntry { sequence: first, at_ms: 1_000, task: task.clone(), record: pulled() },
        JournalEntry { sequence: first + 1, at_ms: 2_000, task, record: started(1) },
    ];
    assert_eq!(journal.load().unwrap(), entries);
    drop(journal);
    assert_eq!(fixture.open().load().unwrap(), entries);
}

#[tokio::test]
async fn waiting_appends_share_a_commit_and_keep_the_order_of_the_calls() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    let appends: Vec<_> =
        (0..64).map(|number| journal.append(TaskId::new(format!("t{number}")), pulled(), number)).collect();
    let sequences: Vec<u64> = join_all(appends).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(sequences, (sequences[0]..).take(64).collect::<Vec<_>>());
    let times: Vec<i64> = journal.load().unwrap().into_iter().map(|entry| entry.at_ms).collect();
    assert_eq!(times, (0..64).collect::<Vec<_>>());
    assert!(journal.commits() < 64, "64 appends took {} commits", journal.commits());
}

#[test]
fn what_waits_while_the_disk_is_busy_is_one_commit() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    // A second connection holds the write lock, so that the writer cannot get ahead of the appends.
    let blocker = rusqlite::Connection::open(fixture.path()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let appends: Vec<_> = (0..64).map(|_| journal.append(TaskId::from("t"), pulled(), 0)).collect();
    blocker.execute_batch("COMMIT").unwrap();
    let results = block_on(join_all(appends));
    assert!(results.iter().all(Result::is_ok));
    assert!(journal.commits() <= 2, "the first and all the others: {} commits", journal.commits());
}

#[test]
fn an_append_that_nobody_waits_for_is_written_before_closing() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    drop(journal.append(TaskId::from("t"), pulled(), 0));
    drop(journal);
    assert_eq!(fixture.open().load().unwrap().len(), 1);
}

#[tokio::test]
async fn a_second_daemon_is_kept_out_and_told_of_the_first() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    let error = Journal::open(&fixture.path()).unwrap_err();
    assert!(matches!(error, JournalError::Locked { pid: Some(pid), .. } if pid == std::process::id().cast_signed()));
    let directory = fixture.path().parent().unwrap().display().to_string();
    assert!(error.to_string().contains(&directory), "{error}");
    drop(journal);
    fixture.open();
}

#[tokio::test]
async fn shipping_is_per_run_and_replaced() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    let task = TaskId::from("t");
    assert_eq!(journal.shipping(&task, 1).unwrap(), None);
    let intent = Some(ShipIntent { to: 20, first_timestamp_ms: 5, last_timestamp_ms: 7 });
    let first = Shipping { shipped: 10, intent, last_timestamp_ms: 4 };
    journal.put_shipping(&task, 1, first).await.unwrap();
    assert_eq!(journal.shipping(&task, 1).unwrap(), Some(first));
    assert_eq!(journal.shipping(&task, 2).unwrap(), None);
    let second = Shipping { shipped: 20, intent: None, last_timestamp_ms: 7 };
    journal.put_shipping(&task, 1, second).await.unwrap();
    drop(journal);
    assert_eq!(fixture.open().shipping(&task, 1).unwrap(), Some(second));
}

#[tokio::test]
async fn forgetting_leaves_later_runs_and_never_gives_a_number_again() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    let (a, b) = (TaskId::from("a"), TaskId::from("b"));
    let mut numbers = Vec::new();
    for task in [&a, &b, &a] {
        let number = journal.append(task.clone(), pulled(), 0).await.unwrap();
        journal.put_shipping(task, number, Shipping::default()).await.unwrap();
        numbers.push(number);
    }
    journal.forget_settled(std::slice::from_ref(&a), numbers[1]).await.unwrap();
    let left: Vec<_> = journal.load().unwrap().into_iter().map(|entry| entry.sequence).collect();
    assert_eq!(left, numbers[1..]);
    assert_eq!(journal.shipping(&a, numbers[0]).unwrap(), None);
    assert_eq!(journal.shipping(&a, numbers[2]).unwrap(), Some(Shipping::default()));
    journal.forget_settled(&[a.clone(), b], numbers[2]).await.unwrap();
    assert!(journal.load().unwrap().is_empty());
    drop(journal);
    assert_eq!(fixture.open().append(a, pulled(), 0).await.unwrap(), numbers[2] + 1);
}

#[tokio::test]
async fn two_journals_never_give_the_same_number() {
    let (one, other) = (Fixture::new(), Fixture::new());
    let mut numbers = Vec::new();
    for fixture in [&one, &other] {
        let journal = fixture.open();
        for _ in 0..2 {
            numbers.push(journal.append(TaskId::from("t"), pulled(), 0).await.unwrap());
        }
    }
    let distance = numbers[0].abs_diff(numbers[2]);
    assert!(distance > 1, "{numbers:?}");
}

#[tokio::test]
async fn a_journal_of_the_first_version_goes_on() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.path().parent().unwrap()).unwrap();
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute_batch(store::FIRST_TABLES).unwrap();
    connection.pragma_update(None, "application_id", store::APPLICATION_ID).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    let record = pulled().to_bytes();
    connection.execute("INSERT INTO entry (at_ms, task, record) VALUES (7, 't', ?1)", [record]).unwrap();
    drop(connection);
    let journal = fixture.open();
    let next = journal.append(TaskId::from("t"), started(1), 8).await.unwrap();
    let entries = journal.load().unwrap();
    assert_eq!(entries[0], JournalEntry { sequence: 1, at_ms: 7, task: TaskId::from("t"), record: pulled() });
    assert!(next > 1 && entries[1].sequence == next, "{entries:?}");
}

#[test]
fn the_schema_is_frozen() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    let columns = |table: &str| -> String {
        let mut statement = connection.prepare("SELECT name || ' ' || type FROM pragma_table_info(?1)").unwrap();
        let names = statement.query_map([table], |row| row.get::<_, String>(0)).unwrap();
        names.map(Result::unwrap).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(columns("entry"), "sequence INTEGER, at_ms INTEGER, task TEXT, record BLOB");
    assert_eq!(
        columns("shipping"),
        "task TEXT, pull INTEGER, shipped INTEGER, intent_to INTEGER, intent_first_ms INTEGER, \
         intent_last_ms INTEGER, last_ms INTEGER"
    );
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 2);
}

#[test]
fn the_files_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    let journal = fixture.open();
    block_on(journal.append(TaskId::from("t"), pulled(), 0)).unwrap();
    for entry in std::fs::read_dir(fixture.path().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", entry.path().display());
    }
}

/// A closed journal with enough entries for several pages.
async fn filled(fixture: &Fixture) {
    let journal = fixture.open();
    let appends: Vec<_> = (0..2_000).map(|number| journal.append(TaskId::from("t"), started(number), 0)).collect();
    assert!(join_all(appends).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_file_of_something_else_is_damaged() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.path().parent().unwrap()).unwrap();
    std::fs::write(fixture.path(), "this is a letter, not a database".repeat(64)).unwrap();
    let error = Journal::open(&fixture.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("journal.db"), "{error}");
}

#[tokio::test]
async fn another_programs_database_is_refused() {
    let fixture = Fixture::new();
    std::fs::create_dir_all(fixture.path().parent().unwrap()).unwrap();
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute_batch("CREATE TABLE x (y); PRAGMA user_version = 1;").unwrap();
    drop(connection);
    assert!(matches!(Journal::open(&fixture.path()), Err(JournalError::Damaged { .. })));
}

#[tokio::test]
async fn a_truncated_file_is_damaged() {
    let fixture = Fixture::new();
    filled(&fixture).await;
    let file = std::fs::OpenOptions::new().write(true).open(fixture.path()).unwrap();
    let length = file.metadata().unwrap().len();
    assert!(length > 16_384, "{length}");
    file.set_len(length / 2).unwrap();
    let error = Journal::open(&fixture.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn overwritten_pages_are_damage() {
    let fixture = Fixture::new();
    filled(&fixture).await;
    let mut file = std::fs::OpenOptions::new().write(true).open(fixture.path()).unwrap();
    file.seek(SeekFrom::Start(8_192)).unwrap();
    file.write_all(&[0xa5; 8_192]).unwrap();
    let error = Journal::open(&fixture.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_version_is_named() {
    let fixture = Fixture::new();
    drop(fixture.open());
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.pragma_update(None, "user_version", 7).unwrap();
    drop(connection);
    let error = Journal::open(&fixture.path()).unwrap_err();
    assert!(matches!(error, JournalError::Newer { found: 7, known: 2, .. }), "{error:?}");
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_named() {
    let fixture = Fixture::new();
    let journal = fixture.open();
    let number = journal.append(TaskId::from("t"), pulled(), 0).await.unwrap();
    let connection = rusqlite::Connection::open(fixture.path()).unwrap();
    connection.execute("UPDATE entry SET record = x'c1'", []).unwrap();
    let error = journal.load().unwrap_err();
    assert!(matches!(error, JournalError::Record { sequence, .. } if sequence == number), "{error:?}");
}

#[test]
fn an_unusable_directory_is_named() {
    let fixture = Fixture::new();
    let file = fixture.directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Journal::open(&file.join("journal.db")).unwrap_err();
    assert!(matches!(&error, JournalError::Io { path, .. } if path.starts_with(&file)), "{error:?}");
}

const CRASH_TEST_PATH: &str = "HOSTLER_TEST_JOURNAL_PATH";
const CRASH_TEST_AFTER: &str = "HOSTLER_TEST_JOURNAL_AFTER";

/// Runs in a process of its own, started by the test below; it does nothing otherwise.
#[test]
fn crash_point_process() {
    let Some(path) = std::env::var_os(CRASH_TEST_PATH) else { return };
    let options = match std::env::var_os(CRASH_TEST_AFTER) {
        Some(_) => JournalOptions { abort_after_append: Some(3), ..JournalOptions::default() },
        None => JournalOptions { abort_before_append: Some(3), ..JournalOptions::default() },
    };
    let journal = Journal::open_with(Path::new(&path), options).unwrap();
    let appends: Vec<_> = (0..5).map(|number| journal.append(TaskId::from("t"), started(number), 0)).collect();
    let _ = block_on(join_all(appends));
    unreachable!("the third append ends the process");
}

#[test]
fn crash_points_end_the_process_exactly_there() {
    use std::os::unix::process::ExitStatusExt;
    for (variable, expected) in [(None, 2), (Some(CRASH_TEST_AFTER), 3)] {
        let fixture = Fixture::new();
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "journal::tests::crash_point_process", "--nocapture"]);
        command.env(CRASH_TEST_PATH, fixture.path());
        if let Some(variable) = variable {
            command.env(variable, "1");
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.signal(), Some(6), "{}", String::from_utf8_lossy(&output.stderr));
        let left: Vec<_> = fixture.open().load().unwrap().into_iter().map(|entry| entry.record).collect();
        assert_eq!(left, (0..expected).map(started).collect::<Vec<_>>());
    }
}
