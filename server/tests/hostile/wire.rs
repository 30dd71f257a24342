//! Bytes on a socket that are a request, nearly a request, or nothing of the kind.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::attack::{Attack, Until};
use crate::chance::Rng;
use crate::request::Generator;
use crate::values::Known;

/// Connections at one time.
const CONNECTIONS: u64 = 16;

/// Longer than a server takes to notice that nothing more comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends bytes to all three ports, each on a connection of its own.
pub(crate) async fn attack(attack: &Attack, until: Until) {
    let began = Instant::now();
    let ports = [&attack.server.api_url, &attack.server.web_url, &attack.server.files_url];
    let ports: Vec<String> = ports.iter().map(|url| url.trim_start_matches("http://").to_owned()).collect();
    let ports = Arc::new(ports);
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (ports, next, generator) = (Arc::clone(&ports), Arc::clone(&next), Arc::clone(&attack.generator));
        let (known, seed) = (attack.known.read().unwrap().clone(), attack.seed);
        senders.spawn(async move {
            let mut seen = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if until.is_over(number, began) {
                    return seen;
                }
                let mut rng = Rng::new(seed ^ number.wrapping_mul(0xa076_1d64));
                let bytes = bytes(&mut rng, &generator, &known);
                let port = &ports[rng.below(ports.len())];
                let outcome = tokio::time::timeout(PATIENCE, exchange(port, &bytes)).await;
                let shown: String = String::from_utf8_lossy(&bytes).chars().take(600).collect();
                seen.push(match outcome {
                    Err(_) => (0, Some(format!("wire request {number}: the connection stays open\n  {shown:?}"))),
                    Ok(answer) => {
                        let status = status_of(&answer);
                        let fault = format!("wire request {number}: {status}\n  {shown:?}");
                        (status, (status >= 500 && !is_full_disk(&answer)).then_some(fault))
                    }
                });
            }
        });
    }
    while let Some(seen) = senders.join_next().await {
        for (status, fault) in seen.unwrap() {
            attack.note(status, fault);
        }
    }
}

/// Sends everything, says that nothing more comes, and reads what comes back. A server may hang up at any time.
async fn exchange(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut answer = Vec::new();
    let Ok(mut stream) = TcpStream::connect(address).await else { return answer };
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// The first status; 0 when there is none.
fn status_of(answer: &[u8]) -> u16 {
    let head = String::from_utf8_lossy(&answer[..answer.len().min(16)]).into_owned();
    head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1)?.parse().ok()).unwrap_or(0)
}

fn is_full_disk(answer: &[u8]) -> bool {
    answer.windows(18).any(|window| window == b"\"result_subcode\":4,")
}

fn bytes(rng: &mut Rng, generator: &Generator, known: &Known) -> Vec<u8> {
    if rng.chance(10) {
        return rng.bytes(3000);
    }
    let sent = generator.request(rng, known);
    let target: String = sent.target.chars().filter(|character| rng.chance(2) || !character.is_control()).collect();
    let mut head = format!("{} {target} HTTP/1.1\r\nhost: x\r\n", sent.method).into_bytes();
    for (name, value) in &sent.headers {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value);
        head.extend_from_slice(b"\r\n");
    }
    let mut body = sent.body.clone();
    body.truncate(200_000);
    head.extend_from_slice(&framing(rng, &mut body));
    head.extend_from_slice(b"\r\n");
    head.extend_from_slice(&body);
    broken(rng, head)
}

/// The headers that say how long the body is; not always the truth.
fn framing(rng: &mut Rng, body: &mut Vec<u8>) -> Vec<u8> {
    let length = body.len();
    let text = match rng.below(12) {
        0 => format!("content-length: {}\r\n", length + 1 + rng.below(1000)),
        1 => format!("content-length: {}\r\n", length / 2),
        2 => "content-length: -1\r\n".to_owned(),
        3 => "content-length: 99999999999999999999999\r\n".to_owned(),
        4 => format!("content-length: {length}\r\ncontent-length: {}\r\n", length + 1),
        5 => format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
        6 => {
            let size = rng.pick(&["-1", "ffffffffffffffffff", "zz", "5;x=y", ""]);
            let chunk = [format!("{size}\r\n").into_bytes(), std::mem::take(body), b"\r\n0\r\n\r\n".to_vec()].concat();
            *body = chunk;
            "transfer-encoding: chunked\r\n".to_owned()
        }
        7 => {
            *body = [format!("{length:x}\r\n").into_bytes(), std::mem::take(body), b"\r\n0\r\n\r\n".to_vec()].concat();
            "transfer-encoding: chunked\r\n".to_owned()
        }
        8 => format!("content-length: {length}\r\nexpect: 100-continue\r\nupgrade: h2c\r\nconnection: upgrade\r\n"),
        _ => format!("content-length: {length}\r\n"),
    };
    text.into_bytes()
}

fn broken(rng: &mut Rng, mut bytes: Vec<u8>) -> Vec<u8> {
    match rng.below(14) {
        0 => {
            let length = rng.below(bytes.len());
            bytes.truncate(length);
        }
        1 => bytes.extend_from_within(..),
        2 => bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), bytes].concat(),
        3 => bytes = [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), bytes].concat(),
        4 => bytes = b"GET /debug.ping\r\n\r\n".to_vec(),
        5 => {
            let header = format!("x-{}: {}\r\n", rng.below(100), "y".repeat(rng.below(300)));
            let many = header.repeat(rng.below(400));
            bytes = [b"GET /debug.ping HTTP/1.1\r\n".to_vec(), many.into_bytes(), b"\r\n".to_vec()].concat();
        }
        6 => {
            for _ in 0..rng.below(10) {
                let at = rng.below(bytes.len());
                bytes[at] = rng.next() as u8;
            }
        }
        _ => {}
    }
    bytes
}
