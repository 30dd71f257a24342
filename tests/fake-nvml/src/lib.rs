//! A simulated `libnvidia-ml.so.1`: the C functions of NVIDIA's management library, answered from a scenario file.
//!
//! The file is called `scenario`, lies beside the library, and is read again whenever it changes, so that whoever
//! writes it steers a machine while programs look at it. `docs/gpus.md` has its format. Every card's name ends with
//! `(simulated)`.

#![expect(unsafe_code, reason = "C functions with the pointers of whoever calls them")]

mod api;
mod code;
mod division;
mod events;
mod layout;
mod library;
mod machine;
mod model;
mod scenario;
