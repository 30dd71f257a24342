//! `--gpus`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::error::ValueError;
use super::fields::{fields, needed, quoted, split_field, unknown};

const FIELDS: [&str; 5] = ["count", "device", "driver", "capabilities", "options"];

/// How many cards, or which.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GpuCount {
    /// `all`, and what is not said.
    #[default]
    All,
    /// So many.
    Count(u32),
    /// `device=..`: those with these numbers or UUIDs.
    Devices(Vec<String>),
}

/// What `--gpus` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GpuRequest {
    /// How many, or which.
    pub count: GpuCount,
    /// `driver=`.
    pub driver: Option<String>,
    /// `capabilities=`: what of the driver is wanted, beside `gpu`.
    pub capabilities: Vec<String>,
    /// `options=`: for the driver.
    pub options: Vec<(String, String)>,
}

/// `all`, `2`, `device=GPU-5e83`, `"device=0,1",capabilities=utility`, `count=2`.
pub(in super::super) fn gpus(text: &str) -> Result<GpuRequest, ValueError> {
    // The stock agent's users have one more pair of quotes around the whole, for the shell that is not there.
    let text = text.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')).unwrap_or(text);
    let mut request = GpuRequest::default();
    let mut count = None;
    for field in fields(text)? {
        let (name, value) = split_field(&field);
        let stated = match (name.as_str(), value) {
            ("count", value) => Some(number(&needed(value, "the number of `count=`")?)?),
            (bare, None) => Some(number(bare)?),
            ("device", value) => {
                let devices = needed(value, "the list of `device=`")?;
                Some(GpuCount::Devices(list(&devices)?))
            }
            ("driver", value) => {
                request.driver = Some(needed(value, "the name of `driver=`")?);
                None
            }
            ("capabilities", value) => {
                let named = needed(value, "the list of `capabilities=`")?;
                request.capabilities = list(&named)?;
                None
            }
            ("options", value) => {
                request.options = needed(value, "the list of `options=`")?.split(',').map(option).collect();
                None
            }
            (other, Some(_)) => return Err(unknown(other, &FIELDS)),
        };
        if stated.is_some() && std::mem::replace(&mut count, stated).is_some() {
            return Err(ValueError::Impossible(
                "it says twice which cards; a list of cards needs quotes of its own: --gpus '\"device=0,1\"'",
            ));
        }
    }
    request.count = count.unwrap_or_default();
    Ok(request)
}

fn number(text: &str) -> Result<GpuCount, ValueError> {
    match text {
        "all" | "-1" => Ok(GpuCount::All),
        text => text
            .parse()
            .map(GpuCount::Count)
            .map_err(|_| ValueError::Expected("all, a number, or fields like \"device=0,1\",capabilities=utility")),
    }
}

fn list(text: &str) -> Result<Vec<String>, ValueError> {
    let items: Vec<String> = text.split(',').map(|item| item.trim().to_owned()).collect();
    if items.iter().any(String::is_empty) { Err(ValueError::Expected("a list without gaps")) } else { Ok(items) }
}

fn option(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

impl fmt::Display for GpuRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = vec![match &self.count {
            GpuCount::All => "count=all".to_owned(),
            GpuCount::Count(count) => format!("count={count}"),
            GpuCount::Devices(devices) => quoted(&format!("device={}", devices.join(","))),
        }];
        fields.extend(self.driver.iter().map(|driver| quoted(&format!("driver={driver}"))));
        if !self.capabilities.is_empty() {
            fields.push(quoted(&format!("capabilities={}", self.capabilities.join(","))));
        }
        if !self.options.is_empty() {
            let options: Vec<String> = self.options.iter().map(|(name, value)| format!("{name}={value}")).collect();
            fields.push(quoted(&format!("options={}", options.join(","))));
        }
        formatter.write_str(&fields.join(","))
    }
}
