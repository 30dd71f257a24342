//! What is asked of the store: every input that decides on an environment, one line each.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The inputs of one environment, as `name: value`, without secrets. Equal questions have equal answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Question {
    lines: Vec<String>,
}

/// In which inputs two questions differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Inputs of the question alone.
    pub here: Vec<String>,
    /// Inputs of the other one alone.
    pub there: Vec<String>,
}

impl Difference {
    /// In how many inputs.
    pub fn count(&self) -> usize {
        self.here.len().max(self.there.len())
    }
}

impl Question {
    /// A question of these inputs; their order counts.
    pub(crate) fn new(lines: Vec<String>) -> Self {
        Self { lines }
    }

    /// All inputs.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// A name for the question that is its own.
    pub(crate) fn key(&self) -> String {
        digest(&self.lines)
    }

    /// How this question differs from another one.
    pub fn difference(&self, other: &Self) -> Difference {
        let without = |these: &Self, those: &Self| -> Vec<String> {
            these.lines.iter().filter(|line| !those.lines.contains(line)).cloned().collect()
        };
        Difference { here: without(self, other), there: without(other, self) }
    }
}

/// A name for lines that is their own: 96 bits, so that paths stay short enough for the first line of a script.
pub(super) fn digest(lines: &[String]) -> String {
    hex::encode(&Sha256::digest(lines.join("\n").as_bytes())[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(text: &str) -> Question {
        Question::new(text.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn a_difference_names_what_is_only_on_one_side() {
        let difference = question("a b c").difference(&question("a c d e"));
        assert_eq!(
            (difference.here.clone(), difference.there.clone()),
            (vec!["b".into()], vec!["d".into(), "e".into()])
        );
        assert_eq!(difference.count(), 2);
        assert_eq!(question("a").difference(&question("a")).count(), 0);
    }

    #[test]
    fn a_key_is_the_same_tomorrow() {
        assert_eq!(question("a b").key(), "7e18f737311b2dc3b2f269dd");
        assert_ne!(question("a b").key(), question("b a").key());
    }
}
