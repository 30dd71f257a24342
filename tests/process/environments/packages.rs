//! Requirements: every form of line that pip takes, and what a user gets of it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::harness::{Draft, Place, ProcessExt as _, base_python, git, git_commit_all, new_repository, url_of_package};

use super::row::{Row, Table};

/// Prints the versions of the distributions that its arguments name.
pub(super) const VERSIONS: &str = "import sys
from importlib.metadata import distributions
found = {d.metadata['Name'].lower().replace('_', '-'): d.version for d in distributions()}
print('OUT', *[name + '=' + str(found.get(name)) for name in sys.argv[1:]])
";

const WHEEL: &str = "4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274";
const SDIST: &str = "ff70335d468e7eb6ec65b95b99d3a2836546063f63acc5171de367e834932a81";

/// A literal script that prints the versions of `names`.
pub(super) fn versions(requirements: &str, names: &str) -> Draft {
    Draft::script("versions", VERSIONS).with("entry_point", format!("versions.py {names}")).requirements(requirements)
}

fn line_rows() -> Vec<Row> {
    let row = |name: &str, requirements: &str, names: &str, line: &str| {
        Row::completes(name, versions(requirements, names), &[line])
    };
    let hashes = format!("six==1.17.0 \\\n    --hash=sha256:{SDIST} \\\n    --hash=sha256:{WHEEL}\n    # via nobody\n");
    let wrong = hashes.replace(WHEEL, &"0".repeat(64)).replace(SDIST, &"1".repeat(64));
    vec![
        row("a pin", "six==1.17.0", "six", "six=1.17.0").reports("six==1.17.0").never_reports("pip"),
        row("another name of the same", "SIX == 1.17.0", "six", "six=1.17.0"),
        row("ranges", "six>=1.16,<1.17", "six", "six=1.16.0"),
        row("a compatible release", "idna~=3.4.0", "idna", "idna=3.4"),
        row("any version but one", "six!=1.17.0,<=1.17.0", "six", "six=1.16.0"),
        row("a wildcard", "idna==3.6.*", "idna", "idna=3.6"),
        row("an arbitrary equality", "six===1.16.0", "six", "six=1.16.0"),
        row("comments and empty lines", "# head\n\nsix==1.17.0  # why\n\n", "six", "six=1.17.0"),
        row("carriage returns", "six==1.17.0\r\nidna==3.4\r\n", "six idna", "six=1.17.0 idna=3.4"),
        row(
            "markers",
            "six==1.17.0 ; python_version < '3'\nidna==3.4; python_version >= \"3\" and sys_platform == 'linux'",
            "six idna",
            "six=None idna=3.4",
        ),
        row("extras", "idna[none]==3.4", "idna", "idna=3.4"),
        row(
            "extras that bring something",
            "requests[socks]==2.31.0",
            "pysocks requests",
            "pysocks=1.7.1 requests=2.31.0",
        ),
        row("defect 05: hashes and continuations", &hashes, "six", "six=1.17.0"),
        Row::fails("a hash that does not fit", versions(&wrong, "six"), "environment", &["six"]),
        row("defect 05: --pre", "--pre\nidna==3.4", "idna", "idna=3.4"),
        row("defect 05: --prefer-binary", "--prefer-binary\nidna==3.4", "idna", "idna=3.4"),
        row("an option of one package", "idna==3.4 --config-settings=\"a=b\"\nsix==1.17.0", "idna", "idna=3.4"),
        row("options of old pips", "six==1.16.0 --build-option=x --global-option=--quiet", "six", "six=1.16.0")
            .says("--build-option=x of six==1.16.0 is left out"),
        row("an option that nobody knows", "--frobnicate\nsix==1.17.0", "six", "six=1.17.0").says("--frobnicate"),
        row("a file that is not there", "-r gone.txt\nsix==1.17.0", "six", "six=1.17.0").says("gone.txt"),
        row(
            "a URL",
            &format!("six @ {}#sha256={WHEEL}", url_of_package("six", "six-1.17.0-py2.py3-none-any.whl")),
            "six",
            "six=1.17.0",
        ),
        row("what conda recorded", "six @ file:///croot/six_1644875935023/work", "six", "six=1.17.0"),
        row("what Debian lists", "pkg_resources==0.0.0\nsix==1.17.0", "six", "six=1.17.0"),
        row("a list of lines", "", "six", "six=1.17.0").with_requirements(json!({ "pip": ["six==1.17.0", "# x"] })),
        row("the same twice", "six==1.17.0\nsix==1.17.0", "six", "six=1.17.0"),
        row(
            "pins that contradict each other, as pip freeze gave them",
            "certifi==2024.2.2\ncharset-normalizer==3.3.2\nidna==2.0\nrequests==2.31.0\nurllib3==2.0.7\n",
            "requests idna urllib3",
            "requests=2.31.0 idna=2.0 urllib3=2.0.7",
        )
        .reports("idna==2.0"),
        Row::fails("a version that is not there", versions("six==99.99", "six"), "environment", &["six"]),
        Row::fails(
            "a package that is not there",
            versions("hostler-no-such-package==1", "six"),
            "environment",
            &["hostler-no-such-package"],
        ),
        Row::fails("a line that is none", versions("!!! nothing", "six"), "environment", &["!"]),
    ]
}

