//! Numbers, sizes and durations.

use super::super::error::ValueError;
use super::super::limits::{BlockDevice, Ulimit};

/// The names of `ulimit` that a kernel knows.
const ULIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

const SIZE: ValueError = ValueError::Expected("a size like 512m or 8g");
const DURATION: ValueError = ValueError::Expected("a duration like 30s or 1m30s");
const CPUS: ValueError = ValueError::Expected("a number of processors like 1.5");
const BLOCK_SIZE: ValueError = ValueError::Expected("a device and a size: /dev/sda:1mb");
const BLOCK_NUMBER: ValueError = ValueError::Expected("a device and a number: /dev/sda:1000");
const ULIMIT: ValueError = ValueError::Expected("a name and one or two numbers: nofile=1024:2048");

/// A size in bytes: `8g`, `1024m`, `1GB`, `1.5gib`. Units are powers of 1024, as Docker has them.
pub(in super::super) fn size(text: &str) -> Result<i64, ValueError> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit = unit.trim_start().to_ascii_lowercase();
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if !unit.ends_with("ib") => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(SIZE),
    };
    let number: f64 = number.parse().map_err(|_| SIZE)?;
    let bytes = number * 1024_f64.powi(power);
    // Below 2^53 every whole number is exact; above 2^63 nothing is a size.
    if bytes.is_finite() && bytes < 9.2e18 { Ok(bytes as i64) } else { Err(SIZE) }
}

/// A size, or -1 for no limit.
pub(in super::super) fn size_or_unlimited(text: &str) -> Result<i64, ValueError> {
    match text {
        "-1" => Ok(-1),
        text => size(text).map_err(|_| ValueError::Expected("a size like 512m or 8g, or -1")),
    }
}

/// Nanoseconds: `1h2m3.5s`, `500ms`, `0`.
pub(in super::super) fn duration(text: &str) -> Result<i64, ValueError> {
    if text == "0" {
        return Ok(0);
    }
    let mut rest = text;
    let mut total = 0_f64;
    while !rest.is_empty() {
        let unit_at = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').ok_or(DURATION)?;
        let number: f64 = rest[..unit_at].parse().map_err(|_| DURATION)?;
        rest = &rest[unit_at..];
        let length = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(rest.len());
        let nanoseconds = match &rest[..length] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(DURATION),
        };
        total += number * nanoseconds;
        rest = &rest[length..];
    }
    // What an engine takes at most is far below.
    if text.is_empty() || !total.is_finite() || total > 9.2e18 { Err(DURATION) } else { Ok(total.round() as i64) }
}

/// A duration of a health check, which is 0 or at least a millisecond.
pub(in super::super) fn health_duration(text: &str) -> Result<i64, ValueError> {
    let nanoseconds = duration(text)?;
    if nanoseconds != 0 && nanoseconds < 1_000_000 {
        return Err(ValueError::Expected("0, or at least 1ms"));
    }
    Ok(nanoseconds)
}

/// Billionths of a processor: `1.5`, `.5`.
pub(in super::super) fn cpus(text: &str) -> Result<i64, ValueError> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !is_digits(whole) || !is_digits(part) || part.len() > 9 {
        return Err(CPUS);
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| CPUS)? };
    let part: i64 = format!("{part:0<9}").parse().map_err(|_| CPUS)?;
    whole.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(part)).ok_or(CPUS)
}

/// A whole number within bounds.
pub(in super::super) fn whole(text: &str, least: i64, most: i64, expected: &'static str) -> Result<i64, ValueError> {
    let number: Option<i64> = text.parse().ok();
    number.filter(|number| (least..=most).contains(number)).ok_or(ValueError::Expected(expected))
}

/// Processors or memory nodes: `0-3,8`.
pub(in super::super) fn cpu_list(text: &str) -> Result<String, ValueError> {
    const LIST: ValueError = ValueError::Expected("a list of numbers and ranges like 0-3,8");
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().map_err(|_| LIST);
        if number(first)? > number(last)? {
            return Err(LIST);
        }
    }
    Ok(text.to_owned())
}

/// `nofile=1024:2048`, `nofile=1024`, `memlock=-1`.
pub(in super::super) fn ulimit(text: &str) -> Result<Ulimit, ValueError> {
    let (name, values) = text.split_once('=').ok_or(ULIMIT)?;
    if !ULIMITS.contains(&name) {
        let expected = "a limit: as, core, cpu, data, fsize, locks, memlock, msgqueue, nice, nofile, nproc, rss, \
                        rtprio, rttime, sigpending or stack";
        return Err(ValueError::Part { part: name.to_owned(), expected });
    }
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |text: &str| whole(text, -1, i64::MAX, "a number, or -1 for no limit");
    let (soft, hard) = (number(soft)?, number(hard)?);
    if hard != -1 && (soft > hard || soft == -1) {
        return Err(ValueError::Impossible("the first number must not be above the second"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

/// `/dev/sda:1mb`.
pub(in super::super) fn block_bytes(text: &str) -> Result<BlockDevice, ValueError> {
    let (path, amount) = block(text, BLOCK_SIZE)?;
    Ok(BlockDevice { path, amount: size(amount).map_err(|_| BLOCK_SIZE)? })
}

/// `/dev/sda:1000`.
pub(in super::super) fn block_number(text: &str) -> Result<BlockDevice, ValueError> {
    let (path, amount) = block(text, BLOCK_NUMBER)?;
    let amount = amount.parse().ok().filter(|amount| *amount >= 0).ok_or(BLOCK_NUMBER)?;
    Ok(BlockDevice { path, amount })
}

/// `/dev/sda:500`.
pub(in super::super) fn block_weight(text: &str) -> Result<BlockDevice, ValueError> {
    const WEIGHT: ValueError = ValueError::Expected("a device and a weight of 10 to 1000, or 0: /dev/sda:500");
    let device = block_number(text).map_err(|_| WEIGHT)?;
    if device.amount == 0 || (10..=1000).contains(&device.amount) { Ok(device) } else { Err(WEIGHT) }
}

fn block(text: &str, wrong: ValueError) -> Result<(String, &str), ValueError> {
    match text.rsplit_once(':') {
        Some((path, amount)) if path.starts_with("/dev/") => Ok((path.to_owned(), amount)),
        _ => Err(wrong),
    }
}
