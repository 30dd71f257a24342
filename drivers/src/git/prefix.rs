//! What stands before the names in a diff: `a/` and `b/`, if the user's configuration of git (`diff.noprefix`,
//! `diff.mnemonicPrefix`, `diff.srcPrefix`, `diff.dstPrefix`) does not say something else. Pure.

use std::borrow::Cow;

use super::patch::sections;

/// What git writes, if nobody tells it something else.
const USUAL: [&str; 2] = ["a/", "b/"];
/// What else it may write of itself: commit, index, work tree, object, and both sides of a comparison of files.
const MNEMONIC: [&str; 8] = ["a/", "b/", "c/", "i/", "w/", "o/", "1/", "2/"];

/// The diff with the usual prefixes. A section that has them, or whose prefixes cannot be told, stays as it is.
pub(super) fn with_usual(diff: &str) -> Cow<'_, str> {
    let unusual = |section| prefixes(section).filter(|prefixes| *prefixes != USUAL);
    let sections = sections(diff);
    if !sections.iter().any(|section| unusual(section).is_some()) {
        return Cow::Borrowed(diff);
    }
    let replaced = sections.into_iter().map(|section| match unusual(section) {
        Some(prefixes) => Cow::Owned(replaced(section, prefixes, USUAL)),
        None => Cow::Borrowed(section),
    });
    Cow::Owned(replaced.collect())
}

/// A section with the usual prefixes whose names are relative to a folder that they lie in. Those that a rename names
/// are already, where git has written the changes in a submodule.
pub(super) fn relative_to<'d>(section: &'d str, folder: &str) -> Cow<'d, str> {
    if folder.is_empty() {
        return Cow::Borrowed(section);
    }
    let [old, new] = USUAL.map(|prefix| format!("{prefix}{folder}/"));
    Cow::Owned(replaced(section, [&old, &new], USUAL))
}

/// Replaces what stands before the names in the header of a section. Lines of its hunks may look like those of a header.
fn replaced(section: &str, from: [&str; 2], to: [&str; 2]) -> String {
    let names = names(section);
    let (header, hunks) = section.split_at(header_length(section));
    let mut text = String::with_capacity(section.len() + 8);
    for line in header.split_inclusive('\n') {
        let (content, end) = line.split_at(line.trim_end_matches(['\n', '\r']).len());
        let changed = if content.starts_with(HEADER) {
            names.map(|[old, new]| format!("{HEADER}{} {}", renamed(old, from[0], to[0]), renamed(new, from[1], to[1])))
        } else if let Some(old) = content.strip_prefix("--- ") {
            Some(format!("--- {}", renamed(old, from[0], to[0])))
        } else {
            content.strip_prefix("+++ ").map(|new| format!("+++ {}", renamed(new, from[1], to[1])))
        };
        text.push_str(changed.as_deref().unwrap_or(content));
        text.push_str(end);
    }
    text.push_str(hunks);
    text
}

fn renamed<'n>(name: &'n str, from: &str, to: &str) -> Cow<'n, str> {
    let (quote, inner) = name.strip_prefix('"').map_or(("", name), |inner| ("\"", inner));
    match inner.strip_prefix(from).filter(|_| name != NOTHING) {
        Some(rest) => Cow::Owned(format!("{quote}{to}{rest}")),
        None => Cow::Borrowed(name),
    }
}

const HEADER: &str = "diff --git ";
/// The name of a file that is not there.
const NOTHING: &str = "/dev/null";

/// Where the hunks of a section begin, or its bytes.
fn header_length(section: &str) -> usize {
    ["\n@@ -", "\nGIT binary patch"]
        .iter()
        .filter_map(|start| section.find(start))
        .min()
        .map_or(section.len(), |at| at + 1)
}

/// The value of a header line.
fn value<'d>(section: &'d str, key: &str) -> Option<&'d str> {
    section[..header_length(section)].lines().find_map(|line| line.strip_prefix(key))
}

