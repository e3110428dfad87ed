//! Marks: the history stores the accepted ones unchanged, and the server refuses others with a message that says what
//! to write instead.

use framecast_testkit::soon;
use framecast_testkit_server::history_server::{HistoryServer, ask, labelled};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_mark_is_kept_as_it_was_written_and_shown_as_text() {
    let server = HistoryServer::start().await;
    let labels = [
        "<script>alert(1)</script>",
        "</td></tr></table><img src=x onerror=alert(1)>",
        "line\nbreak\r\nand\ttab",
        "'; DROP TABLE events; --",
        "\" OR 1=1 %s {} \\",
        "=HYPERLINK(\"http://evil.example\")",
        "😀é\u{202e}\u{feff}",
        "&lt;&amp;",
        "\u{1}\u{7f}",
    ];
    for label in labels {
        let body = json!({"label": label, "camera": "front"}).to_string();
        let answer = server.post(body).await;
        assert_eq!(answer.status, 201, "{label}: {}", answer.text());
        let event = answer.json();
        assert_eq!(
            (&event["text"], &event["camera"], &event["kind"]),
            (&json!(label), &json!("front"), &json!("mark"))
        );
    }
    let page = server.json("/api/events?kind=mark&order=oldest").await;
    let kept: Vec<&str> =
        page["events"].as_array().unwrap().iter().map(|event| event["text"].as_str().unwrap()).collect();
    assert_eq!(kept, labels);
    let html = server.get("/history").await;
    assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
    let html = html.text();
    for (written, never) in
        [("alert(1)", "<script>alert"), ("onerror=", "<img src=x"), ("DROP TABLE", "'; DROP TABLE")]
    {
        assert!(html.contains(written) && !html.contains(never), "{html}");
    }
    assert!(html.contains("😀é\\u{202e}\\u{feff}") && html.contains("\\u{1}\\u{7f}"), "{html}");
    assert!(!html.contains(['\u{202e}', '\u{feff}', '\u{1}', '\u{7f}']), "{html}");
    assert!(html.contains("&#38;lt;&#38;amp;") || html.contains("&amp;lt;&amp;amp;"), "{html}");
}

