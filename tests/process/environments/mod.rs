//! The table of environments: every row is a task as a user of ClearML may have it, run by the daemon for real, with
//! what must come of it. The rows of one file share a server and a daemon. A program prints what matters in lines that
//! begin with `OUT `.
//!
//! Rows named `defect NN` are things that the stock agent does wrong. Where the others of its twenty are:
//!
//! | defect | where |
//! |---|---|
//! | 01, 06, 18 | `packages`: leaks between tasks, Cython, `pip<20`, `python3.1` |
//! | 02 | `managers`: uv the second time, uv without a project |
//! | 03, 08 | `arguments`: URLs, variables, addresses, search paths |
//! | 04, 05 | `packages`: editable folders with an egg; hashes, continuations, `-c`, `--pre` |
//! | 07, 14 | `scripts`: shell texts of many lines; scripts in folders, scripts that exist |
//! | 09, 20 | `code`: the user's configuration of git; one mirror for each repository, and its limits in `drivers` |
//! | 10 | the store of environments and its tests in `drivers` |
//! | 11 | `packages`: the machine's packages are not the task's |
//! | 12 | `torch`: an index that cannot be reached |
//! | 13 | `crate::abort`: SIGTERM, and time to answer it |
//! | 15, 16 | nothing here builds images or drives Kubernetes |
//! | 17 | `crate::crash`: what a dead daemon or executor left behind is found and ended |
//! | 19 | `credentials`: a password with `$(…)` in it |

mod arguments;
mod beside;
mod changes;
mod code;
mod conda;
mod credentials;
mod managers;
mod packages;
mod row;
mod scripts;
mod ssh;
mod torch;
