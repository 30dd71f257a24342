//! Texts that must have a form, and pairs.

use core::net::IpAddr;

use super::super::error::ValueError;
use super::super::spec::PullPolicy;

/// Any text but none.
pub(in super::super) fn text(value: &str) -> Result<String, ValueError> {
    if value.trim().is_empty() { Err(ValueError::Expected("a text")) } else { Ok(value.to_owned()) }
}

/// A text without white space.
pub(in super::super) fn word(value: &str) -> Result<String, ValueError> {
    if value.is_empty() || value.contains(char::is_whitespace) {
        return Err(ValueError::Expected("a word without spaces"));
    }
    Ok(value.to_owned())
}

/// An absolute path.
pub(in super::super) fn absolute(value: &str) -> Result<String, ValueError> {
    if value.starts_with('/') { Ok(value.to_owned()) } else { Err(ValueError::Expected("an absolute path")) }
}

/// The name of a container.
pub(in super::super) fn container_name(value: &str) -> Result<String, ValueError> {
    let bare = value.strip_prefix('/').unwrap_or(value);
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    let is_name = bare.len() > 1 && bare.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    if is_name && bare.chars().all(is_letter) {
        return Ok(bare.to_owned());
    }
    Err(ValueError::Expected("two or more letters, digits, `_`, `.` and `-`, with a letter or digit first"))
}

/// The name of a host.
pub(in super::super) fn hostname(value: &str) -> Result<String, ValueError> {
    let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
    if value.is_empty() || value.len() > 64 || value.starts_with('-') || !value.chars().all(is_letter) {
        return Err(ValueError::Expected("the name of a host: at most 64 letters, digits, `-` and `.`"));
    }
    Ok(value.to_owned())
}

/// An address of either kind.
pub(in super::super) fn ip(value: &str) -> Result<String, ValueError> {
    let address: Result<IpAddr, _> = value.parse();
    address.map(|_| value.to_owned()).map_err(|_| ValueError::Expected("an address like 10.0.0.5"))
}

/// An IPv4 address.
pub(in super::super) fn ip4(value: &str) -> Result<String, ValueError> {
    let address: Result<core::net::Ipv4Addr, _> = value.parse();
    address.map(|_| value.to_owned()).map_err(|_| ValueError::Expected("an IPv4 address like 10.0.0.5"))
}

/// An IPv6 address.
pub(in super::super) fn ip6(value: &str) -> Result<String, ValueError> {
    let address: Result<core::net::Ipv6Addr, _> = value.parse();
    address.map(|_| value.to_owned()).map_err(|_| ValueError::Expected("an IPv6 address like fd00::5"))
}

/// A MAC address.
pub(in super::super) fn mac(value: &str) -> Result<String, ValueError> {
    let parts: Vec<&str> = value.split([':', '-']).collect();
    let is_byte = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if parts.len() == 6 && parts.iter().all(is_byte) {
        return Ok(value.to_owned());
    }
    Err(ValueError::Expected("a MAC address like 02:42:ac:11:00:02"))
}

/// A variable: `NAME=VALUE`, or `NAME` for the value that the host has.
pub(in super::super) fn variable(value: &str) -> Result<(String, Option<String>), ValueError> {
    let (name, value) = match value.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (value, None),
    };
    if name.trim().is_empty() || name.contains(char::is_whitespace) {
        return Err(ValueError::Expected("NAME=VALUE, with a name without spaces"));
    }
    Ok((name.to_owned(), value))
}

