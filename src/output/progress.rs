//! What a person sees while something takes long.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};

use super::note;

/// A spinner on a terminal, plain lines elsewhere; both on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    spinner: Option<ProgressBar>,
}

impl Progress {
    /// Starts with what is being done.
    pub(crate) fn start(doing: &str) -> Self {
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
        let spinner = is_terminal.then(|| {
            let spinner = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        let progress = Self { spinner };
        progress.say(doing);
        progress
    }

    /// Says what is being done now.
    pub(crate) fn say(&self, doing: &str) {
        match &self.spinner {
            Some(spinner) => spinner.set_message(doing.to_owned()),
            None => note(doing),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}
