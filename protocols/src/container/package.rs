//! Versions of packages, as far as rules for containers ask for them.

use std::cmp::Ordering;

/// A package of a task's requirements.
pub(super) struct Package {
    name: String,
    /// The version that the task is pinned to, or the first that its line names.
    version: Option<Vec<u64>>,
}

impl Package {
    /// Reads `torch==2.1.0+cu118`, `torch >= 2`, `torch[extra]`, `torch @ https://..`. `None` for lines of another kind.
    pub(super) fn read(line: &str) -> Option<Self> {
        let line = line.split([';', '#']).next().unwrap_or_default().trim();
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let end = line.find(|letter: char| !is_letter(letter)).unwrap_or(line.len());
        let (name, rest) = line.split_at(end);
        if !name.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
            return None;
        }
        let rest = match rest.strip_prefix('[') {
            Some(extras) => extras.split_once(']')?.1,
            None => rest,
        };
        let first = rest.trim().trim_start_matches(['=', '~', '!', '<', '>', ' ']);
        let version = first.split([',', ' ']).next().and_then(numbers);
        Some(Self { name: normal(name), version: version.filter(|_| !rest.trim().starts_with('@')) })
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        self.name == normal(name)
    }
}

/// Whether a package's version satisfies `wanted`: `~=2.6`, `>=1,<2`, `2.1`, or nothing for any.
pub(super) fn is_wanted(package: &Package, wanted: &str) -> bool {
    let parts = wanted.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "*");
    parts.into_iter().all(|part| package.version.as_deref().is_some_and(|version| satisfies(version, part)))
}

fn satisfies(version: &[u64], wanted: &str) -> bool {
    let at = wanted.find(|letter: char| !"=~!<> ".contains(letter)).unwrap_or(wanted.len());
    let (operator, text) = (wanted[..at].trim(), &wanted[at..]);
    let prefix = text.strip_suffix(".*");
    let Some(other) = numbers(prefix.unwrap_or(text)) else { return false };
    let begins = |length: usize| {
        version.iter().copied().chain(std::iter::repeat(0)).take(length).eq(other[..length].iter().copied())
    };
    let order = compare(version, &other);
    match operator {
        "" | "==" | "===" if prefix.is_some() => begins(other.len()),
        "" | "==" | "===" => order == Ordering::Equal,
        "!=" if prefix.is_some() => !begins(other.len()),
        "!=" => order != Ordering::Equal,
        ">=" => order != Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        "<" => order == Ordering::Less,
        "~=" => order != Ordering::Less && begins(other.len().saturating_sub(1)),
        _ => false,
    }
}

fn compare(one: &[u64], other: &[u64]) -> Ordering {
    let length = one.len().max(other.len());
    let padded = |version: &[u64]| version.iter().copied().chain(std::iter::repeat(0)).take(length).collect::<Vec<_>>();
    padded(one).cmp(&padded(other))
}

/// The numbers of a release; what follows them (`rc1`, `.post1`, `+cu118`) does not count.
fn numbers(text: &str) -> Option<Vec<u64>> {
    let mut numbers = Vec::new();
    for part in text.trim().trim_start_matches('v').split('.') {
        let end = part.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(part.len());
        match part[..end].parse() {
            Ok(number) => numbers.push(number),
            Err(_) => break,
        }
        if end < part.len() {
            break;
        }
    }
    (!numbers.is_empty()).then_some(numbers)
}

fn normal(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared() {
        let check = |line: &str, wanted: &str, expected: bool| {
            let package = Package::read(line).unwrap();
            assert_eq!(is_wanted(&package, wanted), expected, "{line:?} {wanted:?}");
        };
        for (line, wanted) in [
            ("tensorflow==2.6.1", "~=2.6"),
            ("tensorflow==2.9", "~=2.6"),
            ("tensorflow==2.6.4", "~=2.6.1"),
            ("torch==2.1.0+cu118", "==2.1.0"),
            ("torch==2.1.0.post1", "2.1"),
            ("torch >= 2.1", ">=2, <3"),
            ("torch[x]==2.1 ; python_version > '3'", "==2.*"),
            ("torch", ""),
            ("torch", "*"),
            ("torch==1.10", ">1.9"),
            ("torch==1.0", "!=1.1"),
        ] {
            check(line, wanted, true);
        }
        for (line, wanted) in [
            ("tensorflow==3.0", "~=2.6"),
            ("tensorflow==2.7", "~=2.6.1"),
            ("torch", ">=1"),
            ("torch @ https://h/torch-2.0.whl", ">=1"),
            ("torch==2.1", "<2"),
            ("torch==2.1", "!=2.*"),
            ("torch==2.1", "?2"),
            ("torch==2.1", ">=new"),
        ] {
            check(line, wanted, false);
        }
        assert!(Package::read("Scikit_Learn==1").unwrap().is_named("scikit-learn"));
        assert!(Package::read("-r other.txt").is_none());
        assert!(Package::read("").is_none());
    }
}
