//! The functions, by what they are about. Each does what NVIDIA's document of the same name says.

mod division;
mod events;
mod gpm;
mod health;
mod identity;
mod load;
mod mig;
mod process;
mod system;
mod topology;
