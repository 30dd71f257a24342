//! How the packages of tasks are chosen and installed: what `agent.package_manager` says.

use serde::{Deserialize, Serialize};

/// `agent.package_manager.type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackageManager {
    /// Requirement lines, of the task or of files; by uv where it can be had.
    #[default]
    Pip,
    /// A project of uv goes before requirement lines.
    Uv,
    /// A project of poetry goes before requirement lines.
    Poetry,
    /// conda, mamba or micromamba.
    Conda,
    /// Nothing is installed: the machine's interpreter as it is.
    None,
}

/// `agent.package_manager.pytorch_resolve`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TorchIndex {
    /// `pip` and `direct`: the index of PyTorch that fits the driver is one more index.
    #[default]
    Fitting,
    /// `none`: PyTorch is a package like any other.
    Ignored,
}

/// What `agent.package_manager` says. Lists of packages hold names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PackageSettings {
    /// `type`.
    pub manager: PackageManager,
    /// `force_repo_requirements_txt`: the task's own lines do not count.
    pub force_files: bool,
    /// `force_original_requirements`: the lines that the task was made with, not those of its last run.
    pub force_original: bool,
    /// `extra_pip_install_flags`, for every installation.
    pub extra_flags: Vec<String>,
    /// `priority_packages`: installed before the others.
    pub priority: Vec<String>,
    /// `priority_optional_packages`: likewise, and left out where they cannot be installed.
    pub priority_optional: Vec<String>,
    /// `post_packages`: installed after the others.
    pub post: Vec<String>,
    /// `post_optional_packages`: likewise, and left out where they cannot be installed.
    pub post_optional: Vec<String>,
    /// `pytorch_resolve`.
    pub torch: TorchIndex,
    /// `extra_index_url_template`: an index of PyTorch for one CUDA, with `{}` where its number goes.
    pub torch_index_template: Option<String>,
    /// `agent.cuda_version`, else what the driver serves, as `12.4`. Absent on a machine without a driver.
    pub cuda: Option<String>,
    /// `poetry_version`: what follows the name, as `==1.8.3` or `<2`.
    pub poetry_version: Option<String>,
    /// `poetry_install_extra_args`.
    pub poetry_arguments: Vec<String>,
    /// `poetry_files_from_repo_working_dir`: its files lie in the working directory, not in the root.
    pub poetry_in_working_dir: bool,
    /// `uv_sync_extra_args`.
    pub uv_arguments: Vec<String>,
    /// `uv_files_from_repo_working_dir`.
    pub uv_in_working_dir: bool,
    /// `uv_sync_locked_if_lock_file: false`: a lock file may be brought up to date at once.
    pub uv_unlocked: bool,
    /// `conda_channels`, first to last.
    pub conda_channels: Vec<String>,
}
