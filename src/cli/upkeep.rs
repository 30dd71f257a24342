//! What a server does on its own, from time to time.

use std::time::Duration;

use clap::Args;

/// When a server acts on its own. The flags can be set as variables too, which `up` hands to its server.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "What the server does on its own")]
pub(crate) struct UpkeepArgs {
    /// Stop tasks in progress of which nobody heard for so long; 0 never does
    #[arg(long, value_name = "SECONDS", env = "HOSTLER_TASK_SILENCE", default_value_t = 7200)]
    task_silence: u32,
    /// Time between two looks for such tasks
    #[arg(long, value_name = "SECONDS", env = "HOSTLER_TASK_SILENCE_CHECK", default_value_t = 900,
        value_parser = clap::value_parser!(u32).range(1..))]
    task_silence_check: u32,
    /// Days that statistics of queues and workers are kept
    #[arg(long, value_name = "DAYS", env = "HOSTLER_STATISTICS_DAYS", default_value_t = 30,
        value_parser = clap::value_parser!(u32).range(1..=36_500))]
    statistics_days: u32,
}

impl UpkeepArgs {
    /// The silence after which a task is stopped.
    pub(crate) fn task_silence(&self) -> Duration {
        Duration::from_secs(self.task_silence.into())
    }

    /// Time between two looks for silent tasks.
    pub(crate) fn task_silence_check(&self) -> Duration {
        Duration::from_secs(self.task_silence_check.into())
    }

    /// How long statistics are kept.
    pub(crate) fn statistics_retention(&self) -> Duration {
        Duration::from_secs(u64::from(self.statistics_days) * 86_400)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use server::ServerConfig;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        upkeep: UpkeepArgs,
    }

    #[test]
    fn the_defaults_are_those_of_the_server() {
        let (upkeep, server) = (Line::parse_from(["server"]).upkeep, ServerConfig::new("unused"));
        assert_eq!(upkeep.task_silence(), server.task_silence);
        assert_eq!(upkeep.task_silence_check(), server.task_silence_check);
        assert_eq!(upkeep.statistics_retention(), server.statistics_retention);
        assert!(Line::try_parse_from(["server", "--task-silence-check", "0"]).is_err());
    }
}