/// `name=value`, or `name` for an empty value.
pub(in super::super) fn label(value: &str) -> Result<(String, String), ValueError> {
    let (name, value) = value.split_once('=').unwrap_or((value, ""));
    if name.trim().is_empty() {
        return Err(ValueError::Expected("NAME=VALUE"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// `name=value`.
pub(in super::super) fn pair(value: &str) -> Result<(String, String), ValueError> {
    let (name, value) = value.split_once('=').ok_or(ValueError::Expected("NAME=VALUE"))?;
    if name.trim().is_empty() {
        return Err(ValueError::Expected("NAME=VALUE"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// `name:address` or `name=address`; the address may be `host-gateway`.
pub(in super::super) fn host_entry(value: &str) -> Result<(String, String), ValueError> {
    const ENTRY: ValueError = ValueError::Expected("a name and an address: db:10.0.0.5, or db:host-gateway");
    let (name, address) = value.split_once('=').or_else(|| value.split_once(':')).ok_or(ENTRY)?;
    let bare = address.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(address);
    if name.is_empty() || (bare != "host-gateway" && ip(bare).is_err()) {
        return Err(ENTRY);
    }
    Ok((name.to_owned(), bare.to_owned()))
}

/// A capability of the kernel, or `ALL`.
pub(in super::super) fn capability(value: &str) -> Result<String, ValueError> {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    if value.is_empty() || !value.bytes().all(is_letter) {
        return Err(ValueError::Expected("a capability like SYS_PTRACE, or ALL"));
    }
    Ok(value.to_ascii_uppercase())
}

/// A signal, by name or number.
pub(in super::super) fn signal(value: &str) -> Result<String, ValueError> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-".contains(&byte);
    if value.is_empty() || value.starts_with('-') || !value.bytes().all(is_letter) {
        return Err(ValueError::Expected("a signal like SIGINT or 2"));
    }
    Ok(value.to_owned())
}

/// Namespaces that a container may share, by the first word of what names them: what follows it is a container's name or
/// a path. Engines take anything else for the default, or say what they do not know only when the container starts.
pub(in super::super) fn namespace(value: &str, kinds: &[&str], expected: &'static str) -> Result<String, ValueError> {
    let (kind, rest) = value.split_once(':').map_or((value, None), |(kind, rest)| (kind, Some(rest)));
    let needs_more = matches!(kind, "container" | "ns");
    let has_more = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace));
    let is_whole = has_more || (rest.is_none() && !needs_more);
    if kinds.contains(&kind) && is_whole { Ok(value.to_owned()) } else { Err(ValueError::Expected(expected)) }
}

/// A namespace of the control groups.
pub(in super::super) fn cgroup_namespace(value: &str) -> Result<String, ValueError> {
    match value {
        "host" | "private" => Ok(value.to_owned()),
        _ => Err(ValueError::Expected("host or private")),
    }
}

/// When an image is pulled.
pub(in super::super) fn pull(value: &str) -> Result<PullPolicy, ValueError> {
    match value {
        "always" => Ok(PullPolicy::Always),
        "missing" => Ok(PullPolicy::Missing),
        "never" => Ok(PullPolicy::Never),
        _ => Err(ValueError::Expected("always, missing or never")),
    }
}

/// A rule for devices: `c 1:3 rwm`.
pub(in super::super) fn device_rule(value: &str) -> Result<String, ValueError> {
    const RULE: ValueError = ValueError::Expected("a rule like `c 1:3 mr`");
    let parts: Vec<&str> = value.split(' ').collect();
    let [kind, numbers, access] = parts.as_slice() else { return Err(RULE) };
    let (major, minor) = numbers.split_once(':').ok_or(RULE)?;
    let is_number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    let is_access = !access.is_empty() && access.len() <= 3 && access.bytes().all(|byte| b"rwm".contains(&byte));
    if ["a", "b", "c"].contains(kind) && is_number(major) && is_number(minor) && is_access {
        return Ok(value.to_owned());
    }
    Err(RULE)
}

/// `CONTAINER[:ALIAS]`.
pub(in super::super) fn link(value: &str) -> Result<String, ValueError> {
    let (name, alias) = value.split_once(':').unwrap_or((value, value));
    if name.is_empty() || alias.is_empty() || alias.contains(':') {
        return Err(ValueError::Expected("the name of a container, and an alias: db or db:database"));
    }
    Ok(value.to_owned())
}

/// `/place` or `/place:options`.
pub(in super::super) fn tmpfs(value: &str) -> Result<(String, String), ValueError> {
    let (target, options) = value.split_once(':').unwrap_or((value, ""));
    let target = absolute(target).map_err(|_| ValueError::Expected("an absolute path, and options: /tmp:size=64m"))?;
    Ok((target, options.to_owned()))
}

/// Whether a container is started again by the engine, which it never is.
pub(in super::super) fn restart(value: &str) -> Result<(), ValueError> {
    match value {
        "" | "no" => Ok(()),
        _ => Err(ValueError::Impossible(
            "the engine must not start a task again on its own: its end is the end of the task; put it into its queue \
             again instead",
        )),
    }
}

/// The technology that isolates containers, of which there is one on Linux.
pub(in super::super) fn isolation(value: &str) -> Result<(), ValueError> {
    match value {
        "" | "default" => Ok(()),
        _ => Err(ValueError::Impossible("only Windows has others than `default`")),
    }
}