/// The names in the first line of a section, with their prefixes, and quoted where git has quoted them.
fn names(section: &str) -> Option<[&str; 2]> {
    let text = value(section, HEADER)?;
    let told = ["--- ", "+++ "].map(|key| {
        // Behind a name with spaces stands a tab.
        value(section, key).map(|name| name.trim_end_matches('\t')).filter(|name| *name != NOTHING)
    });
    let moved = moved(section);
    let fits = |[old, new]: &[&str; 2]| {
        let is_told = |name: &str, told: Option<&str>| told.is_none_or(|told| told == name);
        let names_match = match moved {
            Some([from, to]) => head(bare(old), from).is_some() && head(bare(new), to).is_some(),
            None => bare(old).rsplit('/').next() == bare(new).rsplit('/').next(),
        };
        is_whole(old) && is_whole(new) && is_told(old, told[0]) && is_told(new, told[1]) && names_match
    };
    let split = |at: usize| [&text[..at], &text[at + 1..]];
    let mut found = text.match_indices(' ').map(|(at, _)| split(at)).filter(fits);
    match (found.next(), found.next()) {
        (only, None) => only,
        // Of a file with spaces in its name: prefixes of equal length are what there is, but for those of one's own.
        (Some(_), Some(_)) => {
            let middle = text.len() / 2;
            (text.as_bytes().get(middle) == Some(&b' ')).then(|| split(middle)).filter(fits)
        }
        (None, Some(_)) => None,
    }
}

/// Where a file comes from and what it becomes, without prefixes, if it is renamed or copied.
fn moved(section: &str) -> Option<[&str; 2]> {
    let value = |rename, copy| value(section, rename).or_else(|| value(section, copy)).map(bare);
    Some([value("rename from ", "copy from ")?, value("rename to ", "copy to ")?])
}

/// Whether a name is all of one: git quotes those with quotes in them.
fn is_whole(name: &str) -> bool {
    match name.strip_prefix('"') {
        None => !name.is_empty() && !name.contains('"'),
        Some(rest) => {
            let mut is_escaped = false;
            let end = rest.find(|letter| {
                let is_end = letter == '"' && !is_escaped;
                is_escaped = letter == '\\' && !is_escaped;
                is_end
            });
            end == Some(rest.len().saturating_sub(1))
        }
    }
}

/// A name without its quotes. What is escaped in it stays so, which is the same on both sides.
fn bare(name: &str) -> &str {
    name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name)
}

/// What stands before the last components of a name.
fn head<'n>(name: &'n str, tail: &str) -> Option<&'n str> {
    name.strip_suffix(tail).filter(|head| head.is_empty() || head.ends_with('/'))
}

