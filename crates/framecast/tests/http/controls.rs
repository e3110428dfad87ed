//! Controls: listed, set, refused, applied at every opening and saved across restarts.

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

use framecast::{
    BoxFuture, CaptureTime, Control, ControlKind, ControlValue, Controls, Driver, DriverError, Drivers,
    Frame, FrameBuilder, MenuEntry, OpenContext, Settings, Source, SourceUrl,
};
use framecast_testkit::blocking::{MultipartStream, Response, read_head, request_head, send};
use serde_json::{Value, json};

use crate::{Server, error};

const PATH: &str = "/api/cameras/front/controls";

/// A device with some controls. It remembers their values, as real devices do while they have power.
#[derive(Clone, Default)]
pub(crate) struct Device(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    controls: Vec<Control>,
    /// All values that were set, in order.
    set: Vec<String>,
    is_away: bool,
    hangs: bool,
    /// How often the server asked for its controls or its description.
    asked: usize,
}

fn control(id: &str, kind: ControlKind, default: Option<ControlValue>) -> Control {
    let value = default.clone();
    let (id, name, group) = (id.to_owned(), id.to_uppercase(), "User".to_owned());
    Control { id, number: None, name, group, kind, default, value, read_only: false, inactive: false }
}

impl Device {
    pub(crate) fn new() -> Self {
        let number = |id: &str, max| {
            control(id, ControlKind::Integer { min: 0, max, step: 1 }, Some(ControlValue::Integer(max / 2)))
        };
        let entry = |value, name: &str| MenuEntry { value, name: name.to_owned() };
        let menu = ControlKind::Menu { menu: vec![entry(0, "Off"), entry(2, "60 Hz")] };
        let controls = vec![
            number("brightness", 255),
            number("gain", 100),
            control("auto", ControlKind::Boolean, Some(ControlValue::Boolean(true))),
            control(
                "exposure",
                ControlKind::Integer { min: 1, max: 9, step: 2 },
                Some(ControlValue::Integer(3)),
            ),
            control("flicker", menu, Some(ControlValue::Integer(0))),
            control("label", ControlKind::Text { min: 0, max: 4 }, Some(ControlValue::Text(String::new()))),
            control("shutter", ControlKind::Button, None),
        ];
        Self(Arc::new(Mutex::new(State { controls, ..State::default() })))
    }

    pub(crate) fn serve(&self, change: impl FnOnce(&mut Settings)) -> Server {
        let mut settings = Settings::with_cameras([("front", "dials:"), ("plain", "emulated")]).unwrap();
        change(&mut settings);
        Server::start(settings, Drivers::builtin().with(self.clone()))
    }

    pub(crate) fn set(&self) -> Vec<String> {
        self.0.lock().unwrap().set.clone()
    }

    /// How often the server asked for its controls or its description.
    pub(crate) fn asked(&self) -> usize {
        self.0.lock().unwrap().asked
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.0.lock().unwrap());
    }
}

impl State {
    fn set_one(&mut self, id: &str, value: Option<&ControlValue>) -> Result<(), DriverError> {
        // As in a webcam: the exposure time cannot be set while exposure is automatic.
        let is_auto = self.controls[2].value == Some(ControlValue::Boolean(true));
        if id == "exposure" && is_auto {
            return Err(DriverError::transient("exposure is automatic"));
        }
        let control = self.controls.iter_mut().find(|control| control.id == id).unwrap();
        control.value = value.cloned().or_else(|| control.default.clone());
        self.set.push(format!("{id} {}", serde_json::to_string(&value).unwrap()));
        Ok(())
    }
}

impl Driver for Device {
    fn scheme(&self) -> &'static str {
        "dials"
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        _: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, DriverError>> {
        Box::pin(async {
            Ok(Box::new(Open { device: self.clone(), builder: FrameBuilder::new(context) })
                as Box<dyn Source>)
        })
    }

    fn devices(&self) -> BoxFuture<'_, Vec<framecast::Device>> {
        self.change(|state| state.asked += 1);
        Box::pin(async { Vec::new() })
    }

    fn controls(&self) -> Option<&dyn Controls> {
        Some(self)
    }
}

