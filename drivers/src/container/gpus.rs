//! How an engine gives GPUs to a container.
//!
//! | engine | way |
//! |---|---|
//! | Docker that knows the devices by the Container Device Interface | CDI, by their names |
//! | any other Docker | its NVIDIA driver, which is there where the NVIDIA Container Toolkit is installed |
//! | Podman from 5.5 on | CDI, by their names |
//! | older Podman, whose socket has no way | an own runtime or hook of it, by a variable |

use std::path::{Path, PathBuf};

use bollard::models::DeviceRequest;
use protocols::container::{ContainerSpec, GpuRequest};
use serde::{Deserialize, Serialize};

use super::engine::Engine;
use super::error::EngineError;

/// What CDI calls the cards of NVIDIA.
const CDI_CARDS: &str = "nvidia.com/gpu=";
/// By which NVIDIA's runtimes and hooks know which cards to give.
const VARIABLE: &str = "NVIDIA_VISIBLE_DEVICES";
/// Its value where they are to do nothing. An image may say `all`, and an engine may have such a runtime for everybody.
const NOTHING: &str = "void";
/// Of Podman, the first whose Docker-like interface takes CDI names.
const FIRST_PODMAN: (u64, u64) = (5, 5);
/// What makes the specifications by which CDI knows cards.
const GENERATE: &str = "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml --device-name-strategy=uuid";

/// The GPUs that a container gets. What its arguments say of cards does not count: its lease does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum GpuAccess {
    /// Nobody has said which: nothing is asked for, and nothing that the arguments ask for is kept from it.
    #[default]
    Unmanaged,
    /// None, whatever its image and its engine do by themselves.
    None,
    /// Those with these UUIDs, of cards or of MIG instances, or `all`, by the engine's NVIDIA driver.
    Cards(Vec<String>),
    /// The same, by the Container Device Interface.
    Cdi(Vec<String>),
    /// The same, by a runtime or a hook of the engine that is asked for nothing but looks at a variable.
    Variable(Vec<String>),
}

impl GpuAccess {
    /// The variable that it needs in the container's configuration.
    pub(super) fn variable(&self) -> Option<(&'static str, String)> {
        let value = match self {
            // The engine's driver sets it itself.
            Self::Unmanaged | Self::Cards(_) => return None,
            // What CDI puts into the container a runtime must not put there once more.
            Self::None | Self::Cdi(_) => NOTHING.to_owned(),
            Self::Variable(uuids) => uuids.join(","),
        };
        Some((VARIABLE, value))
    }

    /// What the engine is asked for, with what the arguments say of how cards are given, and other devices that they
    /// ask for.
    pub(super) fn requests(&self, spec: &ContainerSpec) -> Vec<DeviceRequest> {
        let asked = spec.gpus.clone().unwrap_or_default();
        let is_taken = |device: &&String| *self == Self::Unmanaged || !device.starts_with(CDI_CARDS);
        let mut cdi: Vec<String> = spec.cdi_devices.iter().filter(is_taken).cloned().collect();
        let mut requests = Vec::new();
        match self {
            Self::Unmanaged | Self::None | Self::Variable(_) => {}
            Self::Cards(uuids) if uuids.is_empty() => {}
            Self::Cards(uuids) => requests.push(cards(uuids, &asked)),
            Self::Cdi(uuids) => cdi.extend(uuids.iter().map(|uuid| cdi_name(uuid))),
        }
        if !cdi.is_empty() {
            let driver = Some("cdi".to_owned());
            requests.push(DeviceRequest { driver, device_ids: Some(cdi), ..DeviceRequest::default() });
        }
        requests
    }
}

fn cards(uuids: &[String], asked: &GpuRequest) -> DeviceRequest {
    let mut capabilities = asked.capabilities.clone();
    if !capabilities.iter().any(|capability| capability == "gpu") {
        capabilities.push("gpu".to_owned());
    }
    DeviceRequest {
        driver: asked.driver.clone(),
        // A count and a list exclude each other.
        count: None,
        device_ids: Some(uuids.to_vec()),
        capabilities: Some(vec![capabilities]),
        options: super::create::some_map(&asked.options),
    }
}

fn cdi_name(uuid: &str) -> String {
    format!("{CDI_CARDS}{uuid}")
}

