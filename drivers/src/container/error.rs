//! Why an engine did not do what it was asked for.

use std::path::PathBuf;

use protocols::failure::FailureClass;

/// Why an engine did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Nobody listens there.
    #[error("no container engine answers at {}: is it running? (DOCKER_HOST names another socket)", socket.display())]
    Away {
        /// Where it was looked for.
        socket: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The socket may not be used by this user.
    #[error(
        "the socket of the container engine, {}, may not be used by this user: add the user to the group of the \
         socket, or use rootless Podman", socket.display()
    )]
    Permission {
        /// The socket.
        socket: PathBuf,
    },
    /// An address that is no local socket.
    #[error("{address} is not a socket of this machine: containers are started by unix:// only")]
    NotLocal {
        /// As it was configured.
        address: String,
    },
    /// It answered, and the answer is no.
    #[error("the container engine cannot {what}: {message}")]
    Refused {
        /// What it was asked for.
        what: String,
        /// HTTP status; 0 where the answer came within a stream.
        status: u16,
        /// Its own words.
        message: String,
    },
    /// It gives no container the GPUs that were asked for.
    #[error("the container engine does not give the task its GPUs: {message} ({advice})")]
    Gpus {
        /// Its own words.
        message: String,
        /// What somebody has to do on this machine.
        advice: String,
    },
    /// The connection broke, or the answer makes no sense.
    #[error("the container engine did not {what}")]
    Broken {
        /// What it was asked for.
        what: String,
        /// What went wrong.
        #[source]
        source: Box<bollard::errors::Error>,
    },
    /// No such image here, and it cannot be had.
    #[error("the image {image} cannot be had: {message}")]
    Image {
        /// Its name.
        image: String,
        /// The engine's, or the registry's, own words.
        message: String,
    },
    /// The task was stopped meanwhile.
    #[error("stopped")]
    Stopped,
}

impl EngineError {
    pub(super) fn of(what: impl Into<String>, error: bollard::errors::Error) -> Self {
        use bollard::errors::Error;
        let what = what.into();
        if let Error::DockerResponseServerError { status_code, message } = &error {
            return Self::Refused { what, status: *status_code, message: message.trim().to_owned() };
        }
        if let Error::DockerStreamError { error } = &error {
            return Self::Refused { what, status: 0, message: error.trim().to_owned() };
        }
        Self::Broken { what, source: Box::new(error) }
    }

    /// Whether what was named does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether something of that name, or in that state, is there already.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Whether the engine may do it when it is asked again: what is in the way is a state, not the request.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self, Self::Refused { status: 409 | 500.., .. })
    }

    /// Whether the engine may just be restarting.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. } | Self::Broken { .. })
    }

    /// Whose failure it is when a container cannot be made from what the task asks for.
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Image { .. } => FailureClass::Image,
            // Of what was asked for: a bad argument, a path that is not there, a program that is not in the image.
            Self::Refused { status: 400 | 404 | 409, .. } => FailureClass::Environment,
            // Podman has one status for everything.
            Self::Refused { message, .. } if message.contains("already in use") => FailureClass::Environment,
            Self::Refused { .. }
            | Self::Gpus { .. }
            | Self::Away { .. }
            | Self::Permission { .. }
            | Self::NotLocal { .. }
            | Self::Broken { .. } => FailureClass::Infrastructure,
            Self::Stopped => FailureClass::Aborted,
        }
    }
}
