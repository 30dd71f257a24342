//! No package registry has a conda for these tests: what it is told, and what is made of its answers, is compared with
//! recorded facts.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use protocols::container::init::LibcFlavour;
use protocols::failure::FailureClass;
use protocols::order::PythonSettings;
use protocols::task::Interpreter;
use serde_json::Value;

use super::super::super::{CodeFolder, EnvironmentRequest};
use super::*;
use crate::command::SystemCommands;
use crate::python::in_image::InImage;

#[derive(Clone, Copy)]
enum Place {
    Machine,
    Image,
}

/// A machine on which one program stands for a tool: it writes down its arguments and makes what was asked for.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new(tool: &str, answer: &str) -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        let log = machine.0.path().join("log");
        let python = format!(
            "#!/bin/sh\nif [ \"$1\" = -I ]; then echo '{{\"executable\": \"'$0'\", \"version\": [3, 10, 4], \
             \"implementation\": \"cpython\", \"platform\": \"linux-x86_64\", \"base_prefix\": \"/usr\"}}'; exit; fi\n\
             echo python \"$@\" >> {}\n",
            log.display()
        );
        let program = format!(
            "#!/bin/sh\n[ \"$CONDA_ALWAYS_YES$MAMBA_ALWAYS_YES\" = truetrue ] || {{ echo 'Proceed?'; exit 9; }}\n\
             echo {tool} \"$@\" >> {}\nwhile [ \"$1\" != --prefix ]; do shift; done\nmkdir -p \"$2/bin\"\n\
             cat > \"$2/bin/python\" <<'END'\n{python}END\nchmod +x \"$2/bin/python\"\n{answer}\n",
            log.display()
        );
        machine.write("bin", tool, &program);
        machine
    }

    fn write(&self, folder: &str, name: &str, text: &str) {
        let folder = self.0.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the environment is, and everything that was run for it, without the paths of this machine.
    fn provide(&self, conda: Option<&[&str]>, pip: Option<&[&str]>) -> (Result<Environment, String>, String) {
        let (provided, log) = self.provide_for(conda, pip, Place::Machine, &mut |_| {});
        (provided.map_err(|error| error.to_string()), log)
    }

    /// As [`Machine::provide`], of a machine that is taken for an image; the settings may be changed.
    fn provide_in_image(
        &self,
        conda: &[&str],
        change: &mut dyn FnMut(&mut PythonSettings),
    ) -> Result<Environment, PythonError> {
        self.provide_for(Some(conda), None, Place::Image, change).0
    }

    fn provide_for(
        &self,
        conda: Option<&[&str]>,
        pip: Option<&[&str]>,
        place: Place,
        change: &mut dyn FnMut(&mut PythonSettings),
    ) -> (Result<Environment, PythonError>, String) {
        let owned =
            |lines: Option<&[&str]>| lines.map(|lines| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
        let (conda, pip) = (owned(conda), owned(pip));
        let root = self.0.path();
        let path = format!("{}:/usr/bin:/bin", root.join("bin").display());
        let commands = SystemCommands::new([("PATH".into(), path.into())], Arc::default());
        let request = EnvironmentRequest {
            repositories: None,
            task: "one",
            interpreter: &Interpreter::Python { binary: "python3.10".into(), version: Some("3.10".into()) },
            requirements: pip.as_deref(),
            conda: conda.as_deref(),
            code: Some(CodeFolder { root, working_dir: root, entry_point: "run.py" }),
            private_dir: &root.join("private"),
        };
        let mut settings = PythonSettings::default();
        settings.packages.conda_channels = vec!["conda-forge".into()];
        change(&mut settings);
        let image = InImage { machine: &commands, libc: Some(LibcFlavour::Glibc) };
        let commands: &dyn CommandRunner = match place {
            Place::Machine => &commands,
            Place::Image => &image,
        };
        let store = Store::new(root.join("environments"));
        let finder = Conda {
            request: &request,
            settings: &settings,
            cache_dir: root,
            commands,
            progress: &|_| {},
            store: &store,
            downloads: &root.join("conda"),
            limits: Limits { entries: Some(2), ..Limits::default() },
            is_for_later: false,
            is_apart: false,
        };
        let provided = provide(&finder);
        let log = fs::read_to_string(root.join("log")).unwrap_or_default();
        let mut words: Vec<String> = log.split(' ').map(str::to_owned).collect();
        for word in &mut words {
            if let Some(end) = word.strip_prefix(&*root.to_string_lossy()) {
                *word = end.rsplit('/').next().unwrap_or_default().to_owned();
            }
        }
        (provided, words.join(" "))
    }
}

#[test]
fn packages_of_conda_and_of_pip() {
    let machine = Machine::new("micromamba", "");
    let conda = ["# head", "numpy==1.26.4", "pytorch::pytorch >=2 # why", "cudatoolkit=11.8"];
    let (made, log) = machine.provide(Some(&conda), Some(&["six==1.17.0"]));
    assert_eq!(
        log,
        "micromamba create --quiet --prefix venv --override-channels --channel conda-forge python=3.10 \
         numpy=1.26.4 pytorch::pytorch>=2 cudatoolkit=11.8 pip\npython -m pip install -r requirements.txt\n"
    );
    let made = made.unwrap();
    assert_eq!((made.python_version.as_str(), made.reused), ("3.10.4", false));
    let (again, same_log) = machine.provide(Some(&conda), Some(&["six==1.17.0"]));
    assert_eq!((again.unwrap().python, same_log), (made.python, log), "the second time nothing is run");
}

#[test]
fn they_are_leased_and_evicted_like_all_others() {
    let machine = Machine::new("micromamba", "mkdir -p \"$2/conda-meta\" \"$2/lib/python3.10/site-packages\"");
    let kept = machine.provide(Some(&["a=1"]), None).0.unwrap();
    let layer = machine.0.path().join("layer");
    let above = kept.clone().with_layer(&layer).unwrap();
    let environment = kept.python.ancestors().nth(2).unwrap().to_owned();
    assert_eq!((above.python.clone(), above.of_conda()), (layer.join("bin/python"), Some(environment.clone())));
    let message = fs::read(environment.join("conda-meta/frozen")).unwrap();
    assert!(serde_json::from_slice::<Value>(&message).unwrap()["message"].as_str().unwrap().contains("pip"));
    for folder in ["", "bin", "conda-meta", "lib/python3.10/site-packages"] {
        let mode = fs::metadata(environment.join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o222, 0, "{folder}");
    }
    assert_eq!(kept.start_sealing().unwrap(), None);
    let evicted = machine.provide(Some(&["a=2"]), None).0.unwrap().python;
    for other in ["a=3", "a=4"] {
        machine.provide(Some(&[other]), None).0.unwrap();
    }
    assert!(kept.python.exists() && !evicted.exists(), "two are kept, and one of them is in use");
    let shared = kept.shared.unwrap();
    assert_eq!(Store::new(machine.0.path().join("environments")).verify().unwrap().1, []);
    let (_, log) = machine.provide(Some(&["a=1"]), None);
    assert_eq!(log.matches("micromamba").count(), 4, "{}: {log}", shared.id);
    // What lies in the task's own code is nobody else's.
    machine.write("lib", "setup.py", "");
    let own = machine.provide(Some(&["a=1"]), Some(&["./lib"])).0.unwrap();
    assert!(own.shared.is_none() && own.python.starts_with(machine.0.path().join("private")));
}

#[test]
fn a_file_of_the_repository() {
    for (tool, start) in
        [("micromamba", "micromamba create"), ("mamba", "mamba env create"), ("conda", "conda env create")]
    {
        let machine = Machine::new(tool, "");
        machine.write(".", "environment.yml", "dependencies: [python=3.10]\n");
        let (made, log) = machine.provide(None, None);
        assert_eq!(log, format!("{start} --quiet --prefix venv --file environment.yml\n"));
        made.unwrap();
    }
}

#[test]
fn the_tool_that_is_there_is_taken_and_none_is_said() {
    let machine = Machine::new("conda", "");
    machine.write("bin", "mamba", "#!/bin/sh\nexit 3\n");
    let (made, _) = machine.provide(None, None);
    assert!(made.unwrap_err().starts_with("mamba cannot make the environment"), "mamba goes before conda");
    let nothing = Machine::new("other", "");
    let (made, _) = nothing.provide(None, None);
    assert!(made.unwrap_err().contains("none of micromamba, mamba and conda is on PATH"));
}

/// A conda that writes down what it was told by variables.
const TOLD: &str = "echo \"$CONDA_PKGS_DIRS\" >> packages\necho \"$CONDA_OVERRIDE_CUDA\" >> cuda\n";

#[test]
fn an_image_has_environments_of_its_own_and_shares_downloads() {
    let machine = Machine::new("conda", &TOLD.replace(">> ", &format!(">> {}/", "$(dirname $0)/..")));
    let (own, _) = machine.provide(Some(&["a=1"]), None);
    let cuda = &mut |settings: &mut PythonSettings| settings.packages.cuda = Some("12.4".into());
    let of_image = machine.provide_in_image(&["a=1"], cuda).unwrap();
    assert_ne!(own.unwrap().shared.unwrap().id, of_image.shared.unwrap().id);
    assert!(machine.provide_in_image(&["a=1"], cuda).unwrap().reused);
    // What conda finds out for itself on a machine, it cannot find out where it has no GPU.
    let without = machine.provide_in_image(&["a=1"], &mut |_| {}).unwrap();
    assert!(!without.reused);
    machine.provide_in_image(&["a=2"], &mut |settings| settings.store.without_download_cache = true).unwrap();
    let lines = |name: &str| fs::read_to_string(machine.0.path().join(name)).unwrap();
    assert_eq!(lines("cuda"), "\n12.4\n\n\n");
    let root = machine.0.path();
    let kept = root.join("conda/1/1/packages").display().to_string();
    let scratch = root.join("environments/scratch");
    let packages: Vec<String> = lines("packages").lines().map(str::to_owned).collect();
    assert_eq!(packages[..3], [String::new(), kept.clone(), kept]);
    assert!(Path::new(&packages[3]).starts_with(&scratch), "{packages:?}");
    assert_eq!(fs::read_dir(scratch).unwrap().count(), 0);
}

#[test]
fn a_conda_that_was_killed_leaves_its_downloads_to_nobody() {
    let kill = format!("{}[ -e $(dirname $0)/../well ] || kill -9 $$\n", TOLD.replace(">> ", ">> $(dirname $0)/../"));
    let machine = Machine::new("conda", &kill);
    let error = machine.provide_in_image(&["a=1"], &mut |_| {}).unwrap_err();
    assert!(error.to_string().starts_with("conda cannot make the environment: it was ended (signal: 9"), "{error}");
    machine.write(".", "well", "");
    machine.provide_in_image(&["a=1"], &mut |_| {}).unwrap();
    let packages = fs::read_to_string(machine.0.path().join("packages")).unwrap();
    let folders: Vec<&str> = packages.lines().map(|line| line.rsplit('/').nth(1).unwrap()).collect();
    assert_eq!(folders, ["1", "2"]);
}

#[test]
fn an_image_in_which_there_is_none_that_works_is_told_so() {
    let nothing = Machine::new("other", "");
    let error = nothing.provide_in_image(&["a=1"], &mut |_| {}).unwrap_err();
    assert_eq!(error.class(), FailureClass::Environment);
    let text = error.to_string();
    let words =
        "in the image some/image, nor a micromamba on the PATH of this machine, which could be lent: use an image";
    assert!(text.contains(words), "{text}");

    let broken = Machine::new("other", "");
    broken.write("bin", "conda", "#!/no/such/interpreter\n");
    let error = broken.provide_in_image(&["a=1"], &mut |_| {}).unwrap_err();
    assert_eq!(error.class(), FailureClass::Environment, "{error}");
}

/// Channels with secrets in every form, and what they look like without.
const PRIVATE: [(&str, &str); 2] = [
    ("https://conda.example/t/xy-hunter2/own", "https://conda.example/own"),
    ("https://robot:hunter2@mirror.example/own", "https://mirror.example/own"),
];

/// Every file below a folder that holds a secret.
fn leaks(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    crate::python::store::walk(folder, &mut |path, metadata| {
        if metadata.is_file() && String::from_utf8_lossy(&fs::read(path).unwrap()).contains("hunter2") {
            found.push(path.to_owned());
        }
    });
    found
}

/// A program that keeps the files that it was given and how others may read them, and writes down as these programs do
/// how it was called and where packages are from.
const KEEPS: &str = "mkdir \"$2/conda-meta\"\nfor word in \"$@\" \"$CONDARC\" \"$XDG_CONFIG_HOME/conda/.condarc\"; do\n\
    [ -f \"$word\" ] || continue\ncat \"$word\" >> FOLDER/told; stat -c '%a' \"$word\" >> FOLDER/modes\ndone\n\
    echo '{\"url\": \"https://conda.example/t/xy-hunter2/own/linux-64/a-1-0.conda\"}' > \"$2/conda-meta/a-1-0.json\"\n\
    echo \"# cmd: $0 $*\" > \"$2/conda-meta/history\"; echo \"see https://robot:hunter2@mirror.example/own\"\n";

/// What a tool is told of channels and packages with secrets: on its command line, and in files.
fn told(tool: &str, place: Place) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(tool, &KEEPS.replace("FOLDER", &folder.path().display().to_string()));
    let packages = ["a=1", "https://conda.example/t/other-hunter2/more::b>=2"];
    let mut channels = PRIVATE.map(|(channel, _)| channel.to_owned()).to_vec();
    channels.push("conda-forge".to_owned());
    let (made, log) = machine.provide_for(Some(&packages), None, place, &mut |settings| {
        settings.packages.conda_channels = channels.clone();
    });
    let lists = made.unwrap().shared.unwrap().folder.join("venv/conda-meta");
    let list = fs::read_to_string(lists.join("a-1-0.json")).unwrap();
    assert_eq!(list, "{\"url\": \"https://conda.example/own/linux-64/a-1-0.conda\"}\n");
    assert_eq!(leaks(machine.0.path()), [machine.0.path().join("bin").join(tool)], "what the test itself has written");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(read("modes").lines().all(|mode| mode == "600"), "{}", read("modes"));
    (log, read("told"))
}

