//! A package whose build takes as long as a test wants.

use std::time::Duration;

use super::{Gate, Place, ProcessExt as _};

/// Makes a source package whose build notes its pid in the file `building` and then waits for the gate. Gives the
/// requirement line that installs it. Builds with a backend of its own: nothing is downloaded.
pub(crate) fn slow_package(place: &Place, gate: &Gate) -> String {
    let folder = place.path("slow-package");
    std::fs::create_dir_all(&folder).unwrap();
    let project = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\n\
                   [project]\nname = \"slow-package\"\nversion = \"1.0\"\n";
    let backend = format!(
        "import os, zipfile\n\n\
         def build_wheel(folder, settings=None, metadata=None):\n\
         \x20   with open({building:?}, 'a') as note: note.write('%d\\n' % os.getpid())\n\
         \x20   {gate}\n\
         \x20   name = 'slow_package-1.0-py3-none-any.whl'\n\
         \x20   info = 'slow_package-1.0.dist-info/'\n\
         \x20   with zipfile.ZipFile(os.path.join(folder, name), 'w') as wheel:\n\
         \x20       wheel.writestr('slow_package.py', '')\n\
         \x20       wheel.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: slow-package\\nVersion: 1.0\\n')\n\
         \x20       wheel.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
         \x20       wheel.writestr(info + 'RECORD', ''.join(p + ',,\\n' for p in ('slow_package.py', info + 'METADATA', info + 'WHEEL', info + 'RECORD')))\n\
         \x20   return name\n",
        building = place.path("building"),
        gate = gate.python(),
    );
    std::fs::write(folder.join("pyproject.toml"), project).unwrap();
    std::fs::write(folder.join("backend.py"), backend).unwrap();
    format!("slow-package @ file://{}", folder.display())
}

/// Puts a source package into the folder `packages` whose build waits for the gate; the requirement that installs it.
pub(crate) fn slow_source_package(place: &Place, gate: &Gate) -> &'static str {
    slow_package(place, gate);
    let (made, folder) = (place.path("slow-package"), place.path("slow_package-1.0"));
    std::fs::rename(made, &folder).unwrap();
    let about = "Metadata-Version: 2.2\nName: slow-package\nVersion: 1.0\n";
    std::fs::write(folder.join("PKG-INFO"), about).unwrap();
    let archive = place.path("packages/slow_package-1.0.tar.gz");
    let mut tar = place.command("tar");
    tar.arg("-czf").arg(archive).arg("-C").arg(place.path("")).arg("slow_package-1.0");
    tar.finish_within(Duration::from_secs(60)).ok();
    "slow-package==1.0"
}