#[tokio::test]
async fn what_is_no_mark_is_refused_with_an_example() {
    let server = HistoryServer::start().await;
    let long = labelled(&"é".repeat(1001));
    for (body, told, example) in [
        ("", "EOF", r#"{"label": "parcel", "camera": "front"}"#),
        ("parcel", "expected value", r#"{"label": "parcel", "camera": "front"}"#),
        (
            r#"["parcel", "front"]"#,
            "expected an object, but got a list",
            r#"{"label": "parcel", "camera": "front"}"#,
        ),
        (r#"{"label": 7}"#, "invalid type", r#"{"label": "parcel", "camera": "front"}"#),
        (
            r#"{"label": "x", "colour": "red"}"#,
            "unknown field `colour`",
            r#"{"label": "parcel", "camera": "front"}"#,
        ),
        (r#"{"camera": "front"}"#, "missing field `label`", r#"{"label": "parcel", "camera": "front"}"#),
        (
            r#"{"label": "\ud800"}"#,
            "unexpected end of hex escape",
            r#"{"label": "parcel", "camera": "front"}"#,
        ),
        (r#"{"label": "x"} and more"#, "trailing characters", r#"{"label": "parcel", "camera": "front"}"#),
        (r#"{"label": ""}"#, "`label` is empty", r#"{"label": "parcel"}"#),
        (r#"{"label": " \n\t"}"#, "`label` is empty", r#"{"label": "parcel"}"#),
        (r#"{"label": "a\u0000b"}"#, "`label` has a NUL character", r#"{"label": "parcel"}"#),
        (long.as_str(), "`label` has more than 1000 characters", r#"{"label": "parcel"}"#),
        (r#"{"label": "x", "camera": "attic"}"#, "unknown camera `attic`", "front"),
    ] {
        let answer = server.post(body.to_owned()).await;
        assert_eq!(answer.status, 400, "{body}");
        let error = answer.error();
        assert!(error.contains(told) && error.contains(example), "{body}: {error}");
    }
    let answer = server.post(b"{\"label\": \"\xff\"}".to_vec()).await;
    assert_eq!(answer.status, 400, "no UTF-8");
    assert_eq!(server.json("/api/events?kind=mark").await["events"], json!([]), "nothing is kept of it");
}

#[tokio::test]
async fn a_label_of_a_megabyte_is_refused_and_the_longest_is_kept() {
    let server = HistoryServer::start().await;
    let answer = server.post(labelled(&"x".repeat(1 << 20))).await;
    assert_eq!(answer.status, 413);
    assert!(
        answer.error().contains("a mark has at most 16384 bytes, and its label 1000 characters"),
        "{}",
        answer.error()
    );
    // Each character takes twelve bytes, because some programs escape characters beyond the basic plane.
    let escaped = format!("{{\"label\": \"{}\"}}", "\\ud83d\\ude00".repeat(1000));
    let answer = server.post(escaped).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["text"].as_str().unwrap().chars().count(), 1000);
}

#[tokio::test]
async fn methods_are_answered_as_everywhere() {
    let server = HistoryServer::start().await;
    for (path, allowed) in [
        ("/api/events", "GET, HEAD, POST, OPTIONS"),
        ("/api/events.csv", "GET, HEAD, OPTIONS"),
        ("/api/events.ndjson", "GET, HEAD, OPTIONS"),
        ("/api/events.json", "GET, HEAD, OPTIONS"),
        ("/api/events/live", "GET, HEAD, OPTIONS"),
        ("/history", "GET, HEAD, OPTIONS"),
    ] {
        let send = |method: Method| ask(server.client.request(method, server.url(path)));
        let options = soon("OPTIONS", send(Method::OPTIONS)).await.unwrap();
        assert_eq!((options.status, options.header("allow")), (204, allowed), "{path}");
        let refused = soon("DELETE", send(Method::DELETE)).await.unwrap();
        assert_eq!(refused.status, 405, "{path}");
        let head = soon("HEAD", send(Method::HEAD)).await.unwrap();
        assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
        if path != "/api/events" {
            assert_eq!(soon("POST", send(Method::POST)).await.unwrap().status, 405, "{path}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_site_marks_nothing() {
    let server = HistoryServer::start().await;
    for (name, value) in [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
    ] {
        let request = server.client.post(server.url("/api/events")).header(name, value).body(labelled("x"));
        assert_eq!(ask(request).await.unwrap().status, 403, "{name}: {value}");
    }
    let own = server
        .client
        .post(server.url("/api/events"))
        .header("Sec-Fetch-Site", "same-origin")
        .body(labelled("own"));
    assert_eq!(ask(own).await.unwrap().status, 201);
    let page = server.json("/api/events?kind=mark").await;
    let texts: Vec<&Value> = page["events"].as_array().unwrap().iter().map(|event| &event["text"]).collect();
    assert_eq!(texts, ["own"]);
}

#[tokio::test]
async fn with_an_account_nothing_is_read_or_marked_without_it() {
    let server =
        HistoryServer::with(|settings| settings.account = framecast::Account::new("me", "pw").ok()).await;
    for path in [
        "/api/events",
        "/api/events.csv",
        "/api/events.ndjson",
        "/api/events.json",
        "/api/events/live",
        "/history",
    ] {
        assert_eq!(server.get(path).await.status, 401, "{path}");
        // Each guess comes from another address, because the server compares only five a second of one address.
        let wrong = server.client.get(server.url(path)).basic_auth("me", Some("px"));
        let wrong = wrong.header("X-Forwarded-For", format!("192.0.2.{}", path.len()));
        assert_eq!(ask(wrong).await.unwrap().status, 401, "{path}");
        let right = server.client.head(server.url(path)).basic_auth("me", Some("pw"));
        assert_eq!(ask(right).await.unwrap().status, 200, "{path}");
    }
    assert_eq!(server.post(labelled("x")).await.status, 401);
    let mark = server.client.post(server.url("/api/events")).basic_auth("me", Some("pw")).body(labelled("x"));
    assert_eq!(ask(mark).await.unwrap().status, 201);
}

#[tokio::test]
async fn marks_of_an_address_are_bounded_and_those_of_this_machine_are_not() {
    let server = HistoryServer::with(|settings| settings.marks_per_minute = 3).await;
    let mark = |address: &'static str, body: String| {
        let request = server.client.post(server.url("/api/events")).header("X-Forwarded-For", address);
        let request = request.body(body);
        async { soon("an answer", ask(request)).await.unwrap() }
    };
    for _ in 0..10 {
        assert_eq!(server.post(labelled("of this machine")).await.status, 201);
        assert_eq!(mark("192.0.2.1", "{".to_owned()).await.status, 400, "no mark, and not counted");
    }
    for _ in 0..3 {
        assert_eq!(mark("192.0.2.1", labelled("x")).await.status, 201);
    }
    let many = mark("192.0.2.1", labelled("x")).await;
    assert_eq!(many.status, 429);
    assert!(many.error().contains("marks_per_minute"), "{}", many.error());
    assert!((1..=20).contains(&many.header("retry-after").parse::<u64>().unwrap()), "{many:?}");
    assert_eq!(mark("192.0.2.1", "{".to_owned()).await.status, 400);
    assert_eq!(mark("192.0.2.1", labelled(&"x".repeat(1 << 20))).await.status, 413);
    assert_eq!(mark("192.0.2.2", labelled("x")).await.status, 201, "another address");
}

#[tokio::test]
async fn marks_that_are_turned_off_are_refused_with_the_key_and_not_offered() {
    let server = HistoryServer::with(|settings| settings.marks_per_minute = 0).await;
    let answer = server.post(labelled("x")).await;
    assert_eq!(answer.status, 403);
    assert!(answer.error().contains("marks_per_minute"), "{}", answer.error());
    assert_eq!(server.json("/api/cameras").await["server"]["marks"], json!(false));
    assert_eq!(server.json("/api/cameras/front").await["server"]["marks"], json!(false));
}
