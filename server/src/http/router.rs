//! The router: the same on all three ports, but for what a path means that is not of the API.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use axum::response::Html;
use axum::response::IntoResponse as _;
use axum::routing::any;
use futures::FutureExt as _;
use protocols::clearml::envelope::EndpointMeta;
use protocols::clearml::error::ApiError;
use tower::ServiceExt as _;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::{AllowHeaders, AllowMethods, AllowOrigin, CorsLayer};

use super::answer::{CallMeta, invalid_path, unsupported_encoding};
use super::endpoints::{self, Access, Endpoint};
use super::intake::Intake;
use super::path::{self, ApiPath};
use super::{Answer, Call, body, health};
use crate::auth::{self, Caller, Source};
use crate::services;
use crate::state::State;

/// Bytes of an answer that fit into one packet: to compress them saves nothing.
const SMALL_ANSWER: u64 = 1400;

/// Which port a request came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// The API.
    Api,
    /// Where a browser looks first.
    Web,
    /// Uploads and downloads.
    Files,
}

#[derive(Clone, Debug)]
struct Front {
    state: State,
    port: Port,
    api: Router,
    files: Router,
}

/// What a call is answered with.
#[derive(Clone, Debug)]
struct Backend {
    state: State,
    intake: Intake,
}

/// Makes the router of one port. All ports share one `intake`.
pub(crate) fn router(state: &State, intake: Intake, port: Port) -> Router {
    let backend = Backend { state: state.clone(), intake };
    let compression = CompressionLayer::new().compress_when(SizeAbove::new(SMALL_ANSWER));
    let api = Router::new().fallback(any(call)).layer(compression).with_state(backend);
    let front = Front { state: state.clone(), port, api, files: services::files::router(state.clone()) };
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::mirror_request())
        .allow_methods(AllowMethods::mirror_request())
        .allow_headers(AllowHeaders::mirror_request())
        .allow_credentials(true);
    Router::new().fallback(any(enter)).with_state(front).layer(cors)
}

async fn enter(axum::extract::State(front): axum::extract::State<Front>, request: Request<Body>) -> Response<Body> {
    let mut response = front.route(request).await;
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static("clearml"));
    response
}

impl Front {
    async fn route(&self, mut request: Request<Body>) -> Response<Body> {
        if let Some(encoding) = request.headers().get(header::CONTENT_ENCODING) {
            return unsupported_encoding(encoding.to_str().unwrap_or_default());
        }
        if self.port != Port::Files && health::is_health(request.method(), request.uri().path()) {
            let source = Source::of_request(request.headers(), request.extensions());
            let (parts, _body) = request.into_parts();
            return health::answer(&self.state, parts.uri.path(), &parts.headers, source).await;
        }
        if self.port == Port::Web {
            if matches!(request.uri().path(), "/" | "/index.html") {
                return self.page().into_response();
            }
            strip_api_prefix(&mut request);
        }
        let path = request.uri().path();
        if self.is_api(request.method(), path) {
            let Ok(response): Result<_, Infallible> = self.api.clone().oneshot(request).await;
            return response;
        }
        let (began, name) = (Instant::now(), file_operation(request.method()));
        let Ok(response): Result<_, Infallible> = self.files.clone().oneshot(request).await;
        self.state.requests.observe(name, response.status().as_u16(), began.elapsed());
        response
    }

    /// Whether the path is meant for the API. A file may be called `model.pkl`, so on the files port only a
    /// known service counts; the API port answers what is neither with an envelope, as clients expect.
    fn is_api(&self, method: &Method, path: &str) -> bool {
        let named = path::parse(path);
        match self.port {
            Port::Files => named.is_some_and(|named| services::NAMES.contains(&&*named.service)),
            Port::Web | Port::Api if named.is_some() => true,
            Port::Web | Port::Api => {
                let upload = *method == Method::POST && path == "/";
                let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
                let versioned =
                    first.starts_with('v') && path.rsplit('/').next().is_some_and(|last| last.contains('.'));
                let nested = path.trim_matches('/').contains('/') && !versioned;
                !(upload || nested || path == "/delete_many")
            }
        }
    }

    fn page(&self) -> Html<String> {
        Html(format!(
            "<!doctype html><meta charset=\"utf-8\"><title>Hostler</title><h1>Hostler</h1>\
             <p>The ClearML-compatible API is at <code>{}</code>, files are at <code>{}</code>.</p>\
             <p>Put these and your credentials into <code>clearml.conf</code>; the command line shows what there \
             is: <code>hostler task list</code>.</p>",
            self.state.api_url, self.state.files_url
        ))
    }
}

/// What is done with a file, for metrics.
fn file_operation(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "files.download",
        Method::POST | Method::PUT => "files.upload",
        Method::DELETE => "files.delete",
        _ => "files.other",
    }
}

fn strip_api_prefix(request: &mut Request<Body>) {
    let Some(path_and_query) = request.uri().path_and_query() else { return };
    let Some(rest) = path_and_query.as_str().strip_prefix("/api/") else { return };
    if let Ok(uri) = format!("/{rest}").parse::<Uri>() {
        *request.uri_mut() = uri;
    }
}

