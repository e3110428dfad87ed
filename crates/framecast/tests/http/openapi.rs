//! `/api/openapi.json` names each address of the server with its methods, who may use it and what it answers, and no
//! others.

use std::collections::{BTreeMap, BTreeSet};

use framecast::{Account, AddressRanges, Secret, Settings};
use framecast_testkit::blocking::{Response, read_head, request_head, send};
use serde_json::Value;

use crate::addresses::{METHODS, routed};
use crate::{QUICK, Server};

/// What stands for the parameters in the paths.
const PARAMETERS: [(&str, &str); 4] =
    [("{name}", "front"), ("{file}", "0.json"), ("{number}", "1"), ("{kind}", "stream")];

fn document(server: &Server) -> Value {
    server.json("/api/openapi.json")
}

/// Each path of the document with its methods.
fn described(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().unwrap().iter();
    let methods =
        |item: &Value| item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
    paths.map(|(path, item)| (path.clone(), methods(item))).collect()
}

/// The operations of the document, with their methods and paths.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        let operations = item.as_object().unwrap().iter();
        operations.map(move |(method, operation)| (format!("{method} {path}"), operation))
    })
}

/// The head of the answer to `request`, such as `GET /api`, which has no body.
fn head_of(server: &Server, request: &str) -> Response {
    let request = request_head(server.address, request, &[("Content-Length", "0")], "1.1");
    read_head(&mut send(server.address, &request))
}

/// An address at which the route `path` answers.
fn example_of(path: &str) -> String {
    match path {
        "/static/{file}" => "/static/app.js".to_owned(),
        path => PARAMETERS.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value)),
    }
}

fn texts(values: &Value) -> Vec<&str> {
    values.as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect()
}

#[test]
fn the_document_names_each_address_with_its_methods_and_no_others() {
    for drop_in in [true, false] {
        let server = Server::with(|settings| settings.drop_in = drop_in);
        let described = described(&document(&server));
        let names: BTreeSet<String> = described.keys().cloned().collect();
        assert_eq!(names, routed(drop_in));
        for (path, methods) in described {
            let path = example_of(&path);
            for method in METHODS {
                let answer = head_of(&server, &format!("{method} {path}"));
                assert_eq!(
                    answer.status != 405,
                    methods.contains(method),
                    "{method} {path}: {}",
                    answer.status
                );
                if method == "OPTIONS" {
                    let allowed = answer.header("allow").unwrap_or_default().split(", ").map(str::to_owned);
                    assert_eq!(allowed.collect::<BTreeSet<_>>(), methods, "{path}: what OPTIONS allows");
                }
            }
        }
    }
}

#[test]
fn every_operation_has_a_name_of_its_own_a_sentence_and_answers() {
    let document = document(&Server::with(|_| {}));
    let mut names = BTreeSet::new();
    for (operation, described) in operations(&document) {
        assert!(names.insert(described["operationId"].as_str().unwrap()), "{operation}");
        let summary = described["summary"].as_str().unwrap();
        assert!(summary.starts_with(char::is_uppercase) && !summary.ends_with('.'), "{operation}: {summary}");
        for (status, answer) in described["responses"].as_object().unwrap() {
            let shared =
                answer["$ref"].as_str().and_then(|name| name.strip_prefix("#/components/responses/"));
            let answer = shared.map_or(answer, |name| &document["components"]["responses"][name]);
            let text = answer["description"].as_str().unwrap();
            assert!(text.ends_with('.'), "{operation}: {status}: {text}");
        }
        let in_path = operation.matches('{').count();
        let parameters = described["parameters"].as_array().unwrap();
        assert_eq!(
            parameters.iter().filter(|parameter| parameter["in"] == "path").count(),
            in_path,
            "{operation}"
        );
    }
    assert!(names.len() > 100, "{}", names.len());
}

#[test]
fn every_reference_leads_somewhere_and_every_part_is_used() {
    fn collect(value: &Value, references: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
                Some(reference) if name == "$ref" => drop(references.insert(reference.to_owned())),
                _ => collect(value, references),
            }),
            Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
            _ => {}
        }
    }
    let document = document(&Server::with(|_| {}));
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    let known = ["schemas", "responses"].into_iter().flat_map(|kind| {
        let names = document["components"][kind].as_object().unwrap().keys();
        names.map(move |name| format!("#/components/{kind}/{name}"))
    });
    assert_eq!(references, known.collect());
}

#[test]
fn endless_answers_say_so() {
    let document = document(&Server::with(|_| {}));
    let endless = operations(&document).filter(|(_, described)| described["x-endless"] == true);
    let endless: BTreeSet<String> = endless.map(|(operation, _)| operation).collect();
    let expected = [
        "get /",
        "get /api/events/live",
        "get /api/live",
        "get /api/stream.mjpeg",
        "get /api/stream.mp4",
        "get /api/ws",
        "get /cameras/{name}/stream.mjpg",
        "get /cameras/{name}/stream.mp4",
        "get /stream",
        "get /video_feed",
        "get /{number}/mjpg/{kind}",
        "post /stream",
    ];
    assert_eq!(endless, expected.map(str::to_owned).into());
}

