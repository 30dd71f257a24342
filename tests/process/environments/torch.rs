//! PyTorch: the index that fits the driver, and what becomes of a task where it does not help.
//!
//! Packages of that name are made by the test: an index like PyTorch's, and one like PyPI with a newer version.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::harness::{Place, base_python};

use super::packages::versions;
use super::row::{Row, Table};

/// Makes wheels, and serves them: `/pypi/NAME/` and `/whl/TAG/NAME/` are pages with links. Prints its port.
const SERVER: &str = "
import functools, http.server, os, sys, zipfile
root = sys.argv[1]
for place, name, version in [
    ('pypi', 'torch', '9.0.0'), ('pypi', 'torch', '0.9.0'), ('pypi', 'torchvision', '9.1.0'),
    ('whl/cu121', 'torch', '1.0.0+cu121'), ('whl/cu121', 'torch', '2.0.0rc1+cu121'), ('whl/cu121', 'torchvision', '1.1.0+cu121'),
    ('whl/cu118', 'torch', '0.9.0+cu118'), ('whl/cu118', 'torch', '0.8.0+cu118'), ('whl/cu129', 'torch', '8.0.0+cu129'),
]:
    folder = os.path.join(root, place, name)
    os.makedirs(folder, exist_ok=True)
    with zipfile.ZipFile(os.path.join(folder, f'{name}-{version}-py3-none-any.whl'), 'w') as wheel:
        info = f'{name}-{version}.dist-info'
        wheel.writestr(f'{name}.py', '')
        wheel.writestr(f'{info}/METADATA', f'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n')
        wheel.writestr(f'{info}/WHEEL', 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')
        wheel.writestr(f'{info}/RECORD', '')
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=root)
server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler)
print(server.server_address[1], flush=True)
server.serve_forever()
";

struct Index {
    child: Child,
    url: String,
}

impl Index {
    fn start(place: &Place) -> Self {
        let mut command = place.command(base_python());
        command.args(["-c", SERVER]).arg(place.path("index")).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut port = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
        Self { child, url: format!("http://127.0.0.1:{}", port.trim()) }
    }

    /// A table of a machine with CUDA 12.2, whose packages come from here.
    fn table(&self, place: Place, template: &str, resolve: &str) -> Table {
        let (primary, template) = (format!("{}/pypi/", self.url), format!("\"{template}\""));
        let settings = [
            ("PIP_INDEX_URL", primary.as_str()),
            ("PIP_FIND_LINKS", ""),
            ("CLEARML_AGENT__AGENT__CUDA_VERSION", "\"12.2\""),
            ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__EXTRA_INDEX_URL_TEMPLATE", template.as_str()),
            ("CLEARML_AGENT__AGENT__PACKAGE_MANAGER__PYTORCH_RESOLVE", resolve),
        ];
        Table::start(place, &settings)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn row(name: &str, requirements: &str, names: &str, line: &str) -> Row {
    Row::completes(name, versions(requirements, names), &[line])
}

#[test]
fn the_index_that_fits_the_driver() {
    let place = Place::new();
    let index = Index::start(&place);
    let table = index.table(place, &format!("{}/whl/cu{{}}/", index.url), "pip");
    table.run(&[
        row("torch without a version", "torch", "torch", "torch=1.0.0+cu121").reports("torch==1.0.0+cu121"),
        row(
            "torch and its family",
            "torch\ntorchvision",
            "torch torchvision",
            "torch=1.0.0+cu121 torchvision=1.1.0+cu121",
        ),
        row("a pin of an older CUDA", "torch==0.9.0", "torch", "torch=0.9.0+cu118"),
        row("a pin that names its CUDA", "torch==0.8.0+cu118", "torch", "torch=0.8.0+cu118"),
        row("a pin that no index of PyTorch has", "torch==9.0.0", "torch", "torch=9.0.0").reports("torch==9.0.0"),
        row("a range that the driver cannot have", "torch>=8", "torch", "torch=9.0.0").says("doing without it"),
    ]);
    table.finish();
}

#[test]
fn the_index_cannot_be_reached() {
    let place = Place::new();
    let index = Index::start(&place);
    let table = index.table(place, "http://127.0.0.1:1/whl/cu{}/", "pip");
    let torch = row("defect 12: torch without its index", "torch", "torch", "torch=9.0.0").says("cannot be reached");
    table.run(&[torch, row("defect 12: a pin without its index", "torch==0.9.0", "torch", "torch=0.9.0")]);
    table.finish();
}

#[test]
fn the_index_is_not_wanted() {
    let place = Place::new();
    let index = Index::start(&place);
    let table = index.table(place, &format!("{}/whl/cu{{}}/", index.url), "none");
    let torch = row("torch as a package like any other", "torch", "torch", "torch=9.0.0");
    table.run(&[torch.never_says("index of PyTorch")]);
    table.finish();
}
