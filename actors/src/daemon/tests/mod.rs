//! The whole actor tree over a fake server, a real journal and real sockets. The executors are played by the tests.

mod one_task;
pub(super) mod panics;
mod rig;
mod scenarios;
