//! The pages, their files, and the common headers of all paths.

use std::fs;

use crate::{Server, error};

/// One path of each kind.
const ADDRESSES: [&str; 14] = [
    "/",
    "/?embed",
    "/cameras/front?embed",
    "/cameras/front",
    "/static/app.js",
    "/favicon.ico",
    "/api/cameras",
    "/api/cameras/front",
    "/api/devices",
    "/video_feed",
    "/cameras/front/stream.mjpg",
    "/cameras/front/snapshot.jpg",
    "/healthz",
    "/readyz",
];

#[test]
fn pages_allow_nothing_from_elsewhere() {
    let server = Server::with(|_| {});
    for path in ["/", "/cameras/front"] {
        let page = server.get(path);
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'self';") && !policy.contains("unsafe"), "{policy}");
        assert!(!page.text().contains("http://") && !page.text().contains("https://"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(page.header("cache-control"), Some("no-cache"));
    }
}

/// The headers of a page about frames: its policy, and the older header.
fn framing(server: &Server, path: &str) -> (String, Option<String>) {
    let page = server.ask(&format!("HEAD {path}"), &[("Accept", "text/html")]);
    let policy = page.header("content-security-policy").unwrap().to_owned();
    let ancestors = policy.split("; ").find(|part| part.starts_with("frame-ancestors ")).unwrap_or_default();
    (ancestors.to_owned(), page.header("x-frame-options").map(str::to_owned))
}

#[test]
fn pages_that_act_are_framed_by_whom_the_configuration_names() {
    let said = |ancestors: &str, options: Option<&str>| (ancestors.to_owned(), options.map(str::to_owned));
    for (ancestors, policy, options) in [
        (&["'self'"][..], "frame-ancestors 'self'", Some("SAMEORIGIN")),
        (&["'self'", "http://ha:8123"], "frame-ancestors 'self' http://ha:8123", None),
        (&["'none'"], "frame-ancestors 'none'", Some("DENY")),
        (&[], "frame-ancestors 'none'", Some("DENY")),
        (&["*"], "frame-ancestors *", None),
    ] {
        let server = Server::with(|settings| {
            settings.frame_ancestors = ancestors.iter().map(|&ancestor| ancestor.to_owned()).collect();
        });
        for path in ["/", "/cameras/front", "/history", "/?embed=0"] {
            assert_eq!(framing(&server, path), said(policy, options), "{path}");
        }
        for path in ["/?embed", "/cameras/front?embed", "/cameras/front?embed=1"] {
            assert_eq!(framing(&server, path), said("frame-ancestors *", None), "{path}");
        }
        // The frame shows errors in its address, too.
        assert_eq!(framing(&server, "/cameras/none?embed"), said("", None));
        assert_eq!(server.get("/healthz").header("x-frame-options"), None);
    }
}

#[test]
fn a_page_of_pictures_alone_has_nothing_that_acts() {
    let server = Server::with(|_| {});
    for (path, stream) in [("/?embed", "video_feed"), ("/cameras/front?embed", "front/stream.mjpg")] {
        let page = server.get(path).text();
        for tag in ["<a ", "<button", "<input", "<form", "app.js", "camera.js"] {
            assert!(!page.contains(tag), "{path} has {tag}");
        }
        assert!(page.contains(&format!("<img src=\"{stream}\"")) && !page.contains('{'), "{page}");
    }
    assert_eq!(server.get("/cameras/none?embed").status, 404);
}

#[test]
fn every_file_of_the_page_is_served_as_what_it_is() {
    let server = Server::with(|_| {});
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web");
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = match path.extension().unwrap().to_str().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "html" => continue,
            other => panic!("nobody knows what .{other} is"),
        };
        let name = path.file_name().unwrap().to_str().unwrap();
        let answer = server.get(&format!("/static/{name}"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{name}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.body, fs::read(&path).unwrap());
    }
}

#[test]
fn everything_answers_head_without_body_and_without_opening_the_camera() {
    let server = Server::with(|_| {});
    for path in ADDRESSES {
        let answer = server.ask(&format!("HEAD {path}"), &[]);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").is_some(), "{path}");
    }
    assert_eq!(server.json("/api/cameras/front")["opened"], 0);
}

#[test]
fn everything_says_by_options_what_it_takes() {
    let server = Server::with(|_| {});
    for path in ADDRESSES {
        let answer = server.ask(&format!("OPTIONS {path}"), &[]);
        assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, HEAD, OPTIONS")), "{path}");
    }
}

#[test]
fn nothing_takes_other_methods() {
    let server = Server::with(|_| {});
    for path in ADDRESSES {
        for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
            let answer = server.ask(&format!("{method} {path}"), &[]);
            assert_eq!(answer.status, 405, "{method} {path}");
            let allowed = answer.header("allow").unwrap().replace(' ', "");
            assert_eq!(allowed, "GET,HEAD,OPTIONS", "{method} {path}");
        }
    }
}

#[test]
fn an_address_with_nothing_behind_it_is_404() {
    let server = Server::with(|_| {});
    for path in ["/nowhere", "/cameras", "/cameras/", "/cameras/front/", "/api/", "/static/", "/a/b/c?d=e"] {
        let answer = server.get(path);
        assert_eq!(answer.status, 404, "{path}");
        let shown = path.split('?').next().unwrap();
        assert_eq!(error(&answer), format!("there is nothing at {shown}"));
    }
    for path in ["/static/none.js", "/static/index.html", "/static/..%2FCargo.toml"] {
        let answer = server.get(path);
        assert_eq!((answer.status, error(&answer)), (404, format!("there is nothing at {path}")));
    }
}

#[test]
fn a_wrong_address_in_a_browser_is_a_page_with_a_way_to_the_start() {
    const BROWSER: (&str, &str) = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let server = Server::with(|_| {});
    for (path, start, sentence) in [
        ("/foo", "./", "there is nothing at /foo"),
        ("/cameras/", "../", "there is nothing at /cameras/"),
        ("/cameras/none", "../", "unknown camera `none`; known cameras: front"),
        ("/a/b/c", "../../", "there is nothing at /a/b/c"),
    ] {
        let page = server.ask(&format!("GET {path}"), &[BROWSER]);
        assert_eq!(
            (page.status, page.header("content-type")),
            (404, Some("text/html; charset=utf-8")),
            "{path}"
        );
        assert_eq!(page.header("content-length"), Some(page.body.len().to_string().as_str()), "{path}");
        assert!(page.text().contains(&format!("<p>{sentence}</p>")), "{}", page.text());
        assert!(page.text().contains(&format!("href=\"{start}\">All cameras")), "{}", page.text());
        assert!(page.header("content-security-policy").is_some() && page.header("vary").is_some());
        let head = server.ask(&format!("HEAD {path}"), &[BROWSER]);
        assert_eq!(
            (head.status, head.header("content-type"), head.body.len()),
            (404, page.header("content-type"), 0)
        );
        for program in [&[("Accept", "*/*")][..], &[("Accept", "application/json")], &[]] {
            assert_eq!(error(&server.ask(&format!("GET {path}"), program)), sentence);
        }
    }
    let refused = server.ask("GET /video_feed?width=1", &[BROWSER]);
    assert_eq!((refused.status, refused.header("content-type")), (400, Some("text/html; charset=utf-8")));
}

#[test]
fn health_is_one_word() {
    let server = Server::with(|_| {});
    let answer = server.get("/healthz");
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
}
