//! Pulls an image, and says how far it is.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::StreamExt as _;
use tokio::time::MissedTickBehavior;

use super::credentials;
use super::engine::Engine;
use super::error::EngineError;

/// Time between two lines about a pull.
const LINE_INTERVAL: Duration = Duration::from_secs(3);
/// How soon a pull ends after it was stopped.
const STOP_CHECK: Duration = Duration::from_millis(100);

impl Engine {
    /// Pulls an image, with the credentials of `docker login`: the one for `platform`, where that is said. Lines for
    /// people go to `progress`.
    pub fn pull(
        &self,
        image: &str,
        platform: Option<&str>,
        is_stopped: &dyn Fn() -> bool,
        progress: &dyn Fn(&str),
    ) -> Result<(), EngineError> {
        let credentials = credentials::of(image).map_err(|why| {
            let message = format!("the credentials of its registry cannot be had: {why}");
            EngineError::Image { image: image.to_owned(), message }
        })?;
        let mut options = CreateImageOptionsBuilder::new().from_image(&tagged(image));
        if let Some(platform) = platform {
            options = options.platform(platform);
        }
        let options = options.build();
        self.runtime.block_on(async {
            let mut news = std::pin::pin!(self.docker.create_image(Some(options), None, credentials));
            let mut layers = Layers::new(image);
            // Not a pause in the news: of many layers they come without one.
            let mut checks = tokio::time::interval(STOP_CHECK);
            checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                let next = tokio::select! {
                    biased;
                    _ = checks.tick() => {
                        if is_stopped() {
                            return Err(EngineError::Stopped);
                        }
                        continue;
                    }
                    next = news.next() => next,
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
    use std::cell::RefCell;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// How long an engine pulls that never comes to an end.
    const LONG: Duration = Duration::from_secs(20);

    /// Answers like an engine that has news of a pull without a pause; says what it was asked to pull.
    fn busy(connection: &UnixStream, asked: &Sender<String>) -> std::io::Result<()> {
        let mut lines = BufReader::new(connection).lines();
        while let Some(first) = lines.next().transpose()? {
            for header in lines.by_ref() {
                if header?.is_empty() {
                    break;
                }
            }
            let mut out = connection;
            if !first.contains("/images/create") {
                let version = r#"{"ApiVersion":"1.41"}"#;
                let length = version.len();
                write!(out, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{version}")?;
                continue;
            }
            // Nobody may wait for it.
            let _ = asked.send(first);
            write!(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let news = "{\"status\":\"Downloading\",\"id\":\"a\",\"progressDetail\":{\"current\":1,\"total\":9}}\n";
            let begun = Instant::now();
            while begun.elapsed() < LONG {
                write!(out, "{:x}\r\n{news}\r\n", news.len())?;
            }
            write!(out, "0\r\n\r\n")?;
        }
        Ok(())
    }

    #[test]
    fn a_pull_is_of_the_platform_that_is_wanted_and_is_stopped_amid_its_news() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("engine");
        let listener = UnixListener::bind(&socket).unwrap();
        let (sender, asked) = channel();
        // They end with their connections, or with the tests.
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || busy(&connection, &sender));
            }
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = runtime.enter();
        let engine = Engine::connect(&socket).unwrap();
        // A while after the request is there.
        let heard = RefCell::new(None);
        let is_stopped = || {
            let mut heard = heard.borrow_mut();
            if heard.is_none() {
                *heard = asked.try_recv().ok().map(|line: String| (line, Instant::now()));
            }
            heard.as_ref().is_some_and(|(_, at)| at.elapsed() > Duration::from_millis(300))
        };
        let pulled = engine.pull("a/b", Some("linux/arm64"), &is_stopped, &|_| {});
        assert!(matches!(pulled, Err(EngineError::Stopped)), "{pulled:?}");
        let (asked, _) = heard.take().unwrap();
        assert!(asked.contains("fromImage=a%2Fb%3Alatest") && asked.contains("platform=linux%2Farm64"), "{asked}");
    }

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
