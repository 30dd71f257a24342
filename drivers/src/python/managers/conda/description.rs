//! Channels and packages in words that these programs read from a file, for what no command line may hold.

use super::secrets::has_secret;

/// For mamba and micromamba, the text of an `environment.yml`. Nothing is searched but these channels, and those that
/// packages name with a secret.
pub(super) fn description(channels: &[&str], packages: &[&str]) -> String {
    let mut all = searched(channels, packages);
    // The channels of the user's own configuration are not asked.
    all.push("nodefaults");
    let list = |name: &str, items: &[&str]| {
        let items = items.iter().map(|item| format!("- {}\n", quoted(item)));
        format!("{name}:\n{}", items.collect::<String>())
    };
    list("channels", &all) + &list("dependencies", packages)
}

/// The channels, and those that packages name with a secret: without it these programs do not get at them, and where it
/// stands in a package alone they do not use it.
fn searched<'t>(channels: &[&'t str], packages: &[&'t str]) -> Vec<&'t str> {
    let mut all = channels.to_vec();
    for (channel, _) in packages.iter().filter_map(|package| package.rsplit_once("::")) {
        if has_secret(channel) && !all.contains(&channel) {
            all.push(channel);
        }
    }
    all
}

/// For conda.
pub(super) struct Settings {
    /// The text of a `.condarc`, in which channels have names.
    pub(super) text: String,
    /// The channels, those with secrets by these names.
    pub(super) names: Vec<String>,
}

/// Gives names to the channels that have secrets: as channels of several are named, whose name is not part of the URL.
pub(super) fn settings(channels: &[&str], packages: &[&str]) -> Settings {
    let mut settings = Settings { text: "custom_multichannels:\n".to_owned(), names: Vec::new() };
    for (number, channel) in (1..).zip(searched(channels, packages)) {
        if !has_secret(channel) {
            settings.names.push(channel.to_owned());
            continue;
        }
        let name = format!("private-channel-{number}");
        settings.text += &format!("  {name}:\n  - {}\n", quoted(channel));
        settings.names.push(name);
    }
    settings
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
            &["https://me:p$HOME@h/own", "conda-forge"],
            &["python=3.10", "https://h/t/x/other::a>=1,<2", "b[version='>1']"],
        );
        assert_eq!(
            text,
            "channels:\n- \"https://me:p%24HOME@h/own\"\n- \"conda-forge\"\n- \"https://h/t/x/other\"\n\
             - \"nodefaults\"\ndependencies:\n- \"python=3.10\"\n- \"https://h/t/x/other::a>=1,<2\"\n\
             - \"b[version='>1']\"\n"
        );
    }

    #[test]
    fn only_channels_with_secrets_get_names() {
        let Settings { text, names } = settings(
            &["conda-forge", "https://h/t/x$Y/own", "https://h/plain"],
            &["https://h/t/z/other::a", "https://h/t/x$Y/own::b", "https://h/third::c"],
        );
        assert_eq!(names, ["conda-forge", "private-channel-2", "https://h/plain", "private-channel-4"]);
        assert_eq!(
            text,
            "custom_multichannels:\n  private-channel-2:\n  - \"https://h/t/x%24Y/own\"\n  private-channel-4:\n  \
             - \"https://h/t/z/other\"\n"
        );
    }
}
