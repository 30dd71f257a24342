//! Starting and stopping.

use std::fs::File;
use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::config::{ServerConfig, ServerError};
use crate::directories::Directories;
use crate::http::{self, Port};
use crate::serve::serve;
use crate::state::State;
use crate::store::{events, time_series};
use crate::tls::Tls;
use crate::watchdog::watchdog;

/// How often the use of credentials is written.
const CLERK_INTERVAL: Duration = Duration::from_secs(60);

/// Starts servers.
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Binds the ports, opens the store, and answers requests from then on, on the runtime of the caller.
    ///
    /// # Errors
    /// One [`ServerError`] that names the port, file or directory in the way; nothing is left running.
    pub async fn start(config: ServerConfig) -> Result<RunningServer, ServerError> {
        let api = bind("api", config.listen, config.api_port).await?;
        let web = bind("web", config.listen, config.web_port).await?;
        let files = bind("files", config.listen, config.files_port).await?;
        let tls = config.tls.clone().map(Tls::open).transpose()?;
        let address = Address::of(&config, tls.as_ref());
        let [api_url, web_url, files_url] = [&api, &web, &files].map(|(port, _)| address.url(*port));

        let directories = Directories::prepare(&config.data_dir)?;
        let (state, new_credentials) = State::open(&directories, &config, [&api_url, &files_url]).await?;
        let stopping = CancellationToken::new();
        let housekeeper = events::housekeeper(state.store.clone(), config.event_limits);
        let housekeeper = tokio::spawn(stopping.clone().run_until_cancelled_owned(housekeeper));
        let clerk = tokio::spawn(stopping.clone().run_until_cancelled_owned(clerk(state.clone())));
        let upkeep = futures::future::join(
            watchdog(state.store.clone(), config.task_silence, config.task_silence_check),
            time_series::trimmer(state.store.clone(), config.statistics_retention),
        );
        let upkeep = tokio::spawn(stopping.clone().run_until_cancelled_owned(upkeep));
        let intake = http::Intake::new();
        let api_router = http::router(&state, intake.clone(), Port::Api);
        let mut listeners = JoinSet::new();
        for ((_, listener), port) in [(api, Port::Api), (web, Port::Web), (files, Port::Files)] {
            let acceptor = tls.as_ref().map(Tls::acceptor);
            let router = http::router(&state, intake.clone(), port);
            listeners.spawn(serve(listener, acceptor, router, stopping.clone()));
        }
        if let Some(tls) = tls {
            let watch = stopping.clone().run_until_cancelled_owned(tls.watch());
            listeners.spawn(async move { watch.await.unwrap_or_default() });
        }
        tracing::info!(api = api_url, web = web_url, files = files_url, "server started");
        Ok(RunningServer {
            api_url,
            web_url,
            files_url,
            new_credentials,
            api_router,
            state,
            stopping,
            listeners,
            housekeeper,
            clerk,
            upkeep,
            stop_grace: config.stop_grace,
            _lock: directories.lock,
        })
    }
}

/// A server that answers requests until it is stopped.
#[derive(Debug)]
pub struct RunningServer {
    /// Where the API is.
    pub api_url: String,
    /// Where a browser is pointed at.
    pub web_url: String,
    /// Where files are uploaded to.
    pub files_url: String,
    /// Access key and secret made at the first start. The secret is not kept: this is the only time that it can
    /// be had.
    pub new_credentials: Option<(String, String)>,
    api_router: Router,
    state: State,
    stopping: CancellationToken,
    listeners: JoinSet<()>,
    housekeeper: JoinHandle<Option<()>>,
    clerk: JoinHandle<Option<()>>,
    upkeep: JoinHandle<Option<((), ())>>,
    stop_grace: Duration,
    _lock: File,
}

impl RunningServer {
    /// The API port without the port: a service for calls from within the process.
    pub fn in_process(&self) -> Router {
        self.api_router.clone()
    }

    /// Releases long-polls, finishes the requests in flight, closes the database. Requests that take more than
    /// [`ServerConfig::stop_grace`] are cut off.
    pub async fn stop(mut self) {
        self.state.signals.stop();
        self.stopping.cancel();
        let finished =
            tokio::time::timeout(self.stop_grace, async { while self.listeners.join_next().await.is_some() {} });
        if finished.await.is_err() {
            tracing::warn!("requests in flight were cut off");
            self.listeners.shutdown().await;
        }
        if let Err(error) = self.housekeeper.await {
            tracing::error!(%error, "the housekeeper of the events failed");
        }
        if let Err(error) = self.clerk.await {
            tracing::error!(%error, "the clerk of the credentials failed");
        }
        if let Err(error) = self.state.authority.tidy().await {
            tracing::warn!(%error, "when credentials were last used was not written");
        }
        if let Err(error) = self.upkeep.await {
            tracing::error!(%error, "the watchdog, or the trimmer of old statistics, failed");
        }
        self.state.store.close().await;
        tracing::info!("server stopped");
    }
}

/// Writes every now and then what the authority keeps in memory.
async fn clerk(state: State) {
    let mut ticks = tokio::time::interval(CLERK_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = state.authority.tidy().await {
            tracing::warn!(%error, "when credentials were last used cannot be written now");
        }
    }
}

async fn bind(purpose: &'static str, listen: IpAddr, port: u16) -> Result<(u16, TcpListener), ServerError> {
    let failed = |source| ServerError::Bind { purpose, listen, port, source };
    let listener = TcpListener::bind((listen, port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((address.port(), listener))
}
