//! Packages that are built with the help of others, and what the user of the machine tells installers.

use std::fs;

use crate::fixture::{Fixture, python};

/// A package whose build looks for six, and does not say so; as a requirement.
fn lonely(fixture: &Fixture) -> String {
    let repository = fixture.path("lonely");
    fs::create_dir_all(&repository).unwrap();
    let setup = "import six\nfrom setuptools import setup\n\
                 setup(name='lonely-thing', version=six.__version__, py_modules=['lonely'])\n";
    fs::write(repository.join("setup.py"), setup).unwrap();
    fs::write(repository.join("lonely.py"), "VALUE = 1\n").unwrap();
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=a", "-c", "user.email=a@h", "-c", "init.defaultBranch=main"];
        let output = std::process::Command::new("git").current_dir(&repository).args(identity).args(arguments).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "-m", "first"]);
    format!("lonely-thing @ git+file://{}@{}", repository.display(), git(&["rev-parse", "HEAD"]))
}

const VERSION: &str = "from importlib.metadata import version; print(version('lonely-thing'))";

#[test]
fn a_build_finds_the_other_packages_of_the_task() {
    let fixture = Fixture::new();
    let line = lonely(&fixture);
    let environment = fixture.prepare(Some(&[&line, "six==1.16.0"])).unwrap();
    assert_eq!(python(&environment, VERSION), "1.16.0", "built beside the six of the task");
    assert!(fixture.shown().contains("lonely-thing needs other packages"), "{}", fixture.shown());
    let packages = environment.packages.unwrap();
    assert_eq!(packages, [line.clone(), "six==1.16.0".to_owned()], "tools of the build are not the task's");
    // Learnt once; the same question has its answer.
    assert!(fixture.prepare(Some(&["six==1.16.0", &line])).unwrap().reused);
    assert_eq!(fixture.builds(), 1, "{}", fixture.shown());
    // Without anything that could help, nor what was built before, it stays what it is.
    let fixture = Fixture::new();
    let line = lonely(&fixture);
    let error = fixture.prepare(Some(&[&line])).unwrap_err().to_string();
    assert!(error.contains("No module named 'six'"), "{error}");
}

#[test]
fn what_is_configured_to_come_last_comes_last() {
    let mut fixture = Fixture::new();
    let line = lonely(&fixture);
    fixture.settings.packages.post = vec!["Lonely_Thing".into()];
    let environment = fixture.prepare(Some(&[&line, "six==1.16.0"])).unwrap();
    assert_eq!(python(&environment, VERSION), "1.16.0");
    assert!(!fixture.shown().contains("No module named"), "it was not tried in vain: {}", fixture.shown());
}

#[test]
fn flags_of_the_configuration_reach_the_installer() {
    let mut fixture = Fixture::new();
    let requests = ["requests==2.31.0"].as_slice();
    let whole = fixture.prepare(Some(requests)).unwrap();
    assert!(whole.packages.unwrap().len() > 1);
    fixture.settings.packages.extra_flags = vec!["--no-deps".into(), "--timeout".into(), "60".into(), "--user".into()];
    let bare = fixture.prepare(Some(requests)).unwrap();
    assert_eq!(bare.packages.unwrap(), ["requests==2.31.0"]);
    assert!(!bare.reused && fixture.shown().contains("--user cannot be used here"), "{}", fixture.shown());
    // uv does not know this one.
    fixture.settings.packages.extra_flags = vec!["--no-deps".into(), "--upgrade-strategy=eager".into()];
    let by_pip = fixture.prepare(Some(requests)).unwrap();
    assert_eq!(by_pip.packages.unwrap(), ["requests==2.31.0"]);
    assert!(fixture.shown().contains("Successfully installed requests-2.31.0"), "{}", fixture.shown());
}
