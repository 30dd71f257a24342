//! The values of switches: from their texts into types.

pub(super) mod device;
pub(super) mod fields;
pub(super) mod gpus;
pub(super) mod mount;
pub(super) mod network;
pub(super) mod number;
pub(super) mod port;
pub(super) mod text;
pub(super) mod volume;
