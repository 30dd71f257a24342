//! Requests: mostly calls of real endpoints with strange contents, and some that are hardly requests.

use std::fmt;

use axum::body::Body;
use axum::http::{Method, Request, Uri};
use serde_json::{Map, Value, json};

use crate::chance::Rng;
use crate::values::{Known, filter, for_field, hostile, size};

/// One line of the list of endpoints.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: &'static str,
    /// Fields of a request, and whether they are required.
    pub(crate) fields: Vec<(&'static str, bool)>,
}

/// Every endpoint of the list that the server itself works by.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    let lines = include_str!("../../src/http/endpoints.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &'static str| {
        let columns: Vec<&str> = line.split('|').map(str::trim).collect();
        let fields = columns[3].split_whitespace();
        let fields = fields.map(|field| (field.trim_start_matches('*'), field.starts_with('*'))).collect();
        Endpoint { name: columns[0], fields }
    };
    lines.map(read).collect()
}

/// A request as it will be sent.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) method: &'static str,
    /// Path and query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl fmt::Debug for Sent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(600).collect();
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect();
        write!(formatter, "{} {:.300} {headers:?} {body}", self.method, self.target)
    }
}

impl Sent {
    /// As a request within the process; `None` when it cannot be said in one.
    pub(crate) fn request(&self) -> Option<Request<Body>> {
        let uri: Uri = self.target.parse().ok()?;
        let method: Method = self.method.parse().ok()?;
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in &self.headers {
            request = request.header(*name, value.as_slice());
        }
        request.body(Body::from(self.body.clone())).ok()
    }
}

/// Makes requests.
#[derive(Clone, Debug)]
pub(crate) struct Generator {
    pub(crate) endpoints: Vec<Endpoint>,
    /// `Authorization` of somebody who may do everything.
    pub(crate) authorization: String,
}

impl Generator {
    /// The next request.
    pub(crate) fn request(&self, rng: &mut Rng, known: &Known) -> Sent {
        let mut sent = match rng.below(100) {
            0..50 => self.call(rng, known),
            50..68 => self.search(rng, known),
            68..80 => self.events(rng, known),
            80..86 => self.query(rng, known),
            86..94 => self.path(rng),
            _ => self.form(rng),
        };
        if rng.chance(6) {
            damage(rng, &mut sent.body);
        }
        if rng.chance(8) {
            odd_header(rng, &mut sent.headers);
        }
        sent
    }

    fn to(&self, rng: &mut Rng, endpoint: &str) -> Sent {
        let version = rng.pick(&["", "/v2.23", "/v2.5", "/v2.13", "/v1.0", "/v999.0", "/v2.34", "/v10"]);
        let method = rng.pick(&["GET", "POST", "PUT", "DELETE", "PATCH", "GET", "GET"]);
        let headers = vec![
            ("authorization", self.authorization.clone().into_bytes()),
            ("content-type", b"application/json".to_vec()),
        ];
        Sent { method, target: format!("{version}/{endpoint}"), headers, body: Vec::new() }
    }

    /// A call of any endpoint with all of its fields, or some, and what does not belong there.
    fn call(&self, rng: &mut Rng, known: &Known) -> Sent {
        let endpoint = rng.pick(&self.endpoints);
        let mut body = Map::new();
        for (field, required) in &endpoint.fields {
            if rng.chance(if *required { 93 } else { 25 }) {
                body.insert((*field).to_owned(), for_field(rng, field, known));
            }
        }
        modest(rng, &endpoint.fields, &mut body);
        if rng.chance(10) {
            body.insert("unknown".to_owned(), hostile(rng));
        }
        // Nobody waits here.
        if endpoint.name.starts_with("hostler.wait") && body.get("timeout_seconds").is_none_or(|wait| wait != "x") {
            body.insert("timeout_seconds".to_owned(), json!(0));
        }
        Sent { body: Value::Object(body).to_string().into_bytes(), ..self.to(rng, endpoint.name) }
    }

