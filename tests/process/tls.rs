//! TLS with an authority of our own: the real SDK, our agent and the commands trust it through `clearml.conf`.

use std::path::PathBuf;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};

use crate::harness::{Draft, Place, ProcessExt, login_trusting, ready_line, run_scenario_with};
use crate::up::Up;

/// Makes an authority and a certificate for this machine in a place.
pub(crate) fn certificates(place: &Place) -> [PathBuf; 3] {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, "An authority of our own");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "this machine");
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let files = [("ca.pem", issuer.pem()), ("cert.pem", certificate.pem()), ("key.pem", key.serialize_pem())];
    files.map(|(name, text)| {
        let path = place.path(name);
        std::fs::write(&path, text).unwrap();
        path
    })
}

#[test]
fn everything_works_over_tls_with_an_authority_of_our_own() {
    let place = Place::new();
    let [ca, cert, key] = certificates(&place).map(|path| path.to_str().unwrap().to_owned());
    let up = Up::start_with(&place, &["--tls-cert", &cert, "--tls-key", &key, "--tls-ca", &ca]);
    for url in ["api_server", "web_server", "files_server"] {
        assert!(up.ready()[url].as_str().unwrap().starts_with("https://127.0.0.1:"), "{}", up.ready());
    }
    let config = std::fs::read_to_string(up.configuration_file()).unwrap();
    assert!(config.contains("verify_certificate") && config.contains("ca.pem"), "{config}");

    // The SDK: a task with scalars and an uploaded artifact, which it downloads again.
    let finished = run_scenario_with(&place, &up.configuration_file(), "training", &[]);
    assert!(finished.status.success(), "{finished:#?}");

    // The agent, which has been serving the queue all the time.
    let api_url = up.ready()["api_server"].as_str().unwrap();
    let api = login_trusting(&std::fs::read(&ca).unwrap(), api_url, &up.configuration_file());
    let task = Draft::script("over tls", "print('line over tls', flush=True)\n").enqueue(&api);
    api.ended_as(&task, "completed");
    assert_eq!(api.console_lines(&task, "line over tls").len(), 1);

    // The commands for people, and those for the owner of the directory.
    let mut command = place.hostler();
    command.args(["task", "list", "--json"]).env("CLEARML_CONFIG_FILE", up.configuration_file());
    assert!(command.finish_within(Duration::from_secs(60)).ok().contains("over tls"));
    let mut command = place.hostler();
    command.args(["server", "user", "add", "ada", "--json", "--data-dir"]).arg(place.path("state"));
    let added: Value = serde_json::from_str(&command.finish_within(Duration::from_secs(60)).ok()).unwrap();
    assert_eq!(added["name"], json!("ada"));

    // Who does not know the authority is told what to do.
    let mut command = place.hostler();
    command.args(["task", "list"]).env("CLEARML_CONFIG_FILE", up.configuration_file());
    command.env("CLEARML_API_HOST_VERIFY_CERT", "true");
    let refused = command.finish_within(Duration::from_secs(60));
    assert_eq!(refused.code(), 78, "{refused:#?}");
    assert!(refused.stderr.contains("api.verify_certificate"), "{refused:#?}");
    up.audit();
}

#[test]
fn a_key_of_another_certificate_is_one_clear_error() {
    let place = Place::new();
    let [_, cert, _] = certificates(&place);
    let key = KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(place.path("other.pem"), key).unwrap();
    let mut command = place.hostler();
    command.args(["server", "--api-port", "0", "--web-port", "0", "--files-port", "0", "--data-dir"]);
    command.arg(place.path("data")).arg("--tls-cert").arg(&cert).arg("--tls-key").arg(place.path("other.pem"));
    let finished = command.finish_within(Duration::from_secs(60));
    assert_eq!(finished.code(), 78, "{finished:#?}");
    assert_eq!(finished.stderr.trim().lines().count(), 1, "{finished:#?}");
    assert!(finished.stderr.contains("other.pem") && finished.stderr.contains("cert.pem"), "{finished:#?}");
}

#[test]
fn an_open_server_without_tls_says_so_once() {
    let place = Place::new();
    let log = |listen: &str, name: &str| {
        let out = place.path(&format!("logs/{name}.out"));
        let err = place.path(&format!("logs/{name}.log"));
        let mut child = place
            .hostler()
            .args(["server", "--json", "--api-port", "0", "--web-port", "0", "--files-port", "0", "--listen", listen])
            .arg("--data-dir")
            .arg(place.path(name))
            .stdin(std::process::Stdio::null())
            .stdout(std::fs::File::create(&out).unwrap())
            .stderr(std::fs::File::create(&err).unwrap())
            .spawn()
            .unwrap();
        ready_line(&mut child, &out);
        child.kill().unwrap();
        child.wait().unwrap();
        std::fs::read_to_string(err).unwrap()
    };
    assert_eq!(log("0.0.0.0", "open").matches("nothing is encrypted").count(), 1);
    assert_eq!(log("127.0.0.1", "closed").matches("nothing is encrypted").count(), 0);
}
