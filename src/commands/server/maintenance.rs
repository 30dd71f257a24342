//! `hostler server backup`, `restore`, `check`, `prune`.

use std::path::Path;

use server::maintenance::{
    self, BackupOptions, BackupReport, CheckReport, MaintenanceError, PruneOptions, PruneReport, RestoreReport,
};

use super::super::context::Context;
use crate::cli::{BackupArgs, ByteSize, PruneArgs, RestoreArgs};
use crate::exit::{Exit, Problem};
use crate::output::readable;

/// Copies what a server has.
pub(super) fn backup(context: &Context, data_dir: &Path, args: &BackupArgs) -> anyhow::Result<Exit> {
    let options = BackupOptions { with_files: args.with_files, replace: args.force };
    let report = maintenance::backup(data_dir, &args.target, options).map_err(|error| {
        if matches!(error, MaintenanceError::Exists { .. }) {
            return Problem::refused(format!("{error}; --force replaces it"));
        }
        problem(&error)
    })?;
    context.output.either(&serde_json::to_value(&report)?, &backup_text(&report))?;
    Ok(Exit::Success)
}

fn backup_text(report: &BackupReport) -> String {
    let (path, size) = (report.backup.display(), readable(report.database_bytes));
    match (report.files, report.file_bytes) {
        (Some(files), Some(bytes)) => {
            format!("{path}: the database ({size}) and {files} uploaded files ({})", readable(bytes))
        }
        _ => format!("{path}: the database ({size}), without the uploaded files"),
    }
}

/// Puts a backup in place.
pub(super) fn restore(context: &Context, data_dir: &Path, args: &RestoreArgs) -> anyhow::Result<Exit> {
    let report = maintenance::restore(data_dir, &args.backup).map_err(|error| problem(&error))?;
    context.output.either(&serde_json::to_value(&report)?, &restore_text(&report))?;
    Ok(Exit::Success)
}

fn restore_text(report: &RestoreReport) -> String {
    let mut text = format!("restored {}", report.database.display());
    if let Some(files) = report.files {
        text.push_str(&format!(" and {files} uploaded files"));
    }
    for previous in [&report.previous_database, &report.previous_files].into_iter().flatten() {
        text.push_str(&format!("\nwhat was there before is in {}", previous.display()));
    }
    text
}

/// Looks for what is wrong.
pub(super) fn check(context: &Context, data_dir: &Path) -> anyhow::Result<Exit> {
    let report = maintenance::check(data_dir).map_err(|error| problem(&error))?;
    context.output.either(&serde_json::to_value(&report)?, &check_text(&report))?;
    Ok(if report.is_clean { Exit::Success } else { Exit::Refused })
}

fn check_text(report: &CheckReport) -> String {
    let mut text = String::new();
    for found in &report.problems {
        text.push_str(&format!("{}: {} ({} times)\n", found.check, found.what, found.count));
        for example in &found.examples {
            text.push_str(&format!("  {example}\n"));
        }
    }
    let (files, size) = (report.files, readable(report.file_bytes));
    text.push_str(&match report.problems.len() {
        0 => format!("nothing is wrong; schema version {}, {files} uploaded files ({size})", report.schema_version),
        problems => format!("{problems} problems"),
    });
    if report.schema_version < report.newest_schema_version {
        text.push_str("\nonly the file itself was checked: its schema is of an older version; start the server once");
    }
    text
}

/// Removes what nobody needs.
pub(super) fn prune(context: &Context, data_dir: &Path, args: &PruneArgs) -> anyhow::Result<Exit> {
    let options = PruneOptions {
        events_older_than: args.events_older_than.map(|age| age.0),
        max_database_bytes: args.max_database_size.map(|ByteSize(bytes)| bytes),
        orphaned_files: args.orphaned_files,
        dry_run: args.dry_run,
    };
    let report = maintenance::prune(data_dir, options).map_err(|error| problem(&error))?;
    context.output.either(&serde_json::to_value(&report)?, &prune_text(&report))?;
    Ok(Exit::Success)
}

fn prune_text(report: &PruneReport) -> String {
    let verb = if report.dry_run { "would remove" } else { "removed" };
    let mut text = format!("{verb} the events of {} tasks", report.tasks.len());
    if !report.dry_run {
        text.push_str(&format!(" ({})", report.events));
    }
    let (files, size) = (report.files, readable(report.file_bytes));
    text.push_str(&format!("\n{verb} {files} files ({size}) in {} folders", report.folders.len()));
    for folder in &report.folders {
        text.push_str(&format!("\n  {folder}"));
    }
    let (before, after) = (readable(report.database_bytes_before), readable(report.database_bytes_after));
    text.push_str(&format!("\nthe database had {before} and has {after}"));
    if !report.dry_run && !report.space_was_given_back {
        text.push_str("; stop the server and prune again to give unused space back to the file system");
    }
    text
}

fn problem(error: &MaintenanceError) -> anyhow::Error {
    let exit = match error {
        MaintenanceError::InUse { .. } => Exit::Unavailable,
        MaintenanceError::Exists { .. } | MaintenanceError::NoBackup { .. } => Exit::Refused,
        MaintenanceError::NoDatabase { .. }
        | MaintenanceError::Open(_)
        | MaintenanceError::Database { .. }
        | MaintenanceError::File { .. } => Exit::Config,
    };
    Problem::with(exit, error.to_string())
}