    fn search(&self, rng: &mut Rng, known: &Known) -> Sent {
        let names = [
            "tasks.get_all",
            "tasks.get_all_ex",
            "models.get_all",
            "models.get_all_ex",
            "projects.get_all",
            "projects.get_all_ex",
            "queues.get_all",
            "queues.get_all_ex",
            "users.get_all",
            "reports.get_all_ex",
            "organization.get_entities_count",
        ];
        let name = rng.pick(&names);
        let page = [("page_size", false), ("size", false)];
        let mut search = filter(rng, known);
        modest(rng, &page, &mut search);
        let body = match *name {
            "organization.get_entities_count" => json!({"tasks": filter(rng, known), "projects": filter(rng, known)}),
            _ => Value::Object(search),
        };
        Sent { body: body.to_string().into_bytes(), ..self.to(rng, name) }
    }

    /// Json-lines with events that are right, wrong, or no JSON.
    fn events(&self, rng: &mut Rng, known: &Known) -> Sent {
        let fields = [
            "type",
            "task",
            "timestamp",
            "iter",
            "metric",
            "variant",
            "value",
            "msg",
            "url",
            "key",
            "plot_str",
            "values",
        ];
        let name = *rng.pick(&["events.add_batch", "events.add_batch", "tasks.update_batch", "events.add"]);
        let mut body = Vec::new();
        for _ in 0..rng.below(12) {
            let mut event = Map::new();
            for field in fields {
                if rng.chance(60) {
                    event.insert(field.to_owned(), for_field(rng, field, known));
                }
            }
            if rng.chance(10) {
                event.insert("allow_locked".to_owned(), hostile(rng));
                event.insert("model_event".to_owned(), hostile(rng));
            }
            let line = if rng.chance(3) { hostile(rng) } else { Value::Object(event) };
            body.extend_from_slice(line.to_string().as_bytes());
            body.extend_from_slice(rng.pick::<&[u8]>(&[b"\n", b"\r\n", b"\n\n", b" \n"]));
        }
        let mut sent = Sent { body, ..self.to(rng, name) };
        let types =
            [&b"application/json-lines"[..], b"application/json-lines; charset=utf-8", b"application/json", b"\xff"];
        sent.headers[1].1 = rng.pick(&types).to_vec();
        if rng.chance(70) {
            sent.headers[1].1 = types[0].to_vec();
        }
        sent
    }

    /// Fields in the query.
    fn query(&self, rng: &mut Rng, known: &Known) -> Sent {
        let endpoint = rng.pick(&self.endpoints).clone();
        let mut sent = self.to(rng, endpoint.name);
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        for (field, _) in endpoint.fields.iter().filter(|(field, _)| *field != "timeout_seconds") {
            let value = for_field(rng, field, known);
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            encoded.append_pair(field, text.chars().take(500).collect::<String>().as_str());
        }
        if rng.chance(20) {
            encoded.append_pair(&"a.".repeat(size(rng, 40, 3000)), "1");
        }
        if endpoint.name.starts_with("hostler.wait") {
            encoded.append_pair("timeout_seconds", "0");
        }
        sent.target = format!("{}?{}", sent.target, encoded.finish());
        sent
    }