/// What the stock agent does wrong with environments.
fn defect_rows() -> Vec<Row> {
    let row = |name: &str, requirements: &str, names: &str, line: &str| {
        Row::completes(name, versions(requirements, names), &[line])
    };
    let pip = "import pip\nprint('OUT', tuple(map(int, pip.__version__.split('.')[:2])) < (23, 2))\n\
        print('OUT', pip.__version__.startswith('23.1'))\n";
    vec![
        row("defect 01: a task with two packages", "six==1.16.0\ntomli==2.0.1", "six tomli", "six=1.16.0 tomli=2.0.1"),
        row("defect 01: a task with one of them", "six==1.16.0", "six tomli", "six=1.16.0 tomli=None")
            .never_reports("tomli"),
        row("defect 01: a task with none", "", "six tomli", "six=None tomli=None"),
        row("defect 06: no Cython for any Python", "six==1.17.0", "cython", "cython=None").never_reports("Cython"),
        Row::completes(
            "defect 06: a limit is no pin",
            Draft::script("pip", pip).requirements("pip<23.2"),
            &["True", "True"],
        ),
        Row::completes(
            "defect 18: Python 3.1 is not 3.11",
            versions("", "six").with("binary", "python3.1"),
            &["six=None"],
        )
        .says("Python 3.1, which the task asks for, is not on this machine"),
        Row::completes("a Python by its path", versions("", "six").with("binary", "/usr/bin/none/python3"), &["six=None"]),
        Row::completes(
            "requirements of a shell script",
            Draft::script("shell", "python -c 'import six; print(\"OUT\", six.__version__)'")
                .with("binary", "bash")
                .with("entry_point", "run.sh")
                .requirements("six==1.17.0"),
            &["1.17.0"],
        ),
        Row::completes(
            "programs of packages",
            Draft::script("tool", "import subprocess\nprint('OUT', subprocess.run(['wheel', 'version'], capture_output=True, text=True).stdout.strip())\n")
                .requirements("wheel==0.43.0"),
            &["wheel 0.43.0"],
        ),
        Row::completes(
            "pip at run time",
            Draft::script(
                "pip",
                "import subprocess, sys\nsubprocess.run([sys.executable, '-m', 'pip', 'install', '-q', 'iniconfig==2.0.0'], check=True)\n\
                 from importlib.metadata import version\nprint('OUT', version('iniconfig'))\n",
            )
            .requirements("six==1.15.0"),
            &["2.0.0"],
        ),
    ]
}

/// Whether nobody here may write what tasks share: root needs a view of its own for that, which it may not have in some
/// containers.
fn is_kept_from_writing() -> bool {
    let apart = Command::new("unshare").args(["--mount", "true"]).output();
    let is_kept = !rustix::process::geteuid().is_root() || apart.is_ok_and(|output| output.status.success());
    if !is_kept {
        eprintln!("skipped: root may write shared packages here: it may not have a view of its own");
    }
    is_kept
}

/// Writes into a package that it has, and asks hostler whether anything is wrong.
fn writing_program() -> String {
    format!(
        "import six, subprocess\ntry:\n    open(six.__file__, 'a').close()\n    print('OUT wrote')\n\
         except OSError:\n    print('OUT kept')\nprint('OUT', subprocess.call([{:?}, 'env', 'verify']))\n",
        env!("CARGO_BIN_EXE_hostler")
    )
}

