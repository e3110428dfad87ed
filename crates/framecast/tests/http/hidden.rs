//! Hidden characters from outside appear escaped, with their numbers, so that none of them reorders or breaks a line.

use framecast::Settings;
use std::io::Read;

use framecast_testkit::blocking::{get, read_head, request_head, send};
use serde_json::Value;

use crate::{Server, error};

/// `gpj.exe`, which reads backwards from the control character on, in text that goes on in a second line.
const NASTY: &str = "%E2%80%AEgpj.exe%E2%80%A8%C2%85%0A%1B[2J";
const SHOWN: &str = "\\u{202e}gpj.exe\\u{2028}\\u{85}\\n\\u{1b}[2J";

#[test]
fn errors_show_hidden_characters_as_numbers() {
    let server = Server::with(|_| {});
    for path in [
        "/cameras/NASTY/snapshot.jpg",
        "/api/cameras/NASTY",
        "/api/events?camera=NASTY",
        "/api/events?x=NASTY",
    ] {
        let answer = server.get(&path.replace("NASTY", NASTY));
        assert!(error(&answer).contains(SHOWN), "{path}: {}", answer.text());
    }
    let page = server.ask(&format!("GET /cameras/{NASTY}"), &[("Accept", "text/html")]).text();
    assert!(page.contains("<h1>Not Found</h1>") && page.contains(SHOWN), "{page}");
    assert!(!page.contains(['\u{202e}', '\u{2028}', '\u{85}', '\u{1b}']), "{page}");
}

#[test]
fn json_has_hidden_characters_as_numbers_and_the_same_text() {
    let server = Server::with(|_| {});
    let label = "gpj.\u{202e}exe\u{2028}\u{85}\u{7f}ü";
    let body = format!("{{\"label\": \"{label}\"}}");
    let head = format!("POST /api/events HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", server.address);
    let mut reader = send(server.address, &format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
    let mut answer = read_head(&mut reader);
    reader.read_to_end(&mut answer.body).unwrap();
    assert_eq!(answer.status, 201, "{}", answer.text());
    let page = server.get("/api/events?kind=mark").text();
    // HTTP/1.0 has no chunks.
    let [array, lines] = ["/api/events.json?kind=mark", "/api/events.ndjson?kind=mark"].map(|path| {
        let mut reader =
            send(server.address, &request_head(server.address, &format!("GET {path}"), &[], "1.0"));
        let mut answer = read_head(&mut reader);
        reader.read_to_end(&mut answer.body).unwrap();
        answer.text()
    });
    for text in [&answer.text(), &page, &array, &lines] {
        assert!(text.contains("gpj.\\u202eexe\\u2028\\u0085\\u007fü"), "{text}");
    }
    let value = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    let told = [&value(&answer.text()), &value(&page)["events"][0], &value(&array)[0], &value(&lines)];
    assert!(told.iter().all(|event| event["text"] == label), "{told:?}");
}

#[test]
fn a_program_that_is_a_camera_cannot_reorder_the_line_that_says_why_it_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().join("a\u{202e}b.jpg");
    let source = format!("images:{}", name.display());
    let settings = Settings::with_cameras([("front", &*source)]).unwrap();
    let server = Server::start(settings, framecast::Drivers::builtin());
    let picture = get(server.address, "/snapshot.jpg");
    assert!(picture.status == 200 || picture.status == 503, "{picture:?}");
    server.until("/api/cameras/front", |camera| camera["reason"].is_string());
    let reason = server.json("/api/cameras/front")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("a\\u{202e}b.jpg") && !reason.contains('\u{202e}'), "{reason}");
}
