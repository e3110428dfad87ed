//! When no file descriptor is left, clients and cameras get that reason. When some are free again, the server works as
//! before.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};

use framecast_testkit::blocking::{Response, get, read_head, request_head, until};
use framecast_testkit_server::program::{Running, command};

/// The program's limit: more than it needs to run, and fewer than the test connects.
const LIMIT: &str = "--nofile=64:64";

/// Sends a request on a connection that stays open, and reads an answer with a `Content-Length`.
fn ask_on(connection: &mut BufReader<TcpStream>, address: SocketAddr, path: &str) -> Response {
    let head = request_head(address, &format!("GET {path}"), &[], "1.1").replace("Connection: close\r\n", "");
    connection.get_mut().write_all(head.as_bytes()).unwrap();
    let mut answer = read_head(connection);
    let length = answer.header("content-length").unwrap().parse().unwrap();
    answer.body = vec![0; length];
    std::io::Read::read_exact(connection, &mut answer.body).unwrap();
    answer
}

#[test]
fn clients_and_cameras_are_told_that_no_descriptor_is_left_and_all_goes_on_after() {
    let folder = tempfile::tempdir().unwrap();
    // Idle connections must stay open.
    let cameras = "[[camera]]\nname = 'cam'\nsource = 'exec:sleep 1000'\n\
                   [[camera]]\nname = 'test'\nsource = 'test:?size=64x64'\n";
    let config = folder.path().join("site.toml");
    let server = "listen = '127.0.0.1:0'\nheader_timeout = '10min'\n";
    std::fs::write(&config, format!("{server}{cameras}")).unwrap();
    let mut command = command("prlimit".into(), &[LIMIT, env!("CARGO_BIN_EXE_framecast"), "--config"]);
    command.arg(&config);
    let mut program = Running::start(command.env("XDG_STATE_HOME", folder.path()));
    let address = program.address();
    let mut open = BufReader::new(TcpStream::connect(address).unwrap());
    assert_eq!(ask_on(&mut open, address, "/healthz").status, 200);

    let held: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
    let told = program.line_with("cannot accept connections");
    assert!(told.contains("all 64 file descriptors of this process are in use"), "{told}");
    assert!(
        told.contains("ulimit -n") && told.contains("LimitNOFILE=") && told.contains("max_connections=1024")
    );
    let refused = get(address, "/healthz");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("5")));
    assert_eq!(refused.text(), "{\"error\":\"the server has no file descriptor left; wait and try again\"}");

    let slate = ask_on(&mut open, address, "/cameras/cam/snapshot.jpg");
    let lost = program.line_with("lost");
    assert!(lost.contains("Too many open files") && lost.contains("LimitNOFILE="), "{lost}: {slate:?}");

    drop(held);
    until("clients are answered again", || get(address, "/healthz").status == 200);
    assert_eq!(get(address, "/cameras/test/snapshot.jpg").status, 200);
    let (status, lines) = program.terminate();
    assert_eq!(status.code(), Some(0));
    // The server refused more than a hundred connections within little more than a minute.
    let told = lines.iter().filter(|line| line.contains("cannot accept connections")).count();
    assert!((1..=2).contains(&told), "{lines:#?}");
}
