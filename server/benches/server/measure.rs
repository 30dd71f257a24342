//! Measuring in turns, and what is made of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::process::{Process, processor_time};
use crate::{Outcome, say};

/// What one turn gave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turn {
    /// Things done (pairs, lines, calls).
    pub(crate) units: u64,
    /// From the first to the last.
    pub(crate) elapsed: Duration,
    /// Of each request, or of what stands for it.
    pub(crate) latencies: Vec<Duration>,
}

impl Turn {
    fn per_second(&self) -> f64 {
        self.units as f64 / self.elapsed.as_secs_f64()
    }
}

/// Does `step` again and again for `length`; it returns how many units it did.
pub(crate) async fn repeat(length: Duration, mut step: impl AsyncFnMut() -> Outcome<u64>) -> Outcome<Turn> {
    let began = Instant::now();
    let mut turn = Turn::default();
    while began.elapsed() < length {
        let before = Instant::now();
        turn.units += step().await?;
        turn.latencies.push(before.elapsed());
    }
    turn.elapsed = began.elapsed();
    Ok(turn)
}

/// Puts turns together that ran side by side.
pub(crate) fn together(turns: Vec<Turn>) -> Turn {
    let mut whole = Turn::default();
    for turn in turns {
        whole.units += turn.units;
        whole.elapsed = whole.elapsed.max(turn.elapsed);
        whole.latencies.extend(turn.latencies);
    }
    whole
}

/// One line of the result.
#[derive(Debug)]
pub(crate) struct Row {
    name: &'static str,
    unit: &'static str,
    connections: usize,
    ours: Vec<f64>,
    raw: Vec<f64>,
    ratios: Vec<f64>,
    latencies: Vec<Duration>,
    raw_latencies: Vec<Duration>,
    /// Units and processor time of all turns.
    work: (u64, Duration),
    raw_work: (u64, Duration),
}

/// What is measured: its name, what is counted, on how many connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case(pub(crate) &'static str, pub(crate) &'static str, pub(crate) usize);

/// Takes turns, the server and the raw store, in the order A B, B A, ..
pub(crate) async fn in_turns(
    case: Case,
    rounds: usize,
    server: &Process,
    mut ours: impl AsyncFnMut() -> Outcome<Turn>,
    mut raw: impl AsyncFnMut() -> Outcome<Turn>,
) -> Outcome<Row> {
    let Case(name, unit, connections) = case;
    let mut row = Row {
        name,
        unit,
        connections,
        ours: Vec::new(),
        raw: Vec::new(),
        ratios: Vec::new(),
        latencies: Vec::new(),
        raw_latencies: Vec::new(),
        work: Default::default(),
        raw_work: Default::default(),
    };
    let mut ours = async |work: &mut (u64, Duration)| -> Outcome<Turn> {
        let before = server.processor_time()?;
        let turn = ours().await?;
        *work = (work.0 + turn.units, work.1 + (server.processor_time()? - before));
        Ok(turn)
    };
    let mut raw = async |work: &mut (u64, Duration)| -> Outcome<Turn> {
        let before = processor_time("self")?;
        let turn = raw().await?;
        *work = (work.0 + turn.units, work.1 + (processor_time("self")? - before));
        Ok(turn)
    };
    for round in 0..rounds {
        let (mine, limit) = if round % 2 == 0 {
            let mine = ours(&mut row.work).await?;
            (mine, raw(&mut row.raw_work).await?)
        } else {
            let limit = raw(&mut row.raw_work).await?;
            (ours(&mut row.work).await?, limit)
        };
        row.ours.push(mine.per_second());
        row.raw.push(limit.per_second());
        row.ratios.push(mine.per_second() / limit.per_second());
        row.latencies.extend(mine.latencies);
        row.raw_latencies.extend(limit.latencies);
    }
    row.latencies.sort_unstable();
    row.raw_latencies.sort_unstable();
    say(&row.line());
    Ok(row)
}

impl Row {
    /// The heading over [`Row::line`].
    pub(crate) fn heading() -> String {
        format!(
            "{:<52} {:>5} {:>6} {:>13} {:>10} {:>10}   {:>8} {:>8} {:>8} {:>8}  {:>8}   {:>8} {:>8}",
            "what",
            "conns",
            "ratio",
            "(min-max)",
            "server/s",
            "raw/s",
            "p50 ms",
            "p90",
            "p99",
            "max",
            "raw p50",
            "cpu us",
            "raw cpu"
        )
    }

    fn line(&self) -> String {
        let [p50, p90, p99, max] = percentiles(&self.latencies);
        let [raw_p50, ..] = percentiles(&self.raw_latencies);
        let (least, most) = ends(&self.ratios);
        format!(
            "{:<52} {:>5} {:>6.3} {:>13} {:>10.0} {:>10.0}   {p50:>8.3} {p90:>8.3} {p99:>8.3} {max:>8.3}  {raw_p50:>8.3}   \
             {:>8.1} {:>8.1}",
            format!("{} ({}/s)", self.name, self.unit),
            self.connections,
            median(&self.ratios),
            format!("{least:.3}-{most:.3}"),
            median(&self.ours),
            median(&self.raw),
            each(self.work),
            each(self.raw_work),
        )
    }

    /// The same for programs.
    pub(crate) fn to_json(&self) -> Value {
        let shown = |latencies: &[Duration]| {
            let [p50, p90, p99, max] = percentiles(latencies);
            json!({"p50": p50, "p90": p90, "p99": p99, "max": max, "count": latencies.len()})
        };
        json!({
            "name": self.name, "unit": self.unit, "connections": self.connections,
            "ratio": median(&self.ratios), "ratios": self.ratios,
            "server_per_second": self.ours, "raw_per_second": self.raw,
            "server_cpu_us_each": each(self.work), "raw_cpu_us_each": each(self.raw_work),
            "server_ms": shown(&self.latencies), "raw_ms": shown(&self.raw_latencies),
        })
    }
}

/// Processor time of one unit in microseconds. It moves much less than the time on the clock when others use the
/// machine too.
fn each((units, time): (u64, Duration)) -> f64 {
    time.as_secs_f64() * 1e6 / units as f64
}

/// p50, p90, p99 and the maximum in milliseconds, of sorted latencies.
pub(crate) fn percentiles(sorted: &[Duration]) -> [f64; 4] {
    let last = sorted.len().saturating_sub(1);
    [0.5, 0.9, 0.99, 1.0].map(|part| {
        let position = (last as f64 * part).round() as usize;
        sorted.get(position).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1000.0)
    })
}

/// The middle one.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn ends(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(*value), most.max(*value)))
}

/// The three load averages.
pub(crate) fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
