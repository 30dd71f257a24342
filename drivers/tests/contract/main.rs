//! What the agent relies on, said once and asked of both: the embedded server over real HTTP, and the fake that
//! the tests of the actors run against.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod queues;
mod tasks;
mod workers;
mod world;

/// Runs each of these scenarios in both worlds.
#[macro_export]
macro_rules! in_both_worlds {
    ($($scenario:ident),+ $(,)?) => {
        mod fake {
            $(#[tokio::test] async fn $scenario() { super::$scenario($crate::world::World::fake()).await; })+
        }
        mod embedded {
            $(#[tokio::test] async fn $scenario() { super::$scenario($crate::world::World::embedded().await).await; })+
        }
    };
}
