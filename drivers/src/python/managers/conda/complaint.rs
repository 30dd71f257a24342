//! What these programs say when they fail.

use serde_json::Value;

use crate::python::reason;

/// The line that matters: conda may answer in JSON, micromamba marks its lines.
pub(super) fn complaint(tail: &[String], tool: &str) -> String {
    if let Ok(answer) = serde_json::from_str::<Value>(&tail.join("\n")) {
        let text = ["message", "error"].iter().find_map(|key| answer[key].as_str());
        if let Some(text) = text {
            return text.split_whitespace().collect::<Vec<_>>().join(" ");
        }
    }
    let lines: Vec<&str> = tail.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    let position = lines.iter().position(|line| is_marked(line));
    let Some(position) = position else {
        return lines.last().map_or_else(|| format!("{tool} said nothing"), |line| (*line).to_owned());
    };
    // The packages that are missing stand in the lines below.
    let below = lines[position + 1..].iter().skip_while(|line| line.starts_with("The following package"));
    let below = below.take_while(|line| line.starts_with(['-', '└', '├'])).take(3);
    std::iter::once(&lines[position]).chain(below).copied().collect::<Vec<_>>().join(" ")
}

/// Whether a line says what is wrong: micromamba's and mamba's by their level, conda's by the name of an exception.
fn is_marked(line: &str) -> bool {
    let of_mamba = ["error    libmamba", "critical libmamba"].iter().any(|mark| line.contains(mark));
    // `CondaValueError: ..`, `PackagesNotFoundInChannelsError: ..`: there are many, and new ones come.
    of_mamba
        || line.split_once(':').is_some_and(|(name, _)| {
            let capitals = name.chars().filter(char::is_ascii_uppercase).count();
            name.starts_with(|letter: char| letter.is_ascii_uppercase())
                && name.chars().all(|letter| letter.is_ascii_alphanumeric())
                && (2..name.len()).contains(&capitals)
        })
}

/// Whether the failure is one of the network, so that a later try may succeed.
pub(super) fn is_network_failure(tail: &[String]) -> bool {
    const SIGNS: [&str; 4] =
        ["HTTP 000 CONNECTION FAILED", "Download error", "Could not resolve host", "RemoteDisconnected"];
    reason::is_network_failure(tail) || tail.iter().any(|line| SIGNS.iter().any(|sign| line.contains(sign)))
}
