//! What decides on everything that is in a container before its task starts.

use drivers::container::Image;
use protocols::order::ContainerOrder;

/// Folders in which an image has its programs and their libraries.
const SYSTEM_FOLDERS: [&str; 7] = ["/usr", "/opt", "/bin", "/sbin", "/lib", "/lib32", "/lib64"];
/// Parts of the names of other folders that may have an interpreter, or packages for one.
const TELLING_PARTS: [&str; 4] = ["conda", "mamba", "forge", "/.local"];
/// Variables that say where programs, and packages of Python, are.
const VARIABLES: [&str; 5] = ["PATH", "CONDA_EXE", "MAMBA_EXE", "PYTHONHOME", "PYTHONPATH"];

/// A name for it. The content of the image and the setup scripts; and of the arguments what puts programs there, or leads
/// the search for them elsewhere, or is spoken of in a script. Other arguments, be they different for each task, make no
/// other site: no environment is built once more for them.
pub(super) fn site_of(image: &Image, container: &ContainerOrder) -> String {
    let scripts = container.scripts.iter().map(|script| script.text.clone());
    let all = std::iter::once(image.id.clone()).chain(scripts).chain(of_arguments(container));
    drivers::container::digest(all)
}

fn of_arguments(container: &ContainerOrder) -> Vec<String> {
    let spec = &container.spec;
    let is_spoken_of = |name: &str| container.scripts.iter().any(|script| script.text.contains(name));
    let variables: Vec<(&str, &str)> = spec
        .environment
        .iter()
        .filter(|(name, _)| VARIABLES.contains(&name.as_str()) || is_spoken_of(name))
        .map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default()))
        .collect();
    let named: Vec<&str> =
        variables.iter().filter(|(name, _)| VARIABLES.contains(name)).flat_map(|(_, value)| value.split(':')).collect();
    let counts = |place: &str| {
        SYSTEM_FOLDERS.iter().chain(&named).any(|folder| is_same_or_around(folder, place))
            || TELLING_PARTS.iter().any(|part| place.to_lowercase().contains(part))
    };
    let mut said: Vec<String> = Vec::new();
    said.extend(spec.volumes.iter().filter(|volume| counts(&volume.target)).map(ToString::to_string));
    said.extend(spec.mounts.iter().filter(|mount| counts(&mount.target)).map(ToString::to_string));
    said.extend(spec.tmpfs.iter().filter(|(target, _)| counts(target)).map(|(target, _)| format!("tmpfs {target}")));
    said.extend(spec.volumes_from.iter().map(|other| format!("volumes of {other}")));
    said.extend(variables.iter().map(|(name, value)| format!("{name}={value}")));
    said.sort();
    said
}

/// Whether one of two folders is in the other, or is the other.
fn is_same_or_around(one: &str, other: &str) -> bool {
    let (one, other) = (std::path::Path::new(one), std::path::Path::new(other));
    one.is_absolute() && (one.starts_with(other) || other.starts_with(one))
}

#[cfg(test)]
mod tests {
    use protocols::container::{ContainerSpec, Origin, parse};
    use protocols::order::SetupScript;

    use super::*;

    #[test]
    fn what_brings_programs_counts_and_what_is_one_tasks_alone_does_not() {
        let said = |arguments: &str, script: &str| {
            let (spec, _) = ContainerSpec::of(&parse(arguments, Origin::Task).unwrap()).unwrap();
            let scripts = vec![SetupScript { name: "the script".into(), text: script.into() }];
            of_arguments(&ContainerOrder { spec, scripts, ..ContainerOrder::default() })
        };
        assert_eq!(said("", ""), Vec::<String>::new());
        let data =
            "-v /d/1:/data --mount type=bind,src=/x,dst=/root/data -e RUN=1 --tmpfs /tmp --shm-size 1g --ipc=host";
        assert_eq!(said(data, "pip install x"), Vec::<String>::new());
        for arguments in [
            "-v /a:/opt/conda",
            "-v /a:/usr/local/bin:ro",
            "-v /a:/miniconda3",
            "-v tools:/root/.local",
            "--mount type=bind,src=/a,dst=/usr/lib/python3/dist-packages",
            "--tmpfs /opt",
            "--volumes-from other",
            "-e PATH=/x:/usr/bin",
        ] {
            assert_eq!(said(arguments, "").len(), 1, "{arguments}");
        }
        assert_eq!(said("-v /a:/tools -e PATH=/tools/bin:/bin", "").len(), 2);
        assert_eq!(said("-e EXTRA=six -e OTHER=1", "pip install $EXTRA"), ["EXTRA=six"]);
        assert_ne!(said("-v /a:/opt/py", ""), said("-v /b:/opt/py", ""));
    }
}