/// What tasks share cannot be written by one of them, though it be root; looking is no writing.
fn shared_rows() -> Vec<Row> {
    let draft = Draft::script("writes", &writing_program()).requirements("six==1.15.0");
    vec![Row::completes("shared packages are not written", draft, &["kept", "0"])]
}

/// A package of one module, as its sources.
fn package(name: &str, version: &str) -> [(String, String); 2] {
    let project = format!(
        "[build-system]\nrequires = ['setuptools==75.8.0']\nbuild-backend = 'setuptools.build_meta'\n\
         [project]\nname = '{name}'\nversion = '{version}'\n[tool.setuptools]\npy-modules = ['{name}']\n"
    );
    [("pyproject.toml".to_owned(), project), (format!("{name}.py"), format!("VERSION = '{version}'\n"))]
}

fn write_package(folder: &Path, name: &str, version: &str) {
    std::fs::create_dir_all(folder).unwrap();
    for (file, text) in package(name, version) {
        std::fs::write(folder.join(file), text).unwrap();
    }
}

/// A package of one module as a wheel, with more lines of metadata.
pub(super) fn write_wheel(folder: &Path, name: &str, version: &str, metadata: &str) {
    let program = "import sys, zipfile
folder, name, version, more = sys.argv[1:]
info = f'{name}-{version}.dist-info'
with zipfile.ZipFile(f'{folder}/{name}-{version}-py3-none-any.whl', 'w') as wheel:
    wheel.writestr(f'{name}.py', f'VERSION = {version!r}\\n')
    wheel.writestr(f'{info}/METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n{more}')
    wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
    wheel.writestr(f'{info}/RECORD', '')
";
    let mut command = Command::new(base_python());
    command.args(["-c", program]).arg(folder).args([name, version, metadata]);
    command.finish_within(Duration::from_secs(60)).ok();
}

/// A folder of packages without pip, whose setuptools is not that of an environment.
fn own_index_rows(place: &Place) -> Vec<Row> {
    let folder = place.path("own-index");
    std::fs::create_dir(&folder).unwrap();
    write_wheel(&folder, "hostlernew", "1.0", "Requires-Dist: setuptools>=81\n");
    write_wheel(&folder, "setuptools", "99.0", "");
    let lines = format!("--no-index\n--find-links {}\nhostlernew==1.0", folder.display());
    vec![
        Row::completes(
            "a setuptools of today, which another package needs",
            versions(&lines, "hostlernew setuptools"),
            &["hostlernew=1.0 setuptools=99.0"],
        )
        .says("which nobody asked for"),
    ]
}

