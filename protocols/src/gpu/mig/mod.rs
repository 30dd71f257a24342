//! Cards that are divided by hardware (MIG): sizes of instances, where they can be, and which to make.

#[cfg(test)]
mod exhaustive;
mod geometry;
mod plan;
mod profile;
mod record;

pub use geometry::{Geometry, Placed, Shape};
pub use plan::{Answer, Divided, Grant, Instance, Plan, Step, Wanted, plan};
pub use profile::{MigExtra, MigProfile, MigProfileError};
pub use record::{MadeError, decode, encode};
