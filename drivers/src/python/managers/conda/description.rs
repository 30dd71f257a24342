//! An environment in words that conda, mamba and micromamba read from a file, for what no command line may hold.

use super::secrets::has_secret;

/// The text of an `environment.yml`. Nothing is searched but these channels, and those that packages name with a
/// secret: a channel is one to these programs whether they got its secret with it or not.
pub(super) fn description<'a>(
    channels: impl IntoIterator<Item = &'a str>,
    packages: impl IntoIterator<Item = &'a str>,
) -> String {
    let packages: Vec<&str> = packages.into_iter().collect();
    let mut all: Vec<&str> = channels.into_iter().collect();
    for (channel, _) in packages.iter().filter_map(|package| package.rsplit_once("::")) {
        if has_secret(channel) && !all.contains(&channel) {
            all.push(channel);
        }
    }
    // The channels of the user's own configuration are not asked.
    all.push("nodefaults");
    let list = |name: &str, items: &[&str]| {
        let items = items.iter().map(|item| format!("- {}\n", quoted(item)));
        format!("{name}:\n{}", items.collect::<String>())
    };
    list("channels", &all) + &list("dependencies", &packages)
}

/// A text in quotes, which YAML reads as JSON does. What the name of a variable would be replaced in, in channels, is
/// written as URLs may write it.
fn quoted(text: &str) -> String {
    let text = if text.contains("://") { text.replace('$', "%24") } else { text.to_owned() };
    serde_json::Value::String(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_one_text() {
        let text = description(
            ["https://me:p$HOME@h/own", "conda-forge"],
            ["python=3.10", "https://h/t/x/other::a>=1,<2", "b[version='>1']"],
        );
        assert_eq!(
            text,
            "channels:\n- \"https://me:p%24HOME@h/own\"\n- \"conda-forge\"\n- \"https://h/t/x/other\"\n\
             - \"nodefaults\"\ndependencies:\n- \"python=3.10\"\n- \"https://h/t/x/other::a>=1,<2\"\n\
             - \"b[version='>1']\"\n"
        );
    }
}
