//! Names of images.

/// Whether an engine can take this for the name of an image: `[HOST[:PORT]/]PATH[:TAG][@DIGEST]`, or an image's id.
pub fn is_image_name(text: &str) -> bool {
    let (name, digest) = text.split_once('@').map_or((text, None), |(name, digest)| (name, Some(digest)));
    let (host, rest) = match name.split_once('/') {
        Some((host, rest)) if may_be_host(host) => (Some(host), rest),
        _ => (None, name),
    };
    let (path, tag) = rest.split_once(':').map_or((rest, None), |(path, tag)| (path, Some(tag)));
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_part = |part: &str| {
        let bytes = part.as_bytes();
        let ends = bytes.first().zip(bytes.last()).is_some_and(|(first, last)| is_plain(*first) && is_plain(*last));
        ends && bytes.iter().all(|byte| is_plain(*byte) || b"._-".contains(byte))
    };
    let is_tag = |tag: &str| {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=128).contains(&tag.len()) && !tag.starts_with(['.', '-']) && tag.bytes().all(is_letter)
    };
    path.len() <= 255
        && path.split('/').all(is_part)
        && host.is_none_or(is_host)
        && tag.is_none_or(is_tag)
        && digest.is_none_or(is_digest)
}

/// The first part of a path is a host where no path can begin like that.
fn may_be_host(part: &str) -> bool {
    part.contains(['.', ':']) || part == "localhost" || part.contains(|letter: char| letter.is_ascii_uppercase())
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    let is_name = !name.is_empty() && !name.starts_with(['.', '-']) && name.bytes().all(is_letter);
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_address = bare.is_some_and(|address| address.parse::<core::net::Ipv6Addr>().is_ok());
    (is_name || is_address) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, digits)| {
        !algorithm.is_empty()
            && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+._-".contains(&byte))
            && digits.len() >= 32
            && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_told_from_others() {
        let digest = "0".repeat(64);
        for name in [
            "ubuntu",
            "ubuntu:22.04",
            "nvidia/cuda:12.6.3-cudnn-runtime-ubuntu20.04",
            "localhost/a",
            "localhost:5000/a/b_c:V1.0",
            "r.example.com:443/a--b/c__d",
            "[::1]:5000/a",
            "HOST/a",
            &format!("a@sha256:{digest}"),
            &format!("r.example/a:1@sha256:{digest}"),
            &format!("sha256:{digest}"),
            &digest,
        ] {
            assert!(is_image_name(name), "{name}");
        }
        for name in [
            "",
            "/",
            "..",
            "a b",
            "UPPER",
            "a/UPPER",
            "-x",
            "a:",
            "a:b/c:d:e",
            "a@sha256:00",
            "../../containers/json",
            "http://x/y",
            "a?x=1",
            "a#",
            "a%20",
            "\u{e9}",
            "a//b",
            "h.example:port/a",
            &"x".repeat(300),
        ] {
            assert!(!is_image_name(name), "{name}");
        }
    }
}
