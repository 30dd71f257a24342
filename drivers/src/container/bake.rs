//! From a container to an image.

use std::io::{self, Write};

use bollard::models::ContainerConfig;
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures::TryStreamExt as _;
use tokio::sync::mpsc;

use super::archive::{self, Packed};
use super::engine::Engine;
use super::error::EngineError;

const PIECE_BYTES: usize = 64 * 1024;
/// How many pieces wait for the engine at most.
const PIECES: usize = 16;

impl Engine {
    /// Puts files and folders into a container, whether it runs or not.
    pub fn upload(&self, id: &str, all: &[Packed<'_>]) -> Result<(), EngineError> {
        let what = "take the files of the task";
        let (pieces, arriving) = mpsc::channel::<Bytes>(PIECES);
        let arriving = futures::stream::unfold(arriving, |mut arriving| async move {
            let piece = arriving.recv().await?;
            Some((piece, arriving))
        });
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let sending = self.docker.upload_to_container(id, Some(options), bollard::body_stream(arriving));
        let (written, sent) = std::thread::scope(|scope| {
            let writing = scope.spawn(move || {
                let mut out = io::BufWriter::with_capacity(PIECE_BYTES, Pieces(pieces));
                archive::write(all, &mut out)
            });
            let sent = self.wait(what, sending);
            (writing.join().expect("packing does not panic"), sent)
        });
        // An engine that refuses makes the writing fail, too: its reason is the better one.
        sent?;
        written.map_err(|error| EngineError::Refused { what: what.to_owned(), status: 0, message: error.to_string() })
    }

    /// The content of a small file in a container, whether that runs or not; `None` where there is none.
    pub fn file(&self, id: &str, path: &str) -> Result<Option<Vec<u8>>, EngineError> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let pieces = self.docker.download_from_container(id, Some(options));
        let whole = pieces.try_fold(Vec::new(), |mut whole, piece| {
            whole.extend_from_slice(&piece);
            std::future::ready(Ok(whole))
        });
        match self.wait(format!("read {path} of the container"), whole) {
            Err(error) if error.is_not_found() => Ok(None),
            archive => Ok(archive::first_file(&archive?).map(<[u8]>::to_vec)),
        }
    }

    /// Makes an image of a container as it is, with an entry point of its own, which may be empty; the image's id.
    /// `changes` are instructions as a Dockerfile has them.
    pub fn commit(
        &self,
        id: &str,
        name: &str,
        entrypoint: &[String],
        changes: &[String],
    ) -> Result<String, EngineError> {
        let (repository, tag) = match name.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            Some(_) | None => (name, "latest"),
        };
        let (mut config, mut changes) = (ContainerConfig::default(), changes.to_vec());
        if self.is_podman()? {
            // It does not look at the configuration.
            let words = serde_json::to_string(entrypoint).expect("words are plain data");
            changes.push(format!("ENTRYPOINT {words}"));
        } else {
            // It takes an empty instruction for none, and the container's entry point for the image's then.
            config.entrypoint = Some(entrypoint.to_vec());
        }
        let options = CommitContainerOptionsBuilder::new().container(id).repo(repository).tag(tag).pause(false);
        let options = options.changes(&changes.join("\n")).build();
        let committing = self.docker.commit_container(options, config);
        Ok(self.wait(format!("make the image {name}"), committing)?.id)
    }
}

impl Engine {
    pub(super) fn is_podman(&self) -> Result<bool, EngineError> {
        let version = self.wait("say its version", self.docker.version())?;
        let components = version.components.unwrap_or_default();
        Ok(components.iter().any(|component| component.name.contains("Podman")))
    }
}

/// Hands over what is written.
struct Pieces(mpsc::Sender<Bytes>);

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Bytes::copy_from_slice(bytes));
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
