//! What every process test needs: a place of its own, the programs under test, a client, and the audit at the end.

mod api;
mod audit;
mod daemon;
mod gate;
mod git_server;
mod place;
mod process;
mod python;
mod script;
mod server;
mod slow;
mod stock;
mod wait;

pub(crate) use api::Api;
pub(crate) use audit::{appended, audit, audit_state, check as check_journal, journal_of};
pub(crate) use daemon::Daemon;
pub(crate) use gate::Gate;
pub(crate) use git_server::GitServer;
pub(crate) use place::{Place, User};
pub(crate) use process::{Finished, ProcessExt, is_alive, kill};
pub(crate) use python::{
    base_python, git, git_commit_all, new_repository, package_index, python_environment, run_scenario,
    run_scenario_with, sdk_python, url_of_package,
};
pub(crate) use script::{Draft, lines_with};
pub(crate) use server::{Server, kept_ports, login_trusting, login_with, ready_line};
pub(crate) use slow::{slow_package, slow_source_package};
pub(crate) use stock::StockAgent;
pub(crate) use wait::{PATIENCE, eventually, eventually_some, within};
