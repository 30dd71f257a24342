//! What can go wrong between this machine and the API server.

use protocols::clearml::error::ApiError;
use protocols::ids::QueueId;

/// Why a call failed. Plain data: it may be cloned, kept and sent between actors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The settings cannot be used: a URL, a certificate file.
    #[error("cannot use the server settings: {why}")]
    Settings {
        /// What is wrong.
        why: String,
    },
    /// There are no credentials to log in with.
    #[error(
        "no credentials for the API server {url}: set api.credentials.access_key and secret_key in clearml.conf, \
         or CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY"
    )]
    NoCredentials {
        /// The server.
        url: String,
    },
    /// No connection could be made.
    #[error("cannot reach the API server {url}: {why}")]
    Unreachable {
        /// The server.
        url: String,
        /// The innermost cause.
        why: String,
    },
    /// The connection broke after the request was sent: it may or may not have been carried out.
    #[error("the connection to {url} broke: {why}")]
    Interrupted {
        /// The endpoint's URL.
        url: String,
        /// The innermost cause.
        why: String,
    },
    /// No answer in time: the request may or may not have been carried out.
    #[error("no answer from {url} within {seconds} s")]
    Timeout {
        /// The endpoint's URL.
        url: String,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The server, or a proxy before it, says that it cannot answer now.
    #[error("the API server {url} is not available (HTTP {status})")]
    Unavailable {
        /// The endpoint's URL.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// No encrypted connection could be made.
    #[error(
        "cannot make a secure connection to {url}: {why}; check api.verify_certificate (or \
         CLEARML_API_HOST_VERIFY_CERT) and whether the server speaks https"
    )]
    Tls {
        /// The server.
        url: String,
        /// The innermost cause.
        why: String,
    },
    /// The server does not know the credentials.
    #[error(
        "the API server {url} refuses the access key {access_key:?}: {why}; check api.credentials in clearml.conf, \
         or CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY"
    )]
    Credentials {
        /// The server.
        url: String,
        /// The key; never the secret.
        access_key: String,
        /// What the server said.
        why: String,
    },
    /// Somebody else answers at this address.
    #[error(
        "{url} is not a ClearML API server: it answered HTTP {status} {excerpt:?}; api.api_server must name the API \
         port (8008 on a default installation), not the web (8080) or the files port (8081)"
    )]
    NotClearMl {
        /// The endpoint's URL.
        url: String,
        /// HTTP status.
        status: u16,
        /// The first words of the answer, or its title.
        excerpt: String,
    },
    /// The server lives elsewhere.
    #[error("{url} redirects to {to}: set api.api_server to the address where the API server really is")]
    Redirected {
        /// The endpoint's URL.
        url: String,
        /// Where it points.
        to: String,
    },
    /// The server understood the call and refused it.
    #[error("{endpoint}: {error}")]
    Api {
        /// `service.action`.
        endpoint: String,
        /// Code, subcode and message.
        #[source]
        error: ApiError,
    },
    /// The call went well and its answer makes no sense.
    #[error("{endpoint} gave an answer that cannot be read: {why}")]
    Answer {
        /// `service.action`.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// No queue has this name or id.
    #[error("there is no queue {queue:?}{}", suggest(.suggestions))]
    NoSuchQueue {
        /// The name or id that was looked for.
        queue: String,
        /// Names of queues that exist, most similar first, at most ten.
        suggestions: Vec<String>,
    },
    /// Several queues have this name.
    #[error("the queue name {queue:?} is ambiguous, use one of the ids {}", join(.candidates))]
    AmbiguousQueue {
        /// The name that was looked for.
        queue: String,
        /// The queues that have it.
        candidates: Vec<QueueId>,
    },
}

impl ClientError {
    /// Whether the same call may succeed later without a person's help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Interrupted { .. } | Self::Timeout { .. } | Self::Unavailable { .. } => {
                true
            }
            Self::Api { error, .. } => is_transient_code(error.status, error.subcode),
            Self::Settings { .. }
            | Self::NoCredentials { .. }
            | Self::Tls { .. }
            | Self::Credentials { .. }
            | Self::NotClearMl { .. }
            | Self::Redirected { .. }
            | Self::Answer { .. }
            | Self::NoSuchQueue { .. }
            | Self::AmbiguousQueue { .. } => false,
        }
    }

    /// Whether the call may have been carried out although it failed.
    pub fn is_undecided(&self) -> bool {
        match self {
            Self::Interrupted { .. } | Self::Timeout { .. } | Self::Unavailable { .. } => true,
            Self::Api { error, .. } => error.status >= 500,
            Self::Settings { .. }
            | Self::NoCredentials { .. }
            | Self::Unreachable { .. }
            | Self::Tls { .. }
            | Self::Credentials { .. }
            | Self::NotClearMl { .. }
            | Self::Redirected { .. }
            | Self::Answer { .. }
            | Self::NoSuchQueue { .. }
            | Self::AmbiguousQueue { .. } => false,
        }
    }

    /// The server's refusal, if it was one.
    pub fn api(&self) -> Option<&ApiError> {
        match self {
            Self::Api { error, .. } => Some(error),
            Self::Settings { .. }
            | Self::NoCredentials { .. }
            | Self::Unreachable { .. }
            | Self::Interrupted { .. }
            | Self::Timeout { .. }
            | Self::Unavailable { .. }
            | Self::Tls { .. }
            | Self::Credentials { .. }
            | Self::NotClearMl { .. }
            | Self::Redirected { .. }
            | Self::Answer { .. }
            | Self::NoSuchQueue { .. }
            | Self::AmbiguousQueue { .. } => None,
        }
    }

    /// Whether the server refused with this code and subcode.
    pub fn is_api(&self, status: u16, subcode: u16) -> bool {
        self.api().is_some_and(|error| error.is(status, subcode))
    }

    /// Whether the task does not exist (any more).
    pub fn is_unknown_task(&self) -> bool {
        self.is_api(400, 101) || self.is_api(400, 130)
    }

    /// Whether the task's status, or a stop that was asked for, forbids the change.
    pub fn is_status_refused(&self) -> bool {
        self.is_api(400, 110)
    }
}

/// Codes of the API: too many requests, a lost race for a task's status (400/121), a server or store that is
/// down. Not: configuration (500/2, 500/3) and what is not implemented.
fn is_transient_code(status: u16, subcode: u16) -> bool {
    match (status, subcode) {
        (400, 121) | (429 | 502 | 503 | 504, _) => true,
        (500, 2 | 3 | 201 | 9999) => false,
        (500, _) => true,
        _ => false,
    }
}

fn suggest(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(", there are: {}", names.join(", ")) }
}

fn join(ids: &[QueueId]) -> String {
    ids.iter().map(QueueId::as_str).collect::<Vec<_>>().join(", ")
}