impl Controls for Device {
    fn list<'a>(&'a self, _: &'a SourceUrl) -> BoxFuture<'a, Result<Vec<Control>, DriverError>> {
        Box::pin(async {
            self.change(|state| state.asked += 1);
            if self.0.lock().unwrap().hangs {
                std::future::pending::<()>().await;
            }
            let state = self.0.lock().unwrap();
            if state.is_away {
                return Err(DriverError::transient("dials: no such device"));
            }
            Ok(state.controls.clone())
        })
    }

    fn set<'a>(
        &'a self,
        _: &'a SourceUrl,
        changes: &'a [(String, Option<ControlValue>)],
    ) -> BoxFuture<'a, Result<(), DriverError>> {
        Box::pin(async move {
            let mut state = self.0.lock().unwrap();
            if state.is_away {
                return Err(DriverError::transient("dials: no such device"));
            }
            for (id, value) in changes {
                let control = state.controls.iter().find(|control| control.id == *id).ok_or_else(|| {
                    let known = state.controls.iter().map(|control| control.id.clone()).collect();
                    DriverError::NoSuchControl { control: id.clone(), known }
                })?;
                let checked = value.as_ref().map_or(Ok(()), |value| control.check(value));
                checked.map_err(|problem| DriverError::BadControl { control: id.clone(), problem })?;
            }
            changes.iter().try_for_each(|(id, value)| state.set_one(id, value.as_ref()))
        })
    }
}

struct Open {
    device: Device,
    builder: FrameBuilder,
}

impl Source for Open {
    fn next_frame(&mut self) -> BoxFuture<'_, Result<Option<Frame>, DriverError>> {
        Box::pin(async {
            framecast_testkit::pause(std::time::Duration::from_millis(20)).await;
            self.device.change(|state| state.set.push("frame".to_owned()));
            self.builder.jpeg_frame(framecast_testkit::jpeg(64, 64, 1), CaptureTime::Now).map(Some)
        })
    }
}

fn patch_with(server: &Server, target: &str, body: &[u8], headers: &[(&str, &str)]) -> Response {
    change_by(server, &format!("PATCH {target}"), body, headers)
}

fn change_by(server: &Server, what: &str, body: &[u8], headers: &[(&str, &str)]) -> Response {
    let length = body.len().to_string();
    let mut all = vec![("Content-Length", length.as_str())];
    all.extend(headers);
    let head = request_head(server.address, what, &all, "1.1");
    let mut reader = send(server.address, &(head + std::str::from_utf8(body).unwrap()));
    let mut answer = read_head(&mut reader);
    std::io::Read::read_to_end(&mut reader, &mut answer.body).unwrap();
    answer
}

fn patch(server: &Server, target: &str, body: &str) -> Response {
    patch_with(server, target, body.as_bytes(), &[])
}

/// Deletes the camera's saved values.
fn forget(server: &Server, headers: &[(&str, &str)]) -> Response {
    change_by(server, &format!("DELETE {PATH}/kept"), b"", headers)
}

fn body(answer: &Response) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn value(list: &Value, id: &str) -> Value {
    named(list, id)["value"].clone()
}

/// The saved value of a control; `None` if there is none.
fn kept(list: &Value, id: &str) -> Option<Value> {
    named(list, id).get("kept").cloned()
}

fn named<'l>(list: &'l Value, id: &str) -> &'l Value {
    let controls = list["controls"].as_array().unwrap();
    controls.iter().find(|control| control["id"] == id).unwrap()
}

/// Opens the camera and waits for its first picture.
fn open(server: &Server) -> MultipartStream {
    let mut stream = MultipartStream::open(server.address, "/cameras/front/stream.mjpg", &[]);
    server.wait_for("front", "state", "live");
    assert!(stream.next().is_some());
    stream
}

