//! Runs the server by hand: `cargo run -p hostler-server --example serve -- DATA_DIR [API_PORT WEB_PORT FILES_PORT]`.
//!
//! Prints where it listens, and at the first start the credentials; with `RUST_LOG=server=debug` every call too.
//! Ends at Ctrl-C.
#![expect(clippy::print_stdout, reason = "an example talks to its user")]

use server::{Server, ServerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    let mut arguments = std::env::args().skip(1);
    let mut config = ServerConfig::new(arguments.next().ok_or("usage: serve DATA_DIR [API_PORT WEB_PORT FILES_PORT]")?);
    for port in [&mut config.api_port, &mut config.web_port, &mut config.files_port] {
        if let Some(number) = arguments.next() {
            *port = number.parse()?;
        }
    }
    let running = Server::start(config).await?;
    println!("api {}\nweb {}\nfiles {}", running.api_url, running.web_url, running.files_url);
    if let Some((key, secret)) = &running.new_credentials {
        println!("access_key {key}\nsecret_key {secret}");
    }
    tokio::signal::ctrl_c().await?;
    running.stop().await;
    Ok(())
}
