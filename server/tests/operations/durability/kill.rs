//! The test itself.

use std::time::{Duration, Instant, SystemTime};

use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinSet;

use super::audit::{Ended, judge};
use super::load::Worker;
use super::observe::observe;
use super::shared::SharedQueue;
use crate::chance::Rng;
use crate::client::Client;
use crate::process::ServerProcess;

/// How often the server is killed.
const KILLS: usize = 50;

/// Clients with a world of their own.
const CLIENTS: usize = 6;

/// Clients that contend for one queue.
const CONTENDERS: usize = 3;

/// Kills after which the clients begin anew, so that what each of them owns stays quick to read.
const GENERATION: usize = 5;

/// Answers before a kill at most.
const ANSWERS: usize = 150;

/// Between the last answer that is waited for and the kill.
const LATEST: Duration = Duration::from_millis(20);

/// How the clients' last requests ended.
#[derive(Debug, Default)]
struct Tally {
    acknowledged: usize,
    /// Not answered, and done.
    done: usize,
    /// Not answered, and not done.
    absent: usize,
    /// Taken by a pop whose answer was cut off.
    cut_off: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_and_nothing_is_half_done_when_the_server_is_killed() {
    let seed = match std::env::var("HOSTLER_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64,
    };
    eprintln!("HOSTLER_SEED={seed} repeats the choices of this run");
    let began = Instant::now();
    let mut dice = Rng::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut server = ServerProcess::start(directory.path());
    let credentials = server.credentials.clone().expect("the first start makes credentials");
    let shared = SharedQueue::new(&Client::of(&server, &credentials)).await;
    let (mut workers, mut retired) = (Vec::new(), Vec::new());
    let mut tally = Tally::default();
    for kill in 0..KILLS {
        let client = Client::of(&server, &credentials);
        if kill % GENERATION == 0 {
            retired.append(&mut workers);
            for number in 0..CLIENTS {
                workers.push(Worker::new(format!("g{kill}c{number}"), dice.next(), &client).await);
            }
        }
        tally.acknowledged += run_until_killed(&mut server, &client, &mut workers, &shared, &mut dice).await;
        let problems = server.problems();
        assert!(problems.is_empty(), "seed {seed}, kill {kill}: {problems:#?}");
        server = ServerProcess::start(directory.path());
        let client = Client::of(&server, &credentials);
        for worker in &mut workers {
            verify(&client, worker, &mut tally, &format!("seed {seed}, kill {kill}")).await;
        }
        tally.cut_off += shared.verify(&client).await;
    }
    // What is older must not have changed either.
    let client = Client::of(&server, &credentials);
    for mut worker in retired {
        verify(&client, &mut worker, &mut tally, &format!("seed {seed}, at the end")).await;
    }
    eprintln!("{KILLS} kills in {:?}: {tally:?}", began.elapsed());
    assert!(tally.acknowledged > KILLS * 10, "the server was killed under load: {tally:?}");
    assert!(tally.done + tally.absent > KILLS, "requests were in flight: {tally:?}");
}

/// Lets everybody work, kills the server at a random moment, and waits until everybody has noticed. Returns how many
/// requests were answered.
async fn run_until_killed(
    server: &mut ServerProcess,
    client: &Client,
    workers: &mut Vec<Worker>,
    shared: &SharedQueue,
    dice: &mut Rng,
) -> usize {
    let (done, mut answers) = unbounded_channel();
    let mut clients = JoinSet::new();
    for mut worker in workers.drain(..) {
        let (client, done) = (client.clone(), done.clone());
        clients.spawn(async move {
            worker.work(&client, done).await;
            Some(worker)
        });
    }
    for _ in 0..CONTENDERS {
        let (client, done, shared) = (client.clone(), done.clone(), shared.clone());
        clients.spawn(async move {
            shared.work(&client, done).await;
            None
        });
    }
    drop(done);
    let mut answered = 0;
    for _ in 0..=dice.below(ANSWERS) {
        answers.recv().await.expect("everybody works until the server is gone");
        answered += 1;
    }
    let wait = LATEST.mul_f64(dice.below(1000) as f64 / 1000.0);
    let _ = tokio::time::timeout(wait, std::future::pending::<()>()).await;
    server.kill();
    workers.extend(clients.join_all().await.into_iter().flatten());
    workers.sort_by(|one, other| one.prefix.cmp(&other.prefix));
    while answers.recv().await.is_some() {
        answered += 1;
    }
    answered
}

async fn verify(client: &Client, worker: &mut Worker, tally: &mut Tally, when: &str) {
    let found = observe(client, worker).await;
    match judge(&found, &worker.model, worker.unanswered.take().as_ref()) {
        Ok(Ended::Done) => tally.done += 1,
        Ok(Ended::Absent) => tally.absent += 1,
        Ok(Ended::Answered) => {}
        Err(difference) => panic!("{when}, client {}: {difference}", worker.prefix),
    }
    worker.model = found;
}