#[test]
fn controls_are_told_with_type_range_default_and_value() {
    let server = Device::new().serve(|_| {});
    let list = server.json(PATH);
    assert_eq!(
        list["controls"][0],
        json!({
            "id": "brightness", "name": "BRIGHTNESS", "group": "User", "type": "integer", "min": 0, "max": 255, "step": 1,
            "default": 127, "value": 127, "read_only": false, "inactive": false
        })
    );
    assert_eq!(
        list["controls"][4]["menu"],
        json!([{"value": 0, "name": "Off"}, {"value": 2, "name": "60 Hz"}])
    );
    assert_eq!(list["controls"][6]["value"], Value::Null);
    assert_eq!(list["can_persist"], false);
    assert_eq!(server.json("/api/cameras/plain/controls")["controls"], json!([]));
    assert_eq!(server.json("/api/cameras/front")["opened"], 0);
    let unknown = server.get("/api/cameras/nobody/controls");
    assert_eq!(
        (unknown.status, error(&unknown)),
        (404, "unknown camera `nobody`; known cameras: front, plain".to_owned())
    );
    let options = server.ask(&format!("OPTIONS {PATH}"), &[]);
    assert_eq!((options.status, options.header("allow")), (204, Some("GET, HEAD, PATCH, OPTIONS")));
    let options = server.ask(&format!("OPTIONS {PATH}/kept"), &[]);
    assert_eq!((options.status, options.header("allow")), (204, Some("DELETE, OPTIONS")));
    let documentation = include_str!("../../../../docs/api.md");
    for key in list["controls"][0]
        .as_object()
        .unwrap()
        .keys()
        .chain(["menu", "can_persist", "kept"].map(str::to_owned).iter())
    {
        assert!(documentation.contains(&format!("\"{key}\"")), "{key} is not in docs/api.md");
    }
}