#[test]
fn secrets_of_channels_are_on_no_command_line_and_in_no_list() {
    for (tool, start) in [("micromamba", "micromamba create"), ("mamba", "mamba env create")] {
        let (log, told) = told(tool, Place::Machine);
        assert_eq!(log, format!("{start} --quiet --prefix venv --file environment.yml\n"));
        assert_eq!(
            told,
            "channels:\n- \"https://conda.example/t/xy-hunter2/own\"\n- \"https://robot:hunter2@mirror.example/own\"\n\
             - \"conda-forge\"\n- \"https://conda.example/t/other-hunter2/more\"\n- \"nodefaults\"\n\
             dependencies:\n- \"python=3.10\"\n- \"a=1\"\n- \"https://conda.example/t/other-hunter2/more::b>=2\"\n"
        );
    }
    for place in [Place::Machine, Place::Image] {
        let (log, told) = told("conda", place);
        assert_eq!(
            log,
            "conda create --quiet --prefix venv --override-channels --channel private-channel-1 --channel \
             private-channel-2 --channel conda-forge --channel private-channel-4 python=3.10 a=1 --file packages.txt\n"
        );
        assert_eq!(
            told,
            "https://conda.example/t/other-hunter2/more::b>=2\ncustom_multichannels:\n  private-channel-1:\n  \
             - \"https://conda.example/t/xy-hunter2/own\"\n  private-channel-2:\n  \
             - \"https://robot:hunter2@mirror.example/own\"\n  private-channel-4:\n  \
             - \"https://conda.example/t/other-hunter2/more\"\n"
        );
    }
}

