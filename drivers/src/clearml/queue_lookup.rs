//! Which queue does a person mean?

use protocols::clearml::queues::QueueSummary;

use super::ClientError;

/// Most names that an error suggests.
const MAX_SUGGESTIONS: usize = 10;

/// Finds a queue by id, by exact name, or by name regardless of case; in this order.
pub(super) fn find(wanted: &str, queues: &[QueueSummary]) -> Result<QueueSummary, ClientError> {
    if let Some(queue) = queues.iter().find(|queue| queue.id.as_str() == wanted) {
        return Ok(queue.clone());
    }
    let exact = |queue: &&QueueSummary| queue.name == wanted;
    let folded = |queue: &&QueueSummary| queue.name.to_lowercase() == wanted.to_lowercase();
    let mut matches: Vec<_> = queues.iter().filter(exact).collect();
    if matches.is_empty() {
        matches = queues.iter().filter(folded).collect();
    }
    match matches.as_slice() {
        [queue] => Ok((*queue).clone()),
        [] => Err(ClientError::NoSuchQueue { queue: wanted.to_owned(), suggestions: suggestions(wanted, queues) }),
        several => Err(ClientError::AmbiguousQueue {
            queue: wanted.to_owned(),
            candidates: several.iter().map(|queue| queue.id.clone()).collect(),
        }),
    }
}

/// Names that exist, most similar first.
fn suggestions(wanted: &str, queues: &[QueueSummary]) -> Vec<String> {
    let wanted = wanted.to_lowercase();
    let mut names: Vec<_> = queues
        .iter()
        .map(|queue| {
            let name = queue.name.to_lowercase();
            let related = name.contains(&wanted) || wanted.contains(&name);
            (!related, distance(&wanted, &name), &queue.name)
        })
        .collect();
    names.sort();
    names.into_iter().take(MAX_SUGGESTIONS).map(|(_, _, name)| name.clone()).collect()
}

/// Levenshtein's distance: how many characters to insert, remove or replace.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, from_char) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, to_char) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(from_char != *to_char);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use protocols::ids::QueueId;

    use super::*;

    fn queues(names: &[(&str, &str)]) -> Vec<QueueSummary> {
        names.iter().map(|(id, name)| QueueSummary { id: QueueId::from(*id), name: (*name).to_owned() }).collect()
    }

    #[test]
    fn id_beats_exact_name_beats_other_case() {
        let all = queues(&[("a1", "GPU"), ("b2", "gpu"), ("c3", "a1"), ("d4", "Train")]);
        assert_eq!(find("a1", &all).unwrap().name, "GPU");
        assert_eq!(find("gpu", &all).unwrap().id, QueueId::from("b2"));
        assert_eq!(find("TRAIN", &all).unwrap().id, QueueId::from("d4"));
    }

    #[test]
    fn an_ambiguous_name_lists_the_ids() {
        let error = find("Gpu", &queues(&[("a1", "GPU"), ("b2", "gpu")])).unwrap_err();
        assert_eq!(error.to_string(), "the queue name \"Gpu\" is ambiguous, use one of the ids a1, b2");
    }

    #[test]
    fn an_unknown_name_gets_the_nearest_suggestions_first() {
        let names: Vec<_> = (0..12).map(|number| (format!("id{number}"), format!("other-queue-{number}"))).collect();
        let mut all = queues(&names.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect::<Vec<_>>());
        all.extend(queues(&[("x", "default"), ("y", "default-gpu")]));
        let Err(ClientError::NoSuchQueue { suggestions, .. }) = find("defualt", &all) else { panic!("found") };
        assert_eq!((suggestions.len(), suggestions[0].as_str()), (10, "default"));
        assert_eq!(find("x1", &[]).unwrap_err().to_string(), "there is no queue \"x1\"");
    }

    #[test]
    fn distances_are_symmetric_counts_of_edits() {
        for (from, to, expected) in [("", "abc", 3), ("kitten", "sitting", 3), ("abc", "abc", 0), ("é", "e", 1)] {
            assert_eq!((distance(from, to), distance(to, from)), (expected, expected), "{from} {to}");
        }
    }
}