/// `/version` of an engine.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct About {
    components: Vec<Component>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Component {
    name: String,
    version: String,
}

/// Of `/info`, what an engine knows of CDI.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Known {
    /// Where it looks for specifications; absent or empty where it does not.
    #[serde(rename = "CDISpecDirs")]
    folders: Option<Vec<PathBuf>>,
    /// What it found there; absent where it does not say.
    #[serde(rename = "DiscoveredDevices")]
    devices: Option<Vec<Found>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Found {
    #[serde(rename = "ID")]
    id: String,
}

impl Engine {
    /// How this engine gives a container these GPUs: UUIDs, or `all`.
    pub fn gpu_access(&self, uuids: &[String]) -> Result<GpuAccess, EngineError> {
        if uuids.is_empty() {
            return Ok(GpuAccess::None);
        }
        let about: About = self.get("/version", "say its version")?;
        if let Some(version) = podman(&about) {
            let uuids = uuids.to_vec();
            return Ok(if takes_cdi(version) { GpuAccess::Cdi(uuids) } else { GpuAccess::Variable(uuids) });
        }
        Ok(choose(uuids, &self.known()?))
    }

    fn known(&self) -> Result<Known, EngineError> {
        self.get("/info", "say what it knows")
    }

    /// What a refusal means where it is about GPUs: of the machine, and to be mended there.
    pub(super) fn of_gpus(&self, error: EngineError) -> EngineError {
        let EngineError::Refused { message, .. } = &error else { return error };
        let advice = if message.contains("could not select device driver") && !message.contains("\"cdi\"") {
            let known = self.known().unwrap_or_default();
            let has_cards = known.devices.iter().flatten().any(|found| found.id.starts_with(CDI_CARDS));
            match has_cards {
                false => "install the NVIDIA Container Toolkit on this machine and restart the engine".to_owned(),
                true => format!("its CDI specifications do not name the task's GPUs by their UUIDs: {GENERATE}"),
            }
        } else if message.contains("unresolvable CDI devices") || message.contains("\"cdi\"") {
            format!("no CDI specification that it reads has them: {GENERATE}")
        } else if message.contains("nvidia-container") {
            "the NVIDIA Container Toolkit on this machine does not give them".to_owned()
        } else {
            return error;
        };
        EngineError::Gpus { message: message.clone(), advice }
    }
}

/// Podman's version, where it is Podman.
fn podman(about: &About) -> Option<&str> {
    let engine = about.components.iter().find(|component| component.name == "Podman Engine");
    engine.map(|component| component.version.as_str())
}

fn takes_cdi(version: &str) -> bool {
    let mut numbers = version.split(['.', '-']).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= FIRST_PODMAN
}

fn choose(uuids: &[String], known: &Known) -> GpuAccess {
    let is_known = |uuid: &String| match (&known.devices, &known.folders) {
        (Some(devices), _) => devices.iter().any(|found| found.id == cdi_name(uuid)),
        (None, Some(folders)) => folders.iter().any(|folder| is_specified(folder, uuid)),
        (None, None) => false,
    };
    let uuids = uuids.to_vec();
    if uuids.iter().all(is_known) { GpuAccess::Cdi(uuids) } else { GpuAccess::Cards(uuids) }
}

