//! Reads the output of uv and pip: the one line that says why packages cannot be installed.

use super::requirement_line::package_name;
use crate::scrub::Scrubber;

/// Longer reasons are cut: the whole output is in the task's log.
const LONGEST: usize = 600;

/// One line that says what went wrong.
pub(super) fn reason(tail: &[String], scrubber: &Scrubber) -> String {
    let text = of_uv(tail).or_else(|| of_pip(tail)).or_else(|| Some(tail.last()?.trim().to_owned()));
    let text = scrubber.scrub(&text.unwrap_or_else(|| "the installer said nothing".to_owned()));
    let mut text = of_index(&text).unwrap_or(text);
    if let Some(exception) = python_exception(tail).filter(|exception| !text.contains(*exception)) {
        text = format!("{text} ({})", scrubber.scrub(exception));
    }
    let mut refusals: Vec<String> =
        tail.iter().filter(|line| is_refusal(line)).map(|line| format!(" {}", scrubber.scrub(bare(line)))).collect();
    refusals.dedup();
    let refusals = refusals.concat();
    cut(&mut text, LONGEST.saturating_sub(refusals.chars().count()));
    text + &refusals
}

fn cut(text: &mut String, longest: usize) {
    if let Some((end, _)) = text.char_indices().nth(longest) {
        text.truncate(end);
        text.push_str("..");
    }
}

/// What is said of the page that an index has for a package, as said of the index: the package may be one that nobody
/// asked for.
fn of_index(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("Failed to fetch: ").filter(|_| !text.contains("--find-links"))?;
    let quoted = rest.split(char::is_whitespace).next()?.trim_end_matches(':');
    let page = quoted.trim_matches('`');
    let (index, _) = page.strip_suffix('/')?.rsplit_once('/')?;
    let what = if text.contains("error sending request") { "cannot be reached" } else { "cannot be read" };
    let text = text.replace(&format!("Failed to fetch: {quoted}"), &format!("the index {index} {what}"));
    Some(text.replace(&format!(" for url ({page})"), ""))
}

/// Whether a line says that an index refuses to answer.
pub(super) fn is_refusal(line: &str) -> bool {
    bare(line).starts_with("An index") && ["401", "403"].iter().any(|status| line.contains(status))
}

fn bare(line: &str) -> &str {
    let line = line.trim();
    line.strip_prefix("hint: ").unwrap_or(line)
}

/// Names of the packages that uv has not found, or not in a version that is asked for.
pub(super) fn missing(tail: &[String]) -> Vec<String> {
    let Some(text) = of_uv(tail).filter(|text| text.contains("No solution found")) else { return Vec::new() };
    let before = text.match_indices(" was not found in the package registry").map(|(at, _)| &text[..at]);
    let before = before.filter_map(|text| text.rsplit(char::is_whitespace).next());
    let marks = ["no version of ", "versions of ", "only "];
    let behind = marks.iter().flat_map(|mark| text.match_indices(mark)).map(|(at, mark)| &text[at + mark.len()..]);
    let behind = behind.filter_map(|text| text.split(char::is_whitespace).next()).filter(|word| *word != "the");
    let mut names: Vec<String> = before.chain(behind).filter_map(package_name).collect();
    names.sort();
    names.dedup();
    names
}

/// `error: X` with indented `cause: Y` below, or `× X` with `╰─▶ Y`; a cause may run over several lines.
fn of_uv(tail: &[String]) -> Option<String> {
    let is_head = |line: &String| line.starts_with("error: ") || line.trim_start().starts_with('×');
    let start = tail.iter().rposition(is_head)?;
    let mut text = String::new();
    for line in &tail[start..] {
        let bare = line.trim_start_matches(|letter: char| letter.is_whitespace() || "│╰├─▶×".contains(letter));
        let starts_cause = ["cause: ", "Caused by: "].iter().find_map(|mark| bare.strip_prefix(mark));
        let is_first = text.is_empty();
        if !is_first && (!line.starts_with(' ') || bare.starts_with('[') || bare.starts_with("hint:")) {
            break;
        }
        match starts_cause {
            Some(cause) => text.push_str(&format!(": {cause}")),
            None if is_first => text.push_str(bare.strip_prefix("error: ").unwrap_or(bare)),
            None if line.contains('▶') => text.push_str(&format!(": {bare}")),
            None => text.push_str(&format!(" {bare}")),
        }
    }
    Some(text.replace(":: ", ": ")).filter(|text| !text.is_empty())
}