#[test]
fn secrets_of_channels_are_in_no_message() {
    for (channel, clean) in PRIVATE {
        let machine = Machine::new("conda", &format!("echo 'CondaHTTPError: HTTP 404 for url <{channel}/a>'\nexit 1"));
        let error = machine
            .provide_in_image(&["a=1"], &mut |settings| settings.packages.conda_channels = vec![channel.to_owned()])
            .unwrap_err();
        let text = format!("{error:?}");
        assert!(text.contains("CondaHTTPError") && !text.contains("hunter2"), "{text} {clean}");
    }
}

#[test]
fn secrets_in_a_file_of_the_repository_stay_in_it() {
    let machine = Machine::new("micromamba", "echo 'error    libmamba hunter2 https://h.example/t/$TOKEN/x'; exit 1");
    machine.write(
        ".",
        "environment.yml",
        "channels:\n- https://h.example/t/hunter2/x\n- https://h.example/t/${HOME}/y\ndependencies: [python]\n",
    );
    let (made, log) = machine.provide(None, None);
    let error = made.unwrap_err();
    assert!(error.contains("libmamba *** https://h.example/t/***/x"), "{error}");
    assert_eq!(log, "micromamba create --quiet --prefix venv --file environment.yml\n");
    let here = ["environment.yml", "bin/micromamba"].map(|name| machine.0.path().join(name));
    assert!(leaks(machine.0.path()).iter().all(|path| here.contains(path)));
}