/// The prefixes of both names of a section: what is left of them without the path, which they share.
fn prefixes(section: &str) -> Option<[&str; 2]> {
    let [old, new] = names(section)?.map(bare);
    let [old, new] = match moved(section) {
        Some([from, to]) => [head(old, from)?, head(new, to)?],
        None => [old, new],
    };
    if old == new {
        return Some(["", ""]);
    }
    let mnemonic = |name: &str| MNEMONIC.iter().find(|prefix| name.starts_with(**prefix)).copied();
    let shared = old.bytes().rev().zip(new.bytes().rev()).take_while(|(old, new)| old == new).count();
    let ends = [old.len() - shared, new.len() - shared];
    let is_component = |name: &str, end: usize| end == 0 || name.as_bytes()[end - 1] == b'/';
    // Back to where a component begins.
    let begin = match is_component(old, ends[0]) && is_component(new, ends[1]) {
        true => 0,
        false => old.as_bytes()[ends[0]..].iter().position(|byte| *byte == b'/')? + 1,
    };
    let custom = [&old[..ends[0] + begin], &new[..ends[1] + begin]];
    // One by hand may say `a/x/m b/y/m`, whose prefixes are not longer for that.
    match custom.map(mnemonic) {
        [Some(old), Some(new)] => Some([old, new]),
        [Some(_) | None, Some(_) | None] => Some(custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a diff with other prefixes: with those of its names exchanged, it must become the usual one.
    #[track_caller]
    fn check(unusual: &str, usual: &str) {
        assert_eq!(with_usual(unusual), usual);
        assert!(matches!(with_usual(usual), Cow::Borrowed(text) if text == usual), "{usual}");
    }

    /// All kinds of sections, with `OLD` and `NEW` for prefixes, the path of a submodule before some names.
    const ALL: &str = "Submodule libs/s 1..2:
diff --git OLDsrc/m.py NEWsrc/m.py
index 0ff3bbb..d4de868 100644
--- OLDsrc/m.py
+++ NEWsrc/m.py
@@ -1,3 +1,3 @@
--- a/src/m.py
--- src/m.py
+++ src/m.py
+++ c/src/m.py
 diff --git src/m.py src/m.py
diff --git OLDtwo words NEWtwo words
new file mode 100644
--- /dev/null
+++ NEWtwo words\t
@@ -0,0 +1 @@
+x
diff --git OLDx y x NEWx y x
old mode 100644
new mode 100755
diff --git \"OLDgr\\303\\274n \\\"\" \"NEWgr\\303\\274n \\\"\"
deleted file mode 100644
--- \"OLDgr\\303\\274n \\\"\"
+++ /dev/null
@@ -1 +0,0 @@
-x
diff --git OLDa/x.py NEWb/x.py
similarity index 100%
rename from a/x.py
rename to b/x.py
diff --git OLDlibs/s/one two \"NEWlibs/s/gr\\303\\274n\"
similarity index 90%
copy from one two
copy to \"gr\\303\\274n\"
--- OLDlibs/s/one two\t
+++ \"NEWlibs/s/gr\\303\\274n\"
@@ -1 +1 @@
-a
+b
diff --git OLDa/data.bin NEWa/data.bin
index 1..2 100644
GIT binary patch
literal 3
KcmZo
";

    #[test]
    fn every_prefix_becomes_the_usual_one() {
        let with = |old: &str, new: &str| ALL.replace("OLD", old).replace("NEW", new);
        let usual = with("a/", "b/");
        for (old, new) in
            [("", ""), ("c/", "w/"), ("c/", "i/"), ("i/", "w/"), ("1/", "2/"), ("old/", "new/"), ("my/old/", "my/new/")]
        {
            check(&with(old, new), &usual);
        }
        // Of different lengths, and with the same end.
        let section = "diff --git left/src/m right/src/m\n--- left/src/m\n+++ right/src/m\n";
        check(section, &section.replace("left/", "a/").replace("right/", "b/"));
        check("diff --git left/m right/m\nold mode 1\n", "diff --git a/m b/m\nold mode 1\n");
        check(
            "diff --git x y\r\nrename from x\r\nrename to y\r\n",
            "diff --git a/x b/y\r\nrename from x\r\nrename to y\r\n",
        );
    }

    #[test]
    fn what_cannot_be_told_stays() {
        for diff in [
            "--- x\n+++ x\n@@ -1 +1 @@\n-a\n+b\n",
            "diff --git old-m new-m\n--- old-m\n+++ new-m\n",
            "diff --git a/x/m b/y/m\n--- a/x/m\n+++ b/y/m\n",
            "diff --git a/old b/new\n--- a/old\n+++ b/new\n",
            "diff --git \"a/x b/x\n",
            "diff --git \n",
            "diff --git é/m ê/m\n--- /dev/null\n",
            "",
        ] {
            let usual = with_usual(diff);
            let is_custom = diff.contains("é/m");
            assert_eq!(usual == diff, !is_custom, "{diff}");
        }
    }

    #[test]
    fn names_in_a_submodule_become_its_own() {
        let section = "diff --git a/libs/s/e b/libs/s/f\nrename from e\nrename to f\n--- a/libs/s/e\n+++ b/libs/s/f\n\
            @@ -1 +1 @@\n--- a/libs/s/e\n+b\n";
        let own = "diff --git a/e b/f\nrename from e\nrename to f\n--- a/e\n+++ b/f\n@@ -1 +1 @@\n--- a/libs/s/e\n+b\n";
        assert_eq!(relative_to(section, "libs/s"), own);
        assert_eq!(relative_to(section, ""), section);
    }
}