/// pip says `ERROR:` several times; a missing package and a conflict are named in one of them.
fn of_pip(tail: &[String]) -> Option<String> {
    let errors: Vec<&str> = tail.iter().filter_map(|line| line.trim().strip_prefix("ERROR: ")).collect();
    let telling = ["No matching distribution found", "Cannot install", "Could not find a version", "Could not install"];
    let named = telling.iter().find_map(|start| errors.iter().find(|error| error.starts_with(start)));
    named.or_else(|| errors.first()).map(|error| (*error).to_owned())
}

/// The last exception of a build, as in `ModuleNotFoundError: No module named 'torch'`.
fn python_exception(tail: &[String]) -> Option<&str> {
    tail.iter().rev().map(|line| line.trim()).find(|line| {
        line.split_once(": ").is_some_and(|(name, _)| {
            (name.ends_with("Error") || name.ends_with("Exception"))
                && name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._".contains(letter))
        })
    })
}

/// The package whose build failed because it looked for a module that nobody has installed for it; of uv.
pub(super) fn lonely_build(tail: &[String]) -> Option<String> {
    let lacks_module = tail.iter().any(|line| line.contains("No module named"));
    let line = tail.iter().rfind(|line| line.contains("build `")).filter(|_| lacks_module)?;
    let (_, named) = line.split_once("build `")?;
    package_name(named.split('`').next()?)
}

/// Whether pinned packages contradict what they say about each other, every version being there.
pub(super) fn is_conflict(tail: &[String]) -> bool {
    let text = joined(tail);
    (text.contains("No solution found") && text.contains(" depends on ")) || text.contains("ResolutionImpossible")
}

/// Whether the failure is one of the network, so that a later try may succeed.
pub(super) fn is_network_failure(tail: &[String]) -> bool {
    const SIGNS: [&str; 12] = [
        "error sending request",
        "Failed to fetch",
        "Request failed after",
        "operation timed out",
        "Connection refused",
        "connection error",
        "Read timed out",
        "NewConnectionError",
        "Temporary failure in name resolution",
        "ConnectTimeoutError",
        "ConnectionResetError",
        "HTTP status server error",
    ];
    let text = joined(tail);
    let refused = ["401 Unauthorized", "403 Forbidden", "404 Not Found"];
    SIGNS.iter().any(|sign| text.contains(sign)) && !refused.iter().any(|status| text.contains(status))
}

/// Whether the disk is full.
pub(super) fn is_disk_full(tail: &[String]) -> bool {
    let text = joined(tail).to_lowercase();
    text.contains("no space left on device") || text.contains("disk quota exceeded")
}