#[test]
fn flags_of_pip_with_addresses_are_in_its_file() {
    let machine = Machine::new("micromamba", "");
    let flags = ["--extra-index-url", "https://robot:hunter2@h.example/simple", "--no-deps", "--user"];
    let (made, log) = machine.provide_for(Some(&["a=1"]), Some(&["six==1.17.0"]), Place::Machine, &mut |settings| {
        settings.packages.extra_flags = flags.map(str::to_owned).to_vec();
    });
    made.unwrap();
    assert!(log.ends_with("python -m pip install -r requirements.txt --no-deps\n"), "{log}");
    assert!(leaks(machine.0.path()).is_empty());
}

#[test]
fn what_failed_is_not_kept() {
    let machine = Machine::new("micromamba", "echo 'error    libmamba Could not solve for environment specs'; exit 1");
    for _ in 0..2 {
        let (made, log) = machine.provide(None, None);
        assert!(made.unwrap_err().ends_with("error    libmamba Could not solve for environment specs"));
        assert!(log.starts_with("micromamba create"));
    }
}

#[test]
fn complaints_in_every_form() {
    let check = |output: &str, expected: &str| {
        let tail: Vec<String> = output.lines().map(str::to_owned).collect();
        assert_eq!(complaint(&tail, "conda"), expected);
    };
    check(
        "{\n  \"error\": \"PackagesNotFoundError: short\",\n  \"exception_name\": \"PackagesNotFoundError\",\n  \
         \"message\": \"The following packages are not available:\\n\\n  - nothing\\n\"\n}",
        "The following packages are not available: - nothing",
    );
    check(
        "Collecting package metadata: done\nPackagesNotFoundError: The following packages are not available from current channels:\n\
         \n  - nothing=1\n\nCurrent channels:",
        "PackagesNotFoundError: The following packages are not available from current channels: - nothing=1",
    );
    check(
        "error    libmamba Could not solve for environment specs\n    The following package could not be installed\n",
        "error    libmamba Could not solve for environment specs",
    );
    // mamba 2.8.1.
    check(
        "error    libmamba Could not solve for environment specs\n    The following package could not be installed\n    \
         └─ nothing =1.0 * does not exist (perhaps a typo or a missing channel).\ncritical libmamba Could not solve for \
         environment specs\ninfo     libmamba *** Backtrace Start ***",
        "error    libmamba Could not solve for environment specs └─ nothing =1.0 * does not exist (perhaps a typo or a \
         missing channel).",
    );
    // conda 26.7.1.
    check(
        "Solving environment: ...working... failed\n\nPackagesNotFoundInChannelsError: The following packages are not \
         available from current channels:\n\n  - nothing=1.0\n\nCurrent channels:\n\n  - file:///channel/noarch\n\n\
         To search for alternate channels that may provide the conda package you're\nlooking for, navigate to\n\n    \
         https://host\n\nand use the search bar at the top of the page.",
        "PackagesNotFoundInChannelsError: The following packages are not available from current channels: - nothing=1.0",
    );
    check("CondaValueError: prefix already exists: /p", "CondaValueError: prefix already exists: /p");
    check("something odd", "something odd");
    check("", "conda said nothing");
}
