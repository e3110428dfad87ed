//! The command `health`, with which a container asks its server.

use std::fs;
use std::os::unix::net::UnixListener;

use framecast_testkit_server::program::{Running, framecast, run};

#[test]
fn a_server_is_asked_at_its_address_and_with_its_account() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("http.sock");
    let file = folder.path().join("site.toml");
    let content = "user = \"me\"\n[[camera]]\nname = \"front\"\nsource = \"emulated\"\nrequired = true\n";
    fs::write(&file, format!("listen = \"unix:{}\"\n{content}", socket.display())).unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    let ask = |password: &str, more: &[&str]| {
        let mut command = framecast(&["health"]);
        run(command.args(arguments).args(more).env("FRAMECAST_PASSWORD", password))
    };
    let (code, _, errors) = ask("long enough", &[]);
    assert!(code == 1 && errors.contains("no server answers at unix:"), "{errors}");
    let mut program = Running::start(
        framecast(&arguments).env("FRAMECAST_PASSWORD", "long enough").env("XDG_STATE_HOME", folder.path()),
    );
    program.line_with("listening on unix:");
    assert_eq!(ask("long enough", &[]), (0, "ok\n".to_owned(), String::new()));
    let (code, _, errors) = ask("wrong enough", &[]);
    assert!(code == 1 && errors.contains("wrong user or password") && !errors.contains('{'), "{errors}");
    // The server does not apply a file with a mistake, and works.
    let rest = format!("qualty = 3\n{content}\n[[camera]\n");
    fs::write(&file, format!("listen = \"unix:{}\"\n{rest}", socket.display())).unwrap();
    assert_eq!(ask("long enough", &[]), (0, "ok\n".to_owned(), String::new()));
    let (code, _, errors) = ask("long enough", &["--ready"]);
    assert_eq!((code, errors.trim()), (1, "error: camera `front` was not checked yet"));
    program.terminate();
}

#[test]
fn a_command_beside_a_service_says_that_it_lacks_the_services_variables() {
    let folder = tempfile::tempdir().unwrap();
    let (file, variables) = (folder.path().join("site.toml"), folder.path().join("framecast.env"));
    fs::write(&file, "user = \"me\"\n").unwrap();
    let arguments = ["--config", file.to_str().unwrap(), "--listen"];
    let mut service = framecast(&arguments);
    let mut service = Running::start(service.arg("127.0.0.1:0").env("FRAMECAST_PASSWORD", "long enough"));
    let address = service.address().to_string();
    for name in ["health", "check", "reload"] {
        let told = |password: &str| {
            let mut command = framecast(&[name]);
            run(command.args(arguments).arg(&address).env("FRAMECAST_PASSWORD", password)).2
        };
        fs::write(&variables, "").unwrap();
        let note = format!("note: the service has the variables of {}", variables.display());
        assert!(told("").contains(&note), "{name}");
        assert!(!told("long enough").contains("note:"), "{name}");
        fs::remove_file(&variables).unwrap();
        assert!(!told("").contains("note:"), "{name}");
    }
    service.terminate();
}

#[test]
fn what_is_no_framecast_is_not_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("other.sock");
    // It accepts connections, and never answers.
    let _other = UnixListener::bind(&socket).unwrap();
    let listen = format!("unix:{}", socket.display());
    let (code, _, errors) = run(framecast(&["health", "--listen", &listen]).arg("emulated"));
    assert!(code == 1 && errors.contains("did not answer within 5 s"), "{errors}");
}