fn joined(tail: &[String]) -> String {
    tail.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(output: &str, expected: &str) {
        let tail: Vec<String> = output.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        assert_eq!(reason(&tail, &Scrubber::default()), expected);
    }

    #[test]
    fn a_build_that_looks_for_a_module_is_named() {
        let lonely = |text: &str| lonely_build(&text.lines().map(str::to_owned).collect::<Vec<_>>());
        let of_git = "error: Failed to build `legacy-thing @ git+file:///x`\n  cause: The build backend returned an error\n\
                      ModuleNotFoundError: No module named 'six'";
        assert_eq!(lonely(of_git).as_deref(), Some("legacy-thing"));
        let of_index = "  × Failed to build `Horovod==0.28.1`\n      ModuleNotFoundError: No module named 'torch'";
        assert_eq!(lonely(of_index).as_deref(), Some("horovod"));
        assert_eq!(lonely("error: Failed to build `x==1`\n  cause: no compiler"), None);
        assert_eq!(lonely("ModuleNotFoundError: No module named 'six'"), None);
    }

    #[test]
    fn uv_is_understood() {
        check(
            "Using Python 3.11.7\nerror: No solution found when resolving dependencies\n  cause: Because there is no \
             version of six==99 and you require six==99, we can conclude that your requirements are unsatisfiable.\n\
             \nhint: look",
            "No solution found when resolving dependencies: Because there is no version of six==99 and you require \
             six==99, we can conclude that your requirements are unsatisfiable.",
        );
        check(
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because six was not found and you\n      require \
             six, no.",
            "No solution found when resolving dependencies: Because six was not found and you require six, no.",
        );
        check(
            "  × Failed to build `x==1`\n  ├─▶ The build backend returned an error\n  ╰─▶ Call to `s` failed\n      \
             [stderr]\n      Traceback (most recent call last):\n      ModuleNotFoundError: No module named 'torch'",
            "Failed to build `x==1`: The build backend returned an error: Call to `s` failed (ModuleNotFoundError: No \
             module named 'torch')",
        );
        check("error: bad `https://u:p@h/s`\n  Caused by: dns", "bad `https://***@h/s`: dns");
    }

    #[test]
    fn an_index_that_refuses_is_named() {
        let hint = "An index URL (https://***@h/simple) could not be queried (401 Unauthorized)";
        check(
            "error: No solution found\n  cause: Because x was not found in the package registry, no.\n\nhint: An index URL \
             (https://u:p@h/simple) could not be queried (401 Unauthorized)",
            &format!("No solution found: Because x was not found in the package registry, no. {hint}"),
        );
        let long = format!("error: {}\nhint: {hint}", "x".repeat(2 * LONGEST));
        let text = reason(&long.lines().map(str::to_owned).collect::<Vec<_>>(), &Scrubber::default());
        assert!(text.ends_with(hint) && text.len() < LONGEST + 10, "{text}");
    }

    #[test]
    fn an_index_is_named_and_not_its_page() {
        check(
            "error: Request failed after 3 retries\n  cause: Failed to fetch: https://h/simple/pip/\n  cause: error sending \
             request for url (https://h/simple/pip/)\n  cause: dns error",
            "Request failed after 3 retries: the index https://h/simple cannot be reached: error sending request: dns error",
        );
        check(
            "error: Failed to fetch: `https://h/simple/six/`\n  cause: HTTP status server error (500) for url \
             (https://h/simple/six/)",
            "the index https://h/simple cannot be read: HTTP status server error (500)",
        );
        let file = "Failed to fetch: https://h/six-1.whl: dns";
        check(&format!("error: {file}"), file);
        let place = "Failed to read `--find-links` URL: http://h/x/: Failed to fetch: http://h/x/";
        check(&format!("error: {place}"), place);
    }

    #[test]
    fn what_is_missing_is_found() {
        let check = |text: &str, expected: &[&str]| {
            let head = "error: No solution found when resolving dependencies".to_owned();
            assert_eq!(missing(&[head, format!("  cause: {text}")]), expected, "{text}");
        };
        check("Because h1pkg was not found in the package registry and you require h1pkg", &["h1pkg"]);
        check("Because there is no version of Six==99 and you require six==99", &["six"]);
        check("Because only six<=1.17.0 is available and you require six>1.17", &["six"]);
        check("Because only the following versions of six are available", &["six"]);
        check("Because there are no versions of a.b and c depends on a.b", &["a-b"]);
        check("Because a==1 depends on b>=2 and you require b==1", &[]);
        assert!(missing(&["error: no version of x".to_owned()]).is_empty());
    }

    #[test]
    fn pip_is_understood() {
        check(
            "ERROR: Could not find a version that satisfies the requirement six==99 (from versions: 1)\n\
             ERROR: No matching distribution found for six==99",
            "No matching distribution found for six==99",
        );
        check(
            "ERROR: Cannot install a==1 and b==2 because these package versions have conflicting dependencies.\n\
             The conflict is caused by:\nERROR: ResolutionImpossible: for help visit",
            "Cannot install a==1 and b==2 because these package versions have conflicting dependencies.",
        );
        check("", "the installer said nothing");
    }

    #[test]
    fn failures_are_told_apart() {
        let line = |text: &str| [text.to_owned()];
        assert!(is_conflict(&line("No solution found: Because a==1 depends on b>=2")));
        assert!(!is_conflict(&line("No solution found: Because there is no version of a==1")));
        assert!(is_network_failure(&line("error sending request for url (https://h/simple)")));
        assert!(!is_network_failure(&line("Failed to fetch: `https://h`: HTTP status client error (403 Forbidden)")));
        assert!(is_disk_full(&line("OSError: [Errno 28] No space left on device")));
    }
}
