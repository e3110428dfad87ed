//! Tables of events: in every format and compression they have the same content as the pages.

use std::fs;
use std::io::{ErrorKind, Read};

use framecast::HistoryStorage;
use framecast_testkit_server::history_server::{Answer, HistoryServer, ask};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn get(server: &HistoryServer, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = server.client.get(server.url(path));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = ask(request).await.unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer
}

/// Rows of a table in CSV (RFC 4180).
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut is_quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if is_quoted && letters.peek() == Some(&'"') => cell.extend(letters.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut cell)),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut cell).trim_end_matches('\r').to_owned());
                rows.push(std::mem::take(&mut row));
            }
            letter => cell.push(letter),
        }
    }
    assert!(row.is_empty() && cell.is_empty() && !is_quoted, "it ends within a row");
    rows
}

/// An event's cells in CSV; a cell that a spreadsheet would run begins with an apostrophe.
fn cells(event: &Value) -> Vec<String> {
    let cell = |name: &str| match &event[name] {
        Value::Null => String::new(),
        Value::String(text) if name != "at" && text.starts_with(['=', '+', '-', '@', '\t', '\r']) => {
            format!("'{text}")
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    ["id", "at", "kind", "camera", "text", "count"].map(cell).to_vec()
}

async fn filled() -> (HistoryServer, Vec<Value>) {
    let server = HistoryServer::start().await;
    for n in 0..250 {
        let label = match n % 5 {
            0 => format!("=SUM(A1:A{n})"),
            1 => format!("a, \"quoted\" label {n}"),
            2 => format!("two\nlines {n}"),
            3 => format!("<b>{n}</b> & 😀"),
            _ => format!("plain {n}"),
        };
        let camera = if n % 2 == 0 { Some("front") } else { None };
        assert_eq!(server.post(json!({"label": label, "camera": camera}).to_string()).await.status, 201);
    }
    let page = server.json("/api/events?limit=1000").await;
    assert_eq!(page["next"], Value::Null);
    let events = page["events"].as_array().unwrap().clone();
    assert_eq!(events.len(), 251);
    (server, events)
}

#[tokio::test]
async fn all_formats_have_the_events_of_the_pages() {
    let (server, events) = filled().await;
    let json: Value = get(&server, "/api/events.json", &[]).await.json();
    let rows = json.as_array().or_else(|| json["rows"].as_array()).unwrap_or_else(|| panic!("{json}"));
    assert_eq!(*rows, events);
    let ndjson = get(&server, "/api/events.ndjson", &[]).await.text();
    let rows: Vec<Value> = ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows, events);
    let table = get(&server, "/api/events.csv", &[]).await;
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8");
    assert!(table.header("content-disposition").contains("framecast-events.csv"));
    let rows = csv(&table.text());
    assert_eq!(rows[0], ["id", "at", "kind", "camera", "text", "count"]);
    assert_eq!(rows[1..], events.iter().map(cells).collect::<Vec<_>>());
    let html = get(&server, "/history", &[]).await.text();
    assert_eq!(html.matches("<tr id=").count(), events.len(), "{html}");
}

#[tokio::test]
async fn a_table_comes_by_its_path_its_parameter_and_by_what_the_client_takes() {
    let (server, _) = filled().await;
    let table = get(&server, "/api/events.csv?kind=mark&order=oldest", &[]).await.text();
    let same = [
        get(&server, "/api/events?kind=mark&order=oldest&format=csv", &[]).await,
        get(&server, "/api/events?kind=mark&order=oldest", &[("Accept", "text/csv")]).await,
        get(&server, "/history?kind=mark&order=oldest&format=csv", &[]).await,
    ];
    for answer in same {
        assert_eq!(answer.text(), table);
    }
    let lines = get(&server, "/api/events", &[("Accept", "application/x-ndjson")]).await.text();
    assert_eq!(lines.lines().count(), 251);
    // The plain table has no byte order mark; the page's link asks for one.
    assert!(!table.starts_with('\u{feff}'));
    for path in [
        "/api/events.csv?kind=mark&order=oldest&bom=1",
        "/api/events?format=csv&kind=mark&order=oldest&bom=1",
    ] {
        let marked = get(&server, path, &[]).await;
        assert!(marked.header("content-type").starts_with("text/csv"));
        assert_eq!(marked.text().strip_prefix('\u{feff}'), Some(&*table), "{path}");
    }
    let html = get(&server, "/history?kind=mark", &[]).await.text();
    assert!(html.contains("href=\"api/events.csv?kind=mark&#38;bom=1\""), "{html}");
    assert!(html.contains("href=\"api/events.ndjson?kind=mark\""), "{html}");

    let page = get(&server, "/api/events", &[("Accept", "application/json, text/csv;q=0.5")]).await.json();
    assert!(page["events"].is_array(), "{page}");
}

#[tokio::test]
async fn what_is_compressed_is_the_same() {
    let (server, _) = filled().await;
    for path in ["/api/events.csv", "/api/events.json", "/api/events.ndjson", "/history"] {
        let plain = get(&server, path, &[]).await;
        assert_eq!((plain.header("content-encoding"), plain.header("vary")), ("", "accept, accept-encoding"));
        let gzip = get(&server, path, &[("Accept-Encoding", "gzip, deflate, br")]).await;
        assert_eq!(gzip.header("content-encoding"), "gzip", "{path}");
        let mut decoded = Vec::new();
        flate2::read::GzDecoder::new(&*gzip.body).read_to_end(&mut decoded).unwrap();
        assert_eq!(decoded, plain.body, "{path}");
        let zstd = get(&server, path, &[("Accept-Encoding", "gzip, zstd")]).await;
        assert_eq!(zstd.header("content-encoding"), "zstd", "{path}");
        assert_eq!(zstd::decode_all(&*zstd.body).unwrap(), plain.body, "{path}");
        assert!(zstd.body.len() < plain.body.len() / 2, "{path}: {}", zstd.body.len());
    }
}

#[tokio::test]
async fn one_that_breaks_off_is_no_whole_one_for_who_speaks_http_1_0() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.db");
    let server =
        HistoryServer::with(|settings| settings.history.storage = HistoryStorage::File(file.clone())).await;
    let database = rusqlite::Connection::open(&file).unwrap();
    let rows = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 400000)
        INSERT INTO events SELECT n, n, 'live', 'front', 'number ' || n, NULL FROM n";
    database.execute_batch(&format!("{rows}; PRAGMA wal_checkpoint(TRUNCATE)")).unwrap();
    drop(database);
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(b"GET /api/events.csv HTTP/1.0\r\n\r\n").await.unwrap();
    let mut first = [0; 1024];
    client.read_exact(&mut first).await.unwrap();
    assert!(!first.windows(7).any(|bytes| bytes == b"chunked"), "its end is the connection's");
    fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(8192).unwrap();
    let mut rest = Vec::new();
    let error = client.read_to_end(&mut rest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.stop().await;
}