    /// A path that is none, or nearly.
    fn path(&self, rng: &mut Rng) -> Sent {
        let endpoint = rng.pick(&self.endpoints).name;
        let long = format!("/{}", "a".repeat(rng.below(2000)));
        let paths = [
            "/",
            "//",
            "/..",
            "/../../etc/passwd",
            "/%2e%2e/%2e%2e/etc",
            "/%00",
            "/v2.23/",
            "/vX/tasks.get_all",
            "/v2",
            "/v99999999999999999999.1/tasks.get_all",
            "/v2.99999999999999999999/tasks.get_all",
            "/tasks.get_all/x",
            "/tasks..get_all",
            "/.tasks",
            "/tasks.",
            "/api/v2.23/debug.ping",
            "/a/b/c",
            "/delete_many",
            "/static/x",
            "/index.html",
            "/tasks.get_all?%ff=%ff",
            "/tasks.get_all?a[]=&[]=1&=2&a.b.=3",
            "/\u{e9}",
            "*",
            &long,
        ];
        let target = match rng.below(3) {
            0 => format!("/{}", String::from_utf8_lossy(&rng.bytes(60))),
            1 => format!("/{endpoint}{}", rng.pick(&["x", "/", "//", "?", "#", "%20", ".x", "\u{0}"])),
            _ => (*rng.pick(&paths)).to_owned(),
        };
        Sent { target, ..self.to(rng, endpoint) }
    }

    /// A form, or a body that is nothing at all.
    fn form(&self, rng: &mut Rng) -> Sent {
        let endpoint = rng.pick(&self.endpoints).name;
        let mut sent = self.to(rng, if endpoint.starts_with("hostler.wait") { "debug.ping" } else { endpoint });
        sent.headers[1].1 = rng
            .pick(&[&b"application/x-www-form-urlencoded"[..], b"multipart/form-data; boundary=x", b"text/plain", b""])
            .to_vec();
        sent.body = match rng.below(4) {
            0 => rng.bytes(2000),
            1 => "a=1&".repeat(if rng.chance(4) { 20_000 } else { 20 }).into_bytes(),
            2 => format!("{}=1", "a.".repeat(size(rng, 40, 5000))).into_bytes(),
            _ => b"--x\r\ncontent-disposition: form-data; name=\"../x\"; filename=\"y\"\r\n\r\nz\r\n--x--".to_vec(),
        };
        sent
    }
}

/// Asks for small pages, mostly: large answers are slow to make and to check, and all alike.
fn modest(rng: &mut Rng, fields: &[(&str, bool)], body: &mut Map<String, Value>) {
    for field in ["page_size", "size"] {
        if rng.chance(95)
            && fields.iter().any(|(name, _)| *name == field)
            && (field == "page_size" || body.contains_key("scroll_id"))
        {
            body.insert(field.to_owned(), json!(1 + rng.below(5)));
        }
    }
}

/// Changes some bytes, cuts the end off, or says it twice.
fn damage(rng: &mut Rng, body: &mut Vec<u8>) {
    match rng.below(4) {
        0 => {
            let length = rng.below(body.len() + 1);
            body.truncate(length);
        }
        1 => body.extend_from_within(..),
        2 => body.extend_from_slice(rng.pick::<&[u8]>(&[&b"\xff\xfe"[..], b"\\ud800", b"}", b"\0", b"NaN"])),
        _ => {
            for _ in 0..rng.below(8) {
                if !body.is_empty() {
                    let at = rng.below(body.len());
                    body[at] = rng.next() as u8;
                }
            }
        }
    }
}

fn odd_header(rng: &mut Rng, headers: &mut Vec<(&'static str, Vec<u8>)>) {
    let visible =
        |rng: &mut Rng| rng.bytes(80).into_iter().map(|byte| byte.max(32)).filter(|byte| *byte != 127).collect();
    match rng.below(8) {
        0 => headers.retain(|(name, _)| *name != "authorization"),
        1 => headers[0] = ("authorization", visible(rng)),
        2 => headers[0] = ("authorization", b"Basic !!!!".to_vec()),
        3 => headers[0] = ("authorization", b"Bearer a.b.c".to_vec()),
        4 => headers.push(("content-encoding", visible(rng))),
        5 => headers.push(("cookie", [b"clearml_token_basic=".to_vec(), visible(rng)].concat())),
        6 => headers.push(("x-clearml-trx", visible(rng))),
        _ => headers.push(("x-forwarded-for", visible(rng))),
    }
}
