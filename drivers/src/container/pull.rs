//! Pulls an image, and says how far it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt as _;

use super::credentials;
use super::engine::Engine;
use super::error::EngineError;

/// Time between two lines about a pull.
const LINE_INTERVAL: Duration = Duration::from_secs(3);
/// How soon a pull ends after it was stopped.
const STOP_CHECK: Duration = Duration::from_millis(100);

impl Engine {
    /// Pulls an image, with the credentials of `docker login`. Lines for people go to `progress`.
    pub fn pull(&self, image: &str, is_stopped: &dyn Fn() -> bool, progress: &dyn Fn(&str)) -> Result<(), EngineError> {
        let credentials = credentials::of(image).map_err(|why| {
            let message = format!("the credentials of its registry cannot be had: {why}");
            EngineError::Image { image: image.to_owned(), message }
        })?;
        let options = CreateImageOptionsBuilder::new().from_image(&tagged(image)).build();
        self.runtime.block_on(async {
            let mut news = std::pin::pin!(self.docker.create_image(Some(options), None, credentials));
            let mut layers = Layers::new(image);
            loop {
                let next = tokio::select! {
                    next = news.next() => next,
                    () = tokio::time::sleep(STOP_CHECK) => {
                        if is_stopped() {
                            return Err(EngineError::Stopped);
                        }
                        continue;
                    }
                };
                match next {
                    None => return Ok(()),
                    Some(Ok(info)) => {
                        if let Some(line) = layers.hear(info) {
                            progress(&line);
                        }
                    }
                    Some(Err(error)) => return Err(not_pulled(image, error)),
                }
            }
        })
    }
}

fn not_pulled(image: &str, error: bollard::errors::Error) -> EngineError {
    let error = EngineError::of(format!("pull {image}"), error);
    if let EngineError::Refused { message, .. } = error {
        return EngineError::Image { image: image.to_owned(), message };
    }
    error
}

/// The name with a tag: without one, every tag of the image would be pulled.
fn tagged(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

/// What is known of the layers.
struct Layers<'a> {
    image: &'a str,
    /// Bytes here, bytes in all, and whether it is done; by the layer's id.
    layers: BTreeMap<String, (i64, i64, bool)>,
    said: Instant,
}

impl<'a> Layers<'a> {
    fn new(image: &'a str) -> Self {
        Self { image, layers: BTreeMap::new(), said: Instant::now() }
    }

    /// Takes one piece of news in; a line now and then.
    fn hear(&mut self, info: CreateImageInfo) -> Option<String> {
        let status = info.status.unwrap_or_default();
        let Some(id) = info.id.filter(|_| !status.starts_with("Pulling from")) else {
            // The digest, and whether it is newer than what was here.
            return (status.starts_with("Digest") || status.starts_with("Status")).then_some(status);
        };
        let layer = self.layers.entry(id).or_default();
        let detail = info.progress_detail.unwrap_or_default();
        if status == "Downloading" {
            (layer.0, layer.1) = (detail.current.unwrap_or(0), detail.total.unwrap_or(layer.1));
        }
        if matches!(status.as_str(), "Download complete" | "Extracting") {
            layer.0 = layer.1;
        }
        layer.2 = matches!(status.as_str(), "Pull complete" | "Already exists");
        if self.said.elapsed() < LINE_INTERVAL {
            return None;
        }
        self.said = Instant::now();
        let sum = |of: fn(&(i64, i64, bool)) -> i64| self.layers.values().map(of).sum::<i64>();
        let megabytes = |bytes: i64| bytes / 1_000_000;
        Some(format!(
            "pulling {}: {} of {} layers, {} of {} MB",
            self.image,
            sum(|layer| i64::from(layer.2)),
            self.layers.len(),
            megabytes(sum(|layer| layer.0)),
            megabytes(sum(|layer| layer.1)),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest_and_no_other() {
        for (name, expected) in [
            ("ubuntu", "ubuntu:latest"),
            ("ubuntu:22.04", "ubuntu:22.04"),
            ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
            ("localhost:5000/a/b:1", "localhost:5000/a/b:1"),
            ("a@sha256:00", "a@sha256:00"),
        ] {
            assert_eq!(tagged(name), expected);
        }
    }

    #[test]
    fn layers_are_summed_and_said_now_and_then() {
        let mut layers = Layers::new("a:1");
        let news = |id: &str, status: &str, bytes: (i64, i64)| CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: Some(bollard::models::ProgressDetail { current: Some(bytes.0), total: Some(bytes.1) }),
            ..Default::default()
        };
        assert_eq!(layers.hear(news("x", "Downloading", (1_000_000, 4_000_000))), None);
        assert_eq!(layers.hear(news("y", "Already exists", (0, 0))), None);
        layers.said = Instant::now().checked_sub(LINE_INTERVAL).unwrap();
        let line = layers.hear(news("x", "Downloading", (2_000_000, 4_000_000)));
        assert_eq!(line.as_deref(), Some("pulling a:1: 1 of 2 layers, 2 of 4 MB"));
        let digest = CreateImageInfo { status: Some("Digest: sha256:0".into()), ..Default::default() };
        assert_eq!(layers.hear(digest).as_deref(), Some("Digest: sha256:0"));
    }
}