#[test]
fn what_is_set_is_answered_and_null_is_the_default() {
    let (device, list) = (Device::new(), |answer: &Response| body(answer));
    let server = device.serve(|_| {});
    let set = list(&patch(&server, PATH, r#"{"gain": 7, "auto": false, "exposure": 5, "label": "ä"}"#));
    for (id, expected) in
        [("gain", json!(7)), ("auto", json!(false)), ("exposure", json!(5)), ("label", json!("ä"))]
    {
        assert_eq!(value(&set, id), expected);
    }
    // In the order of the request, which may matter to the device.
    assert_eq!(device.set(), ["gain 7", "auto false", "exposure 5", "label \"ä\""]);
    assert_eq!(value(&list(&patch(&server, PATH, r#"{"gain": null}"#)), "gain"), 50);
    assert_eq!(value(&list(&patch(&server, PATH, "{}")), "auto"), false);
}

#[test]
fn what_cannot_be_set_is_refused_with_the_range_and_nothing_is_set() {
    let device = Device::new();
    let server = device.serve(|_| {});
    for (request, told) in [
        (r#"{"gain": 7, "brightness": 256}"#, "brightness must be a whole number from 0 to 255"),
        (r#"{"exposure": 2}"#, "exposure must be a whole number from 1 to 9 in steps of 2"),
        (r#"{"flicker": 1}"#, "flicker must be one of 0 (Off), 2 (60 Hz)"),
        (r#"{"auto": "yes"}"#, "auto must be true or false"),
        (
            r#"{"gain": 7, "zoom": 1}"#,
            "unknown control `zoom`; known controls: brightness, gain, auto, exposure, flicker, label, \
             shutter",
        ),
    ] {
        let answer = patch(&server, PATH, request);
        assert_eq!((answer.status, error(&answer).as_str()), (422, told), "{request}");
    }
    let answer = patch(&server, "/api/cameras/plain/controls", r#"{"gain": 7}"#);
    let told = "unknown control `gain`; this camera has no controls";
    assert_eq!((answer.status, error(&answer)), (422, told.to_owned()));
    assert_eq!(device.set(), Vec::<String>::new());
}

#[test]
fn what_a_device_took_before_it_failed_is_remembered_and_told() {
    let (device, folder) = (Device::new(), tempfile::tempdir().unwrap());
    let server = device.serve(|settings| settings.state_dir = Some(folder.path().to_owned()));
    // The brightness has that value already; the label comes after the failure.
    let request = r#"{"brightness": 127, "gain": 7, "flicker": 2, "exposure": 5, "label": "x"}"#;
    let answer = patch(&server, &format!("{PATH}?persist"), request);
    let told = "exposure is automatic; already set: gain, flicker".to_owned();
    assert_eq!((answer.status, error(&answer)), (503, told));
    let list = server.json(PATH);
    assert_eq!((kept(&list, "gain"), kept(&list, "label")), (Some(json!(7)), None));
    device.change(|state| state.set.clear());
    let _stream = open(&server);
    assert_eq!(device.set()[..3], ["gain 7", "flicker 2", "frame"]);
}

#[test]
fn a_body_that_says_nothing_to_set_is_refused_with_what_is_wrong() {
    let server = Device::new().serve(|_| {});
    let deep = "[".repeat(1000);
    let deep = format!(r#"{{"gain": {deep}"#);
    for (request, told) in [
        ("", "the request body is not JSON: EOF while parsing a value at line 1 column 0"),
        ("{", "the request body is not JSON: EOF while parsing an object at line 1 column 1"),
        ("[1]", "the request body does not say what to set: invalid type: sequence, expected an object"),
        ("7", "the request body does not say what to set: invalid type: integer `7`, expected an object"),
        (
            r#"{"gain": 1.5}"#,
            "gain: invalid type: floating point `1.5`, expected true, false, a whole number or text",
        ),
        (r#"{"gain": [1]}"#, "gain: invalid type: sequence, expected true, false, a whole number or text"),
        (r#"{"gain": 99999999999999999999}"#, "gain: "),
        (r#"{"gain": 9999999999999999999}"#, "gain: 9999999999999999999 is too large a number"),
        (r#"{"gain": 1, "gain": 2}"#, "gain is set twice"),
        (deep.as_str(), "gain: invalid type: sequence"),
    ] {
        let answer = patch(&server, PATH, request);
        let text = error(&answer);
        assert!(answer.status == 400 && text.contains(told) && text.contains("line 1"), "{request}: {text}");
    }
    let answer = patch(&server, PATH, &format!(r#"{{"label": "{}"}}"#, "x".repeat(64 << 10)));
    assert_eq!((answer.status, error(&answer)), (413, "the request body can have at most 64 KiB".to_owned()));
    let answer = patch(&server, &format!("{PATH}?persist=perhaps"), "{}");
    assert_eq!(
        (answer.status, error(&answer)),
        (
            400,
            "persist=perhaps: must have no value, or one of 1, true, yes, on, 0, false, no, off".to_owned()
        )
    );
}

#[test]
fn a_device_that_is_away_is_503_with_the_reason() {
    let device = Device::new();
    let server = device.serve(|_| {});
    device.change(|state| state.is_away = true);
    for answer in [server.get(PATH), patch(&server, PATH, r#"{"gain": 7}"#)] {
        assert_eq!((answer.status, error(&answer)), (503, "dials: no such device".to_owned()));
    }
}

#[test]
fn a_device_that_hangs_is_504_and_holds_up_nobody_else() {
    let device = Device::new();
    let server = device.serve(|_| {});
    device.change(|state| state.hangs = true);
    let slow = std::thread::scope(|scope| {
        let slow = scope.spawn(|| server.get(PATH));
        assert_eq!(server.get("/api/cameras/plain/controls").status, 200);
        assert_eq!(server.get("/healthz").status, 200);
        slow.join().unwrap()
    });
    assert_eq!((slow.status, error(&slow)), (504, "the device did not answer within 5s".to_owned()));
}

#[test]
fn another_sites_page_cannot_set_anything() {
    let device = Device::new();
    let server = device.serve(|settings| settings.cors_origins = vec!["*".parse().unwrap()]);
    for headers in
        [("Origin", "http://evil.example"), ("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Site", "same-site")]
    {
        let answer = patch_with(&server, PATH, br#"{"gain": 7}"#, &[headers]);
        assert_eq!(answer.status, 403, "{headers:?}");
        assert_eq!(forget(&server, &[headers]).status, 403, "{headers:?}");
    }
    let preflight = [("Origin", "http://evil.example"), ("Access-Control-Request-Method", "PATCH")];
    let answer = server.ask(&format!("OPTIONS {PATH}"), &preflight);
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET,HEAD"));
    assert_eq!(device.set(), Vec::<String>::new());
    let answer = patch_with(&server, PATH, br#"{"gain": 7}"#, &[("Sec-Fetch-Site", "same-origin")]);
    assert_eq!(answer.status, 200);
}

#[test]
fn the_account_is_asked_for() {
    let device = Device::new();
    let server = device.serve(|settings| settings.account = framecast::Account::new("me", "pw").ok());
    assert_eq!(server.get(PATH).status, 401);
    assert_eq!(patch(&server, PATH, r#"{"gain": 7}"#).status, 401);
    assert_eq!(forget(&server, &[]).status, 401);
    let answer = patch_with(&server, PATH, br#"{"gain": 7}"#, &[("Authorization", "Basic bWU6cHc=")]);
    assert_eq!(answer.status, 200);
}

#[test]
fn what_the_configuration_says_is_set_at_every_opening_before_the_first_picture() {
    let device = Device::new();
    let server = device.serve(|settings| {
        let number = |id: &str, value| (id.to_owned(), ControlValue::Integer(value));
        settings.cameras[0].idle_timeout = Some(std::time::Duration::from_millis(100));
        // Exposure depends on a later control; there is no zoom, and no such gain.
        settings.cameras[0].controls = vec![
            number("exposure", 7),
            number("zoom", 1),
            number("gain", 101),
            ("auto".to_owned(), ControlValue::Boolean(false)),
        ];
    });
    for opened in 1..=2 {
        device.change(|state| {
            state.set.clear();
            // The state after a power cycle.
            for control in &mut state.controls {
                control.value = control.default.clone();
            }
        });
        let stream = open(&server);
        assert_eq!(device.set()[..3], ["auto false", "exposure 7", "frame"]);
        assert_eq!(server.json("/api/cameras/front")["opened"], opened);
        drop(stream);
        server.wait_for("front", "state", "idle");
    }
}

#[test]
fn what_was_set_while_running_is_set_again_at_the_next_opening_but_for_buttons() {
    let device = Device::new();
    let server = device.serve(|settings| {
        settings.cameras[0].controls = vec![("gain".to_owned(), ControlValue::Integer(20))];
    });
    body(&patch(&server, PATH, r#"{"brightness": 200, "shutter": true, "gain": 30, "label": null}"#));
    device.change(|state| state.set.clear());
    let _stream = open(&server);
    assert_eq!(device.set()[..4], ["gain 30", "brightness 200", "label null", "frame"]);
}

fn keep_in(folder: &Path) -> impl FnOnce(&mut Settings) {
    let folder = folder.to_owned();
    move |settings| {
        settings.state_dir = Some(folder);
        settings.cameras[0].controls = vec![("gain".to_owned(), ControlValue::Integer(20))];
    }
}

#[test]
fn what_was_to_be_kept_is_set_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Device::new().serve(keep_in(folder.path()));
    assert_eq!(server.json(PATH)["can_persist"], true);
    body(&patch(&server, PATH, r#"{"brightness": 10, "flicker": 2}"#));
    assert!(!folder.path().join("controls.json").exists());
    body(&patch(&server, &format!("{PATH}?persist"), r#"{"brightness": 11, "shutter": true, "gain": 40}"#));
    body(&patch(&server, &format!("{PATH}?persist=1"), r#"{"brightness": 12}"#));
    body(&patch(&server, &format!("{PATH}?persist=0"), r#"{"brightness": 13}"#));
    // The server does not save refused values.
    assert_eq!(patch(&server, &format!("{PATH}?persist"), r#"{"brightness": 14, "gain": -1}"#).status, 422);
    drop(server);

    let device = Device::new();
    let server = device.serve(keep_in(folder.path()));
    let _stream = open(&server);
    assert_eq!(device.set()[..3], ["gain 40", "brightness 12", "frame"]);
}

#[test]
fn what_is_kept_is_told_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Device::new().serve(keep_in(folder.path()));
    let set = body(&patch(&server, PATH, r#"{"brightness": 10, "gain": 30}"#));
    assert_eq!((kept(&set, "brightness"), kept(&set, "gain")), (None, None));
    let set = body(&patch(&server, &format!("{PATH}?persist"), r#"{"brightness": 11, "flicker": null}"#));
    assert_eq!((kept(&set, "brightness"), kept(&set, "flicker")), (Some(json!(11)), Some(Value::Null)));
    assert_eq!(kept(&set, "gain"), None);
    // A change without `persist` does not change the saved value.
    let set = body(&patch(&server, PATH, r#"{"brightness": 12}"#));
    assert_eq!((value(&set, "brightness"), kept(&set, "brightness")), (json!(12), Some(json!(11))));
    drop(server);

    let server = Device::new().serve(keep_in(folder.path()));
    let _stream = open(&server);
    let list = server.json(PATH);
    assert_eq!((value(&list, "brightness"), kept(&list, "brightness")), (json!(11), Some(json!(11))));
    assert_eq!((value(&list, "gain"), kept(&list, "gain")), (json!(20), None));
}

#[test]
fn what_was_forgotten_stays_until_a_restart_and_does_not_return() {
    let folder = tempfile::tempdir().unwrap();
    let device = Device::new();
    let server = device.serve(keep_in(folder.path()));
    body(&patch(&server, &format!("{PATH}?persist"), r#"{"brightness": 11, "gain": 40}"#));
    device.change(|state| state.is_away = true);
    // A deletion does not need the device, and deleting twice is no error.
    for _ in 0..2 {
        let answer = forget(&server, &[]);
        assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    }
    device.change(|state| state.is_away = false);
    let list = server.json(PATH);
    assert_eq!((value(&list, "brightness"), kept(&list, "brightness")), (json!(11), None));
    drop(server);

    let device = Device::new();
    let server = device.serve(keep_in(folder.path()));
    let _stream = open(&server);
    assert_eq!(device.set()[..2], ["gain 20", "frame"]);
}

#[test]
fn a_damaged_state_file_is_put_aside_and_the_server_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("controls.json"), "{\"cameras\": {\"front\": {\"gain\": 4\n").unwrap();
    let device = Device::new();
    let server = device.serve(keep_in(folder.path()));
    body(&patch(&server, &format!("{PATH}?persist"), r#"{"brightness": 11}"#));
    let aside = fs::read_to_string(folder.path().join("controls.json.damaged-1")).unwrap();
    assert_eq!(aside, "{\"cameras\": {\"front\": {\"gain\": 4\n");
    let kept: Value =
        serde_json::from_slice(&fs::read(folder.path().join("controls.json")).unwrap()).unwrap();
    assert_eq!(kept, json!({"cameras": {"front": {"brightness": 11}}}));
}

#[test]
fn without_a_place_to_keep_anything_it_is_said_before_anything_is_set() {
    let device = Device::new();
    let server = device.serve(|_| {});
    let answer = patch(&server, &format!("{PATH}?persist"), r#"{"gain": 7}"#);
    assert_eq!(answer.status, 501);
    assert!(error(&answer).contains("set state_dir"), "{}", error(&answer));
    assert_eq!(forget(&server, &[]).status, 501);
    let unknown = change_by(&server, "DELETE /api/cameras/nobody/controls/kept", b"", &[]);
    assert_eq!(unknown.status, 404);
    assert_eq!(device.set(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let server = Device::new().serve(keep_in(&file));
    let answer = patch(&server, &format!("{PATH}?persist"), r#"{"gain": 7}"#);
    assert_eq!(answer.status, 503);
    let told = error(&answer);
    assert!(
        told.starts_with("the device has the new values, but the server cannot save them: ")
            && told.contains("controls.json"),
        "{told}"
    );
}
