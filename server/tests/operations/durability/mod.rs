//! A server that is killed with SIGKILL again and again under load: every write that was acknowledged is there after
//! the restart, and no operation is half there.

mod audit;
mod kill;
mod load;
mod model;
mod observe;
mod shared;
