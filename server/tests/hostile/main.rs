//! Requests that nobody should send, by the hundred thousand: no panic, no answer of the server's own fault, no memory
//! without end, and a server that goes on as if nothing had been.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attack;
#[path = "../chance/mod.rs"]
mod chance;
mod request;
mod values;
mod wire;

use std::time::Duration;

use attack::{Attack, Until};

/// Requests of the test that always runs: through the whole router, without a socket.
const REQUESTS: u64 = 95_000;

/// And over sockets, where also the HTTP can be broken.
const WIRE_REQUESTS: u64 = 5_000;

/// The same requests every time; `make fuzz` takes others.
const SEED: u64 = 20_261_125;

/// Bytes of memory that a server with all its requests takes at most.
const MEMORY: usize = 1 << 30;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_hostile_requests_do_no_harm() {
    let attack = Attack::start(SEED).await;
    attack.in_process(Until::Requests(REQUESTS)).await;
    wire::attack(&attack, Until::Requests(WIRE_REQUESTS)).await;
    attack.finish(MEMORY).await;
}

/// `make fuzz`: as long as `HOSTLER_FUZZ_SECONDS` says, with the seed `HOSTLER_FUZZ_SEED` or a new one.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs as long as one likes: make fuzz"]
async fn fuzz() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let time = Duration::from_secs(number("HOSTLER_FUZZ_SECONDS").unwrap_or(60));
    let attack = Attack::start(number("HOSTLER_FUZZ_SEED").unwrap_or_else(now)).await;
    attack.in_process(Until::Passed(time * 4 / 5)).await;
    wire::attack(&attack, Until::Passed(time / 5)).await;
    attack.finish(2 * MEMORY).await;
}

/// Bodies that are small for what they hold, many at a time.
#[tokio::test(flavor = "multi_thread")]
async fn large_bodies_wait_for_their_share_of_the_memory() {
    let attack = Attack::start(SEED).await;
    let before = attack::peak_memory();
    attack.large_bodies(24, 40 << 20).await;
    let grown = attack::peak_memory().saturating_sub(before);
    assert!(grown < MEMORY + MEMORY / 2, "24 bodies of 40 MiB took {} MiB", grown >> 20);
    attack.finish(usize::MAX).await;
}

/// Filters and patterns that are slow on purpose, on rows that make them so.
#[tokio::test]
async fn no_filter_takes_a_second() {
    let attack = Attack::start(SEED).await;
    attack.slow_filters().await;
    attack.finish(usize::MAX).await;
}
