//! The machine as if it were an image, for tests.

use std::ffi::OsString;

use protocols::container::init::LibcFlavour;

use crate::command::{CommandError, CommandLine, CommandRunner, Finished, ImageSite};

pub(super) struct InImage<'a> {
    pub(super) machine: &'a dyn CommandRunner,
    pub(super) libc: Option<LibcFlavour>,
}

impl CommandRunner for InImage<'_> {
    fn run(&self, command: CommandLine, output: &mut dyn FnMut(&str)) -> Result<Finished, CommandError> {
        self.machine.run(command, output)
    }

    fn variable(&self, name: &str) -> Option<OsString> {
        self.machine.variable(name)
    }

    fn is_stopped(&self) -> bool {
        self.machine.is_stopped()
    }

    fn image(&self) -> Option<ImageSite<'_>> {
        Some(ImageSite {
            id: "0123",
            name: "some/image",
            makes_venvs: true,
            libc: self.libc,
            made: None,
            here: self.machine,
        })
    }
}
