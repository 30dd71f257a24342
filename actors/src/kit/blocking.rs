//! Work that blocks, beside the actors' thread.

/// Does something on a thread that may block; files and processes, which are handled without a panic.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("files and processes are handled without a panic")
}
