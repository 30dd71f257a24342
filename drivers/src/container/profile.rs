//! Profiles of seccomp: Docker is told the text of one, Podman the file that has it.

use std::io::Write as _;

use bollard::models::ContainerCreateBody;
use tempfile::NamedTempFile;

use super::engine::Engine;
use super::error::EngineError;

const OPTION: &str = "seccomp=";

impl Engine {
    /// Puts the texts of profiles into files where the engine wants these. They have to be there until it has made the
    /// container.
    pub(super) fn with_profiles(&self, body: &mut ContainerCreateBody) -> Result<Vec<NamedTempFile>, EngineError> {
        let options = body.host_config.as_mut().and_then(|host| host.security_opt.as_mut());
        let texts = options.into_iter().flatten().filter(|option| text(option).is_some());
        let texts: Vec<&mut String> = texts.collect();
        if texts.is_empty() || !self.is_podman()? {
            return Ok(Vec::new());
        }
        let failed = |error: std::io::Error| EngineError::Refused {
            what: "be given a profile of seccomp".to_owned(),
            status: 0,
            message: error.to_string(),
        };
        let in_file = |option: &mut String| {
            let mut file = NamedTempFile::new()?;
            file.write_all(text(option).unwrap_or_default().as_bytes())?;
            *option = format!("{OPTION}{}", file.path().display());
            Ok(file)
        };
        texts.into_iter().map(in_file).collect::<Result<_, _>>().map_err(failed)
    }
}

/// The text of a profile, where it is one and not the name of one.
fn text(option: &str) -> Option<&str> {
    let profile = option.strip_prefix(OPTION)?;
    (!matches!(profile, "unconfined" | "builtin") && !profile.starts_with('/')).then_some(profile)
}