async fn call(axum::extract::State(backend): axum::extract::State<Backend>, request: Request<Body>) -> Response<Body> {
    let began = Instant::now();
    let mut meta = CallMeta::new(either_header(request.headers(), "x-clearml-trx", "x-trains-trx"));
    let work = AssertUnwindSafe(answer(&backend, &mut meta, request)).catch_unwind().await;
    // The panic is reported by the panic hook.
    let answer = work.unwrap_or_else(|_| Err(ApiError::internal("the call failed unexpectedly", &[])));
    if let Err(error) = &answer
        && error.status >= 500
    {
        tracing::error!(endpoint = meta.endpoint.name, id = meta.id, %error, "call failed");
    }
    let code = answer.as_ref().map_or_else(|error| error.status, |_| 200);
    // Only endpoints that exist have a name of their own: there are as many series as endpoints, whatever is asked for.
    let name = meta.endpoint.actual_version.map_or("unknown", |_| meta.endpoint.name.as_str());
    backend.state.requests.observe(name, code, began.elapsed());
    tracing::debug!(endpoint = meta.endpoint.name, code, took = ?began.elapsed(), "call");
    meta.respond(answer, backend.state.api_url.starts_with("https:"))
}

async fn answer(
    Backend { state, intake }: &Backend,
    meta: &mut CallMeta,
    request: Request<Body>,
) -> Result<Answer, ApiError> {
    let path = request.uri().path();
    let Some(ApiPath { version, service, action }) = path::parse(path) else { return Err(invalid_path(path)) };
    let version = version.unwrap_or(endpoints::NEWEST);
    let name = format!("{service}.{action}");
    meta.endpoint = EndpointMeta { name: name.clone(), requested_version: Some(version), actual_version: None };
    let unknown = || ApiError::new(404, 0, format!("Unable to find endpoint for name {name} and version {version}"));
    let endpoint = endpoints::find(&name).ok_or_else(unknown)?;
    let form = endpoint.form(version).ok_or_else(unknown)?;
    let source = Source::of_request(request.headers(), request.extensions());
    let caller = caller_of(state, endpoint, request.headers(), source).await?;
    meta.endpoint.actual_version = Some(form);

    let (parts, body) = request.into_parts();
    let taken = intake.read(&parts.headers, body, caller.is_some()).await?;
    // Held until the call is over.
    let _room = intake.room_for(&taken.bytes).await?;
    let content = body::read(&parts.headers, parts.uri.query(), &taken.bytes)?;
    drop(taken);
    let call = Call {
        endpoint: name.clone(),
        version,
        body: content.fields,
        lines: content.lines,
        caller: caller.as_ref().map(|caller| caller.identity.clone()),
        proof: caller.map(|caller| caller.proof),
        worker: either_header(&parts.headers, "x-clearml-worker", "x-trains-worker").map(str::to_owned),
        ip: ip_of(&parts.headers, parts.extensions.get::<ConnectInfo<SocketAddr>>()),
        source,
    };
    match services::dispatch(state, &service, &action, call).await {
        Some(answer) => answer,
        None => {
            meta.endpoint.actual_version = None;
            Err(unknown())
        }
    }
}

/// Who calls, if that may call this endpoint; nobody where the endpoint needs nobody.
async fn caller_of(
    state: &State,
    endpoint: &Endpoint,
    headers: &HeaderMap,
    source: Source,
) -> Result<Option<Caller>, ApiError> {
    let caller = match state.authority.identify_call(headers, source).await {
        Ok(caller) => caller,
        Err(_) if endpoint.access == Access::Open => return Ok(None),
        Err(error) => return Err(error),
    };
    let check = |caller: &Caller| {
        let role = &caller.identity.role;
        let is_allowed = endpoint.access != Access::Admin || auth::manages(role);
        let refused = || ApiError::role_not_allowed("", &[("endpoint", &endpoint.name), ("role", role)]);
        is_allowed.then_some(()).ok_or_else(refused)
    };
    check(&caller)?;
    let caller = state.authority.impersonate(caller, headers)?;
    check(&caller)?;
    Ok(Some(caller))
}

fn either_header<'a>(headers: &'a HeaderMap, name: &'static str, older: &'static str) -> Option<&'a str> {
    let get = |name| headers.get(HeaderName::from_static(name)).and_then(|value| value.to_str().ok());
    get(name).or_else(|| get(older))
}

fn ip_of(headers: &HeaderMap, peer: Option<&ConnectInfo<SocketAddr>>) -> Option<IpAddr> {
    let forwarded = ["x-forwarded-for", "x-real-ip"].into_iter().find_map(|name| {
        let value = headers.get(name)?.to_str().ok()?;
        value.split(',').next()?.trim().parse().ok()
    });
    forwarded.or_else(|| peer.map(|ConnectInfo(address)| address.ip()))
}
