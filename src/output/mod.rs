//! What commands print: results on standard output, everything about them on standard error.

mod progress;
mod shell;
mod size;
mod table;
mod time;

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

use crate::exit::OutputClosed;

pub(crate) use progress::Progress;
pub(crate) use shell::quote;
pub(crate) use size::readable;
pub(crate) use table::Table;
pub(crate) use time::{Age, local_time};

/// Standard output in the form that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Machine-readable.
    pub(crate) json: bool,
}

impl Output {
    /// Prints one line.
    pub(crate) fn line(self, text: &str) -> anyhow::Result<()> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Prints as it is.
    pub(crate) fn bytes(self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| {
            if error.kind() == std::io::ErrorKind::BrokenPipe {
                anyhow::Error::new(OutputClosed)
            } else {
                anyhow::Error::new(error).context("cannot write to standard output")
            }
        })
    }

    /// Prints one JSON document on one line.
    pub(crate) fn document(self, value: &Value) -> anyhow::Result<()> {
        self.line(&value.to_string())
    }

    /// Prints the document, or the table, whichever was asked for.
    pub(crate) fn table(self, value: &Value, table: &Table) -> anyhow::Result<()> {
        if self.json {
            self.document(value)
        } else {
            self.bytes(table.render(std::io::stdout().is_terminal()).as_bytes())
        }
    }

    /// Prints the document, or the text, whichever was asked for.
    pub(crate) fn either(self, value: &Value, text: &str) -> anyhow::Result<()> {
        if self.json { self.document(value) } else { self.line(text) }
    }
}

/// Tells a person something beside the result.
pub(crate) fn note(text: &str) {
    // Nobody is left to be told when standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}