/// Requirements that lie in the code, or in another repository.
fn source_rows(place: &Place) -> Vec<Row> {
    let library = place.path("library");
    write_package(&library, "hostlerlib", "1.0");
    let old = new_repository(&library, &[]);
    git(&library, &["tag", "v1"]);
    write_package(&library, "hostlerlib", "2.0");
    let new = git_commit_all(&library, &[]);
    let code = place.path("code");
    new_repository(&code, &[("README.md", "")]);
    write_package(&code.join("lib"), "hostlerinside", "3.0");
    let program = "import sys\nfor name in sys.argv[1:]:\n    print('OUT', name, __import__(name).VERSION)\n";
    git_commit_all(
        &code,
        &[
            ("run.py", program),
            ("writes.py", &writing_program()),
            ("versions.py", VERSIONS),
            ("deep/versions.py", VERSIONS),
            ("requirements.txt", "six==1.16.0\n"),
            ("deep/requirements.txt", "-r more/base.txt\n"),
            ("deep/more/base.txt", "tomli\n-c limits.txt\n"),
            ("deep/more/limits.txt", "tomli<2.0.2\n"),
            ("sub dir/versions.py", VERSIONS),
            ("sub dir/requirements.txt", "idna==3.4\n"),
            ("power/versions.py", VERSIONS),
        ],
    );
    // As `pip freeze > requirements.txt` writes them with PowerShell.
    for (name, text) in [
        ("power/requirements.txt", "tomli==2.0.1\r\n-r more.txt\r\n"),
        ("power/more.txt", "idna\r\n-c limits.txt\r\n"),
        ("power/limits.txt", "idna<3.5\r\n"),
    ] {
        let text: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(code.join(name), text).unwrap();
    }
    git_commit_all(&code, &[]);
    let url = code.to_str().unwrap();
    let git_url = format!("git+file://{}", library.display());
    let draft = |requirements: &str, entry: &str| Draft::repository("sources", url, entry).requirements(requirements);
    // The option is one that pip alone has.
    let with_pip = format!("--use-feature=fast-deps\nsix==1.17.0 --hash=sha256:{WHEEL}\nhostlerlib @ {git_url}@v1");
    let plain = |entry: &str| Draft::repository("files", url, entry);
    // The packages of a task with code of its own are made of the same files.
    let own_rows = is_kept_from_writing().then(|| {
        Row::completes(
            "packages beside a folder of the code are not written",
            draft("./lib\nsix==1.15.0", "writes.py"),
            &["kept", "0"],
        )
    });
    let rows = vec![
        Row::completes("a repository", draft(&git_url, "run.py hostlerlib"), &["hostlerlib 2.0"]),
        Row::completes(
            "a repository at a tag",
            draft(&format!("hostlerlib @ {git_url}@v1"), "run.py hostlerlib"),
            &["hostlerlib 1.0"],
        )
        .reports(&format!("hostlerlib @ {git_url}@{old}")),
        Row::completes(
            "a repository with an egg",
            draft(&format!("-e {git_url}@{new}#egg=hostlerlib"), "run.py hostlerlib"),
            &["hostlerlib 2.0"],
        ),
        Row::completes(
            "hashes beside a repository",
            draft(&with_pip, "versions.py six hostlerlib"),
            &["six=1.17.0 hostlerlib=1.0"],
        )
        .says("it checks none"),
        Row::completes("a folder of the code", draft("./lib", "run.py hostlerinside"), &["hostlerinside 3.0"]),
        Row::completes(
            "defect 04: an editable folder with an egg",
            draft("-e ./lib#egg=hostlerinside\nsix==1.17.0", "run.py hostlerinside"),
            &["hostlerinside 3.0"],
        ),
        Row::completes("files from the root down", plain("deep/versions.py six tomli"), &["six=1.16.0 tomli=2.0.1"])
            .says("requirements.txt"),
        Row::completes("files of the root", plain("versions.py six tomli"), &["six=1.16.0 tomli=None"]),
        Row::completes(
            "files beside a script in quotes",
            plain("-W ignore 'sub dir/versions.py' six idna"),
            &["six=1.16.0 idna=3.4"],
        )
        .says("sub dir/requirements.txt"),
        Row::completes("files beside a module", plain("-m deep.versions six tomli"), &["six=1.16.0 tomli=2.0.1"]),
        Row::completes(
            "files in UTF-16",
            plain("power/versions.py six idna tomli"),
            &["six=1.16.0 idna=3.4 tomli=2.0.1"],
        ),
        Row::completes(
            "a task's lines before files",
            draft("idna==3.4", "versions.py six idna"),
            &["six=None idna=3.4"],
        ),
        Row::completes(
            "defect 05: a constraint file",
            draft("tomli\n-c deep/more/limits.txt", "versions.py tomli"),
            &["tomli=2.0.1"],
        ),
        Row::fails("a folder that is not there", draft("./gone", "run.py"), "environment", &["gone"]),
    ];
    rows.into_iter().chain(own_rows).collect()
}

#[test]
fn every_form_of_requirement() {
    let place = Place::new();
    let (sources, own_index) = (source_rows(&place), own_index_rows(&place));
    let shared = if is_kept_from_writing() { shared_rows() } else { Vec::new() };
    let table = Table::start(place, &[]);
    table.run(&[line_rows(), defect_rows(), shared, sources, own_index].concat());
    table.finish();
}

/// The environments see the machine's packages; what the task is said to have are the task's alone.
#[test]
fn packages_of_the_machine() {
    let table = Table::start(Place::new(), &[("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__SYSTEM_SITE_PACKAGES", "true")]);
    let row = Row::completes(
        "defect 11: the machine's packages are not the task's",
        Draft::script("machine", "import pip, six\nprint('OUT', six.__version__)\n").requirements("six==1.15.0"),
        &["1.15.0"],
    );
    let row = ["pip", "setuptools", "wheel", "uv", "clearml"].iter().fold(row, |row, name| row.never_reports(name));
    table.run(&[row.reports("six==1.15.0")]);
    table.finish();
}