/// What the document says of an operation: who may use it, which login it needs, and whether it may answer 401.
fn needs(document: &Value, path: &str, method: &str) -> (String, String, bool) {
    let described = &document["paths"][path][method];
    let login = described["security"].to_string();
    (described["x-access"].as_str().unwrap().to_owned(), login, described["responses"]["401"].is_object())
}

#[test]
fn the_document_says_which_login_each_operation_needs() {
    let account = || Some(Account::new("me", "right password").unwrap());
    let login = [("Authorization", "Basic bWU6cmlnaHQgcGFzc3dvcmQ=")];
    let with = |change: fn(&mut Settings)| {
        let server = Server::with(|settings| {
            settings.account = account();
            change(settings);
        });
        let answer = server.ask("GET /api/openapi.json", &login);
        assert_eq!(server.get("/api/openapi.json").status, 401);
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let open = document(&Server::with(|_| {}));
    assert_eq!(needs(&open, "/api/cameras", "get"), ("account".to_owned(), "[]".to_owned(), false));
    assert_eq!(needs(&open, "/api/reload", "post").0, "account-or-this-machine");
    assert!(open["components"]["securitySchemes"].is_null(), "{open}");

    let closed = with(|settings| settings.monitor_token = Some(Secret::new("0123456789abcdef".to_owned())));
    let by_account = r#"[{"account":[]}]"#.to_owned();
    assert_eq!(needs(&closed, "/api/cameras", "get"), ("account".to_owned(), by_account, true));
    let by_either = r#"[{"account":[]},{"monitor":[]}]"#.to_owned();
    for path in ["/metrics", "/healthz", "/readyz"] {
        assert_eq!(needs(&closed, path, "get"), ("monitor".to_owned(), by_either.clone(), true));
    }
    let schemes = &closed["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["account"]["scheme"], &schemes["monitor"]["scheme"]),
        (&"basic".into(), &"bearer".into())
    );

    let near = with(|settings| settings.monitor_addresses = Some(AddressRanges::none()));
    assert_eq!(needs(&near, "/healthz", "get").1, r#"[{"account":[]},{}]"#);
}

#[test]
fn without_an_account_monitors_are_admitted_by_their_address() {
    let server = Server::with(|settings| settings.monitor_addresses = Some(AddressRanges::none()));
    let document = document(&server);
    assert_eq!(needs(&document, "/metrics", "get"), ("monitor".to_owned(), "[{}]".to_owned(), true));
    assert!(document["paths"]["/metrics"]["get"]["responses"]["403"].is_object(), "{document}");
    assert_eq!(server.get("/metrics").status, 403);
    assert_eq!(server.ask("GET /metrics", &[("Authorization", "Bearer 0123456789abcdef")]).status, 401);
}

#[test]
fn with_an_account_no_operation_answers_without_the_login() {
    let server = Server::with(|settings| {
        settings.account = Some(Account::new("me", "right password").unwrap());
    });
    let login = [("Authorization", "Basic bWU6cmlnaHQgcGFzc3dvcmQ=")];
    let answer = server.ask("GET /api/openapi.json", &login);
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    let mut count = 0;
    for (operation, described) in operations(&document) {
        let (method, path) = operation.split_once(' ').unwrap();
        let request = format!("{} {}", method.to_uppercase(), example_of(path));
        assert_eq!(head_of(&server, &request).status, 401, "{request}");
        assert!(described["responses"]["401"].is_object(), "{request}");
        count += 1;
    }
    assert!(count > 100, "{count}");
}

#[test]
fn structures_in_answers_have_the_fields_that_the_document_names() {
    let server = Server::with(|settings| settings.add_camera("back", QUICK).unwrap());
    let document = document(&server);
    let schemas = &document["components"]["schemas"];
    let answer = server.json("/api/cameras");
    let fields = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(fields(&answer["cameras"][0]), fields(&schemas["CameraView"]["properties"]));
    assert_eq!(fields(&answer["server"]), fields(&schemas["ServerView"]["properties"]));
    assert_eq!(texts(&schemas["CameraView"]["required"]).first(), Some(&"name"));
}

#[test]
fn the_page_and_the_document_find_the_server_below_a_prefix() {
    let server = Server::with(|_| {});
    let page = server.ask("GET /api", &[("Accept", "text/html")]);
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let text = page.text();
    let addresses = text.split(['"']).filter(|part| part.contains("static/") || part.contains("api/"));
    assert!(addresses.clone().count() > 3 && !text.contains("=\"/"), "absolute addresses: {text}");
    assert_eq!(document(&server)["servers"][0]["url"], "..");
}