/// Whether a specification in a folder has a device of this name. For engines that do not say it: they read the same
/// files, and a name that is wrongly believed to be there ends in their refusal.
fn is_specified(folder: &Path, name: &str) -> bool {
    let is_spec = |path: &Path| path.extension().is_some_and(|end| end == "yaml" || end == "json");
    let is_of_name = |letter: char| letter.is_alphanumeric() || "-_.:".contains(letter);
    let says = |text: &str| {
        text.contains(CDI_CARDS.trim_end_matches('='))
            && text.split(|letter| !is_of_name(letter)).any(|word| word == name)
    };
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .any(|path| is_spec(&path) && std::fs::read_to_string(path).is_ok_and(|text| says(&text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(json: &str) -> Known {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn cdi_is_asked_for_devices_that_the_engine_knows_and_for_no_others() {
        let uuids = ["GPU-a".to_owned(), "MIG-b".to_owned()];
        let devices = |names: &[&str]| {
            let devices: Vec<String> = names
                .iter()
                .map(|name| format!("{{\"Source\": \"cdi\", \"ID\": \"nvidia.com/gpu={name}\"}}"))
                .collect();
            known(&format!("{{\"CDISpecDirs\": [\"/etc/cdi\"], \"DiscoveredDevices\": [{}]}}", devices.join(",")))
        };
        assert_eq!(choose(&uuids, &devices(&["0", "GPU-a", "MIG-b", "all"])), GpuAccess::Cdi(uuids.to_vec()));
        for some in [vec!["0", "1", "all"], vec!["GPU-a"], vec!["GPU-a", "MIG-bb"]] {
            assert_eq!(choose(&uuids, &devices(&some)), GpuAccess::Cards(uuids.to_vec()), "{some:?}");
        }
        assert_eq!(choose(&uuids, &known("{}")), GpuAccess::Cards(uuids.to_vec()));
        assert_eq!(choose(&uuids, &known("{\"CDISpecDirs\": null}")), GpuAccess::Cards(uuids.to_vec()));
    }

    #[test]
    fn an_engine_that_does_not_say_what_it_found_is_taken_to_find_what_is_written_there() {
        let folder = tempfile::tempdir().unwrap();
        let choice = |uuid: &str| {
            let known = Known { folders: Some(vec!["/nowhere".into(), folder.path().into()]), devices: None };
            choose(&[uuid.to_owned()], &known)
        };
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("a.yaml", "kind: nvidia.com/gpu\ndevices:\n- name: GPU-a\n  containerEdits: {}\n- name: \"0\"\n");
        write("b.json", "{\"kind\":\"nvidia.com/gpu\",\"devices\":[{\"name\":\"MIG-b\"}]}");
        write("other.yaml", "kind: example.com/gpu\ndevices:\n- name: GPU-c\n");
        write("d.txt", "kind: nvidia.com/gpu\ndevices:\n- name: GPU-d\n");
        for (uuid, is_known) in [("GPU-a", true), ("MIG-b", true), ("GPU-c", false), ("GPU-d", false), ("GPU", false)] {
            let uuids = vec![uuid.to_owned()];
            let expected = if is_known { GpuAccess::Cdi(uuids) } else { GpuAccess::Cards(uuids) };
            assert_eq!(choice(uuid), expected);
        }
    }

    #[test]
    fn podman_takes_cdi_names_from_5_5_on() {
        for (version, expected) in
            [("4.3.1", false), ("5.4.2", false), ("5.5.0", true), ("5.5.0-rc1", true), ("6.0.0-dev", true), ("", false)]
        {
            assert_eq!(takes_cdi(version), expected, "{version}");
        }
        let about = "{\"Components\": [{\"Name\": \"Podman Engine\", \"Version\": \"5.5.1\"}]}";
        assert_eq!(podman(&serde_json::from_str(about).unwrap()), Some("5.5.1"));
        assert_eq!(podman(&serde_json::from_str("{\"Components\": [{\"Name\": \"Engine\"}]}").unwrap()), None);
    }

    #[test]
    fn a_runtime_that_gives_cards_by_itself_is_told_which_or_that_there_are_none() {
        let uuids = || vec!["GPU-a".to_owned(), "GPU-b".to_owned()];
        let spec =
            ContainerSpec { cdi_devices: vec!["nvidia.com/gpu=all".into(), "a.b/c=d".into()], ..Default::default() };
        let names = |access: &GpuAccess| {
            let requests = access.requests(&spec).into_iter();
            requests.flat_map(|request| request.device_ids.unwrap_or_default()).collect::<Vec<_>>()
        };
        for (access, variable, expected) in [
            (GpuAccess::Unmanaged, None, vec!["nvidia.com/gpu=all", "a.b/c=d"]),
            (GpuAccess::None, Some("void"), vec!["a.b/c=d"]),
            (GpuAccess::Cards(uuids()), None, vec!["GPU-a", "GPU-b", "a.b/c=d"]),
            (GpuAccess::Cdi(uuids()), Some("void"), vec!["a.b/c=d", "nvidia.com/gpu=GPU-a", "nvidia.com/gpu=GPU-b"]),
            (GpuAccess::Variable(uuids()), Some("GPU-a,GPU-b"), vec!["a.b/c=d"]),
        ] {
            assert_eq!(access.variable().map(|(_, value)| value).as_deref(), variable, "{access:?}");
            assert_eq!(names(&access), expected, "{access:?}");
        }
    }
}
