//! Which word may be meant.

/// The one of `known` that is nearest to `given`, if any is near enough to be a slip.
pub(super) fn nearest(given: &str, known: impl IntoIterator<Item = &'static str>) -> Option<&'static str> {
    // Nobody mistypes something much longer than the longest switch, and the distance takes quadratic time.
    if given.len() > 40 {
        return None;
    }
    let far = (given.chars().count() / 3).clamp(1, 3);
    let distances = known.into_iter().map(|word| (distance(given, word), word));
    distances.filter(|(distance, _)| *distance <= far).min_by_key(|(distance, _)| *distance).map(|(_, word)| word)
}

/// How many letters have to be put in, left out, replaced, or swapped with their neighbour.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut rows = vec![(0..=to.len()).collect::<Vec<usize>>()];
    for (row, letter) in from.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let replaced = rows[row][column] + usize::from(letter != other);
            let mut least = replaced.min(rows[row][column + 1] + 1).min(next[column] + 1);
            let is_swapped = row > 0 && column > 0 && from[row - 1] == *other && *letter == to[column - 1];
            if is_swapped {
                least = least.min(rows[row - 1][column - 1] + 1);
            }
            next.push(least);
        }
        rows.push(next);
    }
    rows[from.len()][to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let nearest = |given: &str| nearest(given, ["shm-size", "env", "volume", "volumes-from"]);
        assert_eq!(nearest("shmsize"), Some("shm-size"));
        assert_eq!(nearest("evn"), Some("env"));
        assert_eq!(nearest("volumes"), Some("volume"));
        assert_eq!(nearest("nothing-like-it"), None);
        assert_eq!(nearest(&"e".repeat(1000)), None);
    }
}
