//! Which cards are divided here alone: of the daemons of this machine, only one gives out a card in parts.
//!
//! Cards of pinned workers are shared locks: whoever starts two workers on one card means it. A card whose tasks are
//! chosen by this daemon is locked for it alone, whatever server the other daemons serve.

use std::fs::{File, TryLockError};

use protocols::gpu::GpuCard;

use super::super::private_file;
use super::gpus::Share;
use super::slots;
use crate::exit::{Exit, Problem};

/// Locks on cards, held as long as this lives.
#[derive(Debug)]
pub(super) struct Cards {
    _locks: Vec<File>,
}

/// Takes the cards of these shares. Cards without an identity of their own cannot be told apart, simulated ones are
/// nobody's: neither is locked.
///
/// `divided` are cards in MIG mode of which instances are made here.
pub(super) fn take(shares: &[Share], divided: &[GpuCard], is_simulated: bool) -> anyhow::Result<Cards> {
    let mut locks = Vec::new();
    for card in divided.iter().filter(|_| !is_simulated) {
        locks.push(lock(card, true)?);
    }
    for share in shares.iter().filter(|_| !is_simulated) {
        let alone = matches!(share, Share::Dynamic { .. });
        for card in share.cards().iter().filter(|card| !card.id.as_str().starts_with("index:")) {
            locks.push(lock(card, alone)?);
        }
    }
    Ok(Cards { _locks: locks })
}

fn lock(card: &GpuCard, alone: bool) -> anyhow::Result<File> {
    let path = slots::lock_directory()?.join(format!("card-{}.lock", slots::file_name(card.id.as_str())));
    let file = private_file::append(&path)?;
    let locked = if alone { file.try_lock() } else { file.try_lock_shared() };
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let why = if alone { "serves it, so its tasks cannot be chosen here" } else { "divides it among tasks" };
            let index = card.index;
            Err(Problem::with(
                Exit::Unavailable,
                format!("GPU {index} ({}): another daemon on this machine {why}", card.id),
            ))
        }
        Err(TryLockError::Error(error)) => {
            Err(Problem::with(Exit::Config, format!("cannot lock {}: {error}", path.display())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card(name: &str) -> GpuCard {
        let id = format!("GPU-{name}-{}", std::process::id()).into();
        GpuCard { id, index: 3, name: String::new(), memory_bytes: 0 }
    }

    fn pinned(name: &str) -> Share {
        Share::AllGpus(vec![card(name)])
    }

    fn dynamic(name: &str) -> Share {
        Share::Dynamic { text: "3".to_owned(), cards: vec![card(name)] }
    }

    #[test]
    fn a_card_is_divided_by_one_daemon_alone() {
        let first = take(&[dynamic("a")], &[], false).unwrap();
        for other in [dynamic("a"), pinned("a")] {
            let error = take(&[other], &[], false).expect_err("it is taken").to_string();
            assert!(error.contains("GPU 3 (GPU-a-"), "{error}");
        }
        assert!(take(&[dynamic("b")], &[], false).is_ok());
        assert!(take(&[dynamic("a")], &[], true).is_ok(), "simulated cards are nobody's");
        drop(first);
        assert!(take(&[dynamic("a")], &[], false).is_ok());
    }

    #[test]
    fn pinned_workers_may_share_a_card() {
        let _first = take(&[pinned("c")], &[], false).unwrap();
        assert!(take(&[pinned("c")], &[], false).is_ok());
        assert!(take(&[dynamic("c")], &[], false).is_err());
    }
}
