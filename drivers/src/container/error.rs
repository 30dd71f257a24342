//! Why an engine did not do what it was asked for.

use std::path::PathBuf;

use protocols::failure::FailureClass;

/// What engines say where a container cannot be as it was asked for, whatever machine it is. There is no status for that:
/// Podman answers 500 to everything, and Docker to what it finds out only when the container starts.
const OF_ARGUMENTS: [&str; 24] = [
    "already in use",
    "already allocated",
    "duplicate mount",
    "failed to initialize journal",
    "failed to initialize logging driver",
    "gathering device information",
    "invalid",
    "is not supported",
    "network not found",
    "no matching entries in",
    "no such container",
    "no such file or directory",
    "no such volume",
    "not a directory",
    "not a shared mount",
    "not allowed",
    "requested cpus are not available",
    "rlimit",
    "seccomp profile",
    "storage-opt",
    "sysctl",
    "unable to set memory limit",
    "unknown capability",
    "unrecognized namespace mode",
];
/// What they say of themselves, though one of those may be in it.
const OF_ENGINES: [&str; 5] = ["executable file", "fork/exec", "containerd", "overlay", "no space left"];

fn is_about_arguments(message: &str) -> bool {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    says(&OF_ARGUMENTS) && !says(&OF_ENGINES)
}

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
            Self::Refused { message, .. } if is_about_arguments(message) => FailureClass::Environment,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// As Docker 20.10 and 26.1 and Podman 4.3 have said it.
    #[test]
    fn what_cannot_be_as_it_was_asked_for_is_not_the_machines_failure() {
        let class = |message: &str| {
            EngineError::Refused { what: "start the container".into(), status: 500, message: message.into() }.class()
        };
        for message in [
            "unable to find user nosuch: no matching entries in passwd file",
            "Unable to find group nosuch: no matching entries in group file",
            "error gathering device information while adding custom device \"/dev/x\": no such file or directory",
            "Decoding seccomp profile failed: invalid character 'n' looking for beginning of object key string",
            "invalid --security-opt 2: \"nosuch=1\"",
            "OCI runtime create failed: runc create failed: sysctl \"kernel.x\" is not in a separate kernel namespace",
            "Cannot mkdir: /etc/passwd is not a directory",
            "error during container init: error setting rlimits for ready process: error setting rlimit type 7",
            "path /tmp is mounted on / but it is not a shared mount",
            "container create: unable to find network with name or ID nosuch: network not found",
            "container create: looking up container to share ipc namespace with: no such container",
            "container create: \"CAP_NOSUCH\": unknown capability",
            "fill out specgen: /.hostler/link: duplicate mount destination",
            "fill out specgen: unrecognized namespace mode nosuch passed",
            "driver failed programming external connectivity: Bind for 0.0.0.0:80 failed: port is already allocated",
        ] {
            assert_eq!(class(message), FailureClass::Environment, "{message}");
        }
        for message in [
            "OCI runtime create failed: unable to start container process: unable to apply caps: operation not permitted",
            "fork/exec /usr/bin/runc: no such file or directory",
            "error creating overlay mount to /var/lib/docker/overlay2/a/merged: no such file or directory",
            "mkdir /var/lib/docker/a: no space left on device",
            "something that nobody has seen yet",
        ] {
            assert_eq!(class(message), FailureClass::Infrastructure, "{message}");
        }
    }
}
