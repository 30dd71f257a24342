//! Values that are lists of fields: `type=bind,src=/a,dst=/b`.

use super::super::error::ValueError;
use super::super::nearest::nearest;

/// Splits at commas. A field may be quoted, with a doubled quote for a quote, as in a CSV file; so may what follows
/// the first `=` of a field, which is more than Docker takes.
pub(super) fn fields(text: &str) -> Result<Vec<String>, ValueError> {
    const OPEN: ValueError = ValueError::Expected("a list of fields whose quotes are closed");
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut letters = text.chars().peekable();
    let mut may_quote = true;
    while let Some(letter) = letters.next() {
        match letter {
            ',' => {
                fields.push(std::mem::take(&mut field));
                may_quote = true;
                continue;
            }
            '"' if may_quote => loop {
                match letters.next().ok_or(OPEN)? {
                    '"' if letters.peek() == Some(&'"') => {
                        letters.next();
                        field.push('"');
                    }
                    '"' => break,
                    other => field.push(other),
                }
            },
            other => field.push(other),
        }
        may_quote = letter == '=' && !field[..field.len() - 1].contains('=');
    }
    fields.push(field);
    Ok(fields)
}

/// A field as its name and its value. Names are in any case.
pub(super) fn split_field(field: &str) -> (String, Option<&str>) {
    match field.split_once('=') {
        Some((name, value)) => (name.trim().to_ascii_lowercase(), Some(value)),
        None => (field.trim().to_ascii_lowercase(), None),
    }
}

/// The value of a field that needs one.
pub(super) fn needed(value: Option<&str>, what: &'static str) -> Result<String, ValueError> {
    value.filter(|value| !value.is_empty()).map(str::to_owned).ok_or(ValueError::Missing(what))
}

/// The error for a field that does not exist.
pub(super) fn unknown(field: &str, known: &[&'static str]) -> ValueError {
    ValueError::UnknownField { field: field.to_owned(), nearest: nearest(field, known.iter().copied()) }
}

/// Yes or no; a field without a value is yes.
pub(super) fn flag(field: &str, value: Option<&str>) -> Result<bool, ValueError> {
    match value {
        None | Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(_) => Err(ValueError::Part { part: field.to_owned(), expected: "true or false" }),
    }
}

/// Writes a field so that [`fields`] reads it as one.
pub(super) fn quoted(field: &str) -> String {
    let is_plain = !field.contains([',', '"']);
    if is_plain { field.to_owned() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_a_csv_file() {
        let check = |text: &str, expected: &[&str]| assert_eq!(fields(text).unwrap(), expected, "{text}");
        check("", &[""]);
        check("a=1,b", &["a=1", "b"]);
        check(r#""device=0,1",capabilities=utility"#, &["device=0,1", "capabilities=utility"]);
        check(r#"device="0,1",b=2"#, &["device=0,1", "b=2"]);
        check(r#""o=""x"", y""#, &[r#"o="x", y"#]);
        check(r#"a=b="c"#, &[r#"a=b="c"#]);
        assert!(fields(r#""a=1,b"#).is_err());
        for text in [r#"a="b",c"#, "plain", "", "x,y"] {
            assert_eq!(fields(&quoted(text)).unwrap(), [text], "{text}");
        }
    }
}
