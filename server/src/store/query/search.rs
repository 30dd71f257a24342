//! What `search_text` means.

/// Words to search for, each as the beginning that its forms have in common.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Search {
    /// One of these is there.
    pub(super) any: Vec<String>,
    /// All of these are there, as they are.
    pub(super) all: Vec<String>,
    /// None of these is there.
    pub(super) none: Vec<String>,
}

impl Search {
    /// Reads `words "a phrase" -without`: any of the words, every phrase, none of what has a minus in front.
    pub(super) fn of(text: &str) -> Self {
        let mut search = Self::default();
        for (position, part) in text.split('"').enumerate() {
            if position % 2 == 1 {
                search.all.extend(Some(part.trim().to_owned()).filter(|phrase| !phrase.is_empty()));
                continue;
            }
            for word in part.split_whitespace() {
                match word.strip_prefix('-').filter(|without| !without.is_empty()) {
                    Some(without) => search.none.push(stem(without)),
                    None => search.any.push(stem(word)),
                }
            }
        }
        search
    }
}

/// Letters that a stem has at least.
const SHORTEST_STEM: usize = 3;

/// The beginning that the forms of an English word have in common: `train` of `trained`, `quer` of `queries`. What is
/// not made of letters alone, an id or a version, stays as it is.
fn stem(word: &str) -> String {
    let lower = word.to_lowercase();
    if !lower.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return lower;
    }
    let has_vowel = |text: &str| text.contains(['a', 'e', 'i', 'o', 'u', 'y']);
    for ending in ["ies", "ing", "ed", "es", "s", "e", "y"] {
        let Some(rest) = lower.strip_suffix(ending) else { continue };
        if rest.len() < SHORTEST_STEM || !has_vowel(rest) || (ending == "s" && rest.ends_with('s')) {
            continue;
        }
        let is_doubled = matches!(ending, "ing" | "ed")
            && rest.len() > SHORTEST_STEM
            && rest.as_bytes().windows(2).next_back().is_some_and(|two| two[0] == two[1]);
        return if is_doubled { rest[..rest.len() - 1].to_owned() } else { rest.to_owned() };
    }
    lower
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_of_a_word_have_one_beginning() {
        for forms in [
            &["train", "trains", "trained", "training"][..],
            &["run", "runs", "running"],
            &["query", "queries"],
            &["cache", "caches", "cached", "caching"],
            &["batch", "batches"],
        ] {
            let stems: Vec<String> = forms.iter().map(|form| stem(form)).collect();
            assert!(stems.iter().all(|one| *one == stems[0]), "{forms:?}: {stems:?}");
            assert!(forms.iter().all(|form| form.starts_with(&stems[0])));
        }
        for word in ["loss", "gpu", "bus", "v1.2s", "0123abcdefs", "red", "größe"] {
            assert_eq!(stem(word), word);
        }
    }

    #[test]
    fn a_search_has_words_phrases_and_what_must_not_be_there() {
        let search = Search::of(r#"Training "a 50 % Test" -old - """#);
        let expected = Search {
            any: vec!["train".to_owned(), "-".to_owned()],
            all: vec!["a 50 % Test".to_owned()],
            none: vec!["old".to_owned()],
        };
        assert_eq!(search, expected);
        assert_eq!(Search::of(r#" " "#), Search::default());
    }
}
