//! The descriptions of the paths of other camera servers. `docs/compat.md` says how they differ from those servers.

use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{ObjectBuilder, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::camera_streamer::StatusAnswer;
use super::go2rtc::{ApplicationInfo, StreamInfo};
use super::mjpg_streamer::{InputInfo, JAVASCRIPT, OutputInfo, ProgramInfo};
use super::motion::Kind;
use super::ustreamer::StateAnswer;
#[cfg(feature = "live")]
use crate::http::openapi::CROSS_SITE;
use crate::http::openapi::{
    IMAGE, MP4, MULTIPART, Operation, TEXT, Tag, path_choice, path_number, path_word, required_word, side,
    word,
};
use crate::http::page;

/// Describes `/` with the parameter `action` of mjpg-streamer.
pub(in crate::http) fn index() -> Operation {
    page::describe_index()
        .details(
            "With `action`, as in mjpg-streamer: `stream` and `snapshot` return pictures, and `command` sets the \
             control `id` to `value`. `stream_1` and `snapshot_1` name a camera by its number.",
        )
        .endless()
        .parameters([
            word("action", "What to do in place of showing the page."),
            camera(),
            word("id", "For `command`: the number or the name of the control."),
            word("value", "For `command`: the value; 0 by default."),
            word("dest", "For `command`: 0, an input."),
            word("group", "For `command`: 0 or 1."),
            word("plugin", "For `command`: the number of the camera."),
        ])
        .answer(200, IMAGE, "")
        .answer(200, MULTIPART, "")
        .answer(200, TEXT, "")
        .error(400, "A parameter is wrong.")
        .error(403, "The request would change something, and may come from a page of another site.")
        .error(404, "There is no such camera or action.")
        .answer(503, IMAGE, "The camera gives no picture; a drawn picture says why.")
        .error(503, "No picture came in time, or a limit on viewers is reached.")
}

/// Describes `/api`, which is also a path of go2rtc.
pub(in crate::http) fn api() -> Operation {
    page::describe_api()
        .details("A client that does not accept HTML gets the version of go2rtc whose paths this server has.")
        .json::<ApplicationInfo>(200, "")
}

fn camera() -> Parameter {
    word("camera", "The camera's name; by default the first camera.")
}

/// Describes what returns something of the camera that the parameter `camera` names.
fn of_camera(tag: Tag, summary: &'static str) -> Operation {
    Operation::new(tag, summary).parameters([camera()]).error(404, "There is no such camera.")
}

fn stream(operation: Operation) -> Operation {
    operation
        .endless()
        .answer(200, MULTIPART, "Pictures without end.")
        .answer(503, IMAGE, "A limit on viewers is reached; an `<img>` gets this as a picture.")
        .error(503, "")
}

fn picture(operation: Operation) -> Operation {
    operation
        .answer(200, IMAGE, "The picture.")
        .answer(503, IMAGE, "The camera gives no picture; a drawn picture says why.")
        .error(503, "No picture came in time.")
}

fn no_video(tag: Tag) -> Operation {
    Operation::new(tag, "Refuse encoded video").error(501, "The error names the paths of the video.")
}

fn client_options() -> [Parameter; 5] {
    [
        word("key", "A name by which `/state` shows this client."),
        word("extra_headers", "`1`: more headers before each picture."),
        word("advance_headers", "`1`: the head of a part follows the part before at once."),
        word("dual_final_frames", "Has no effect; `/state` shows it."),
        word("zero_data", "`1`: heads of parts without pictures."),
    ]
}

pub(super) fn ustreamer_stream() -> Operation {
    stream(of_camera(Tag::UStreamer, "Stream a camera")).parameters(client_options())
}

pub(super) fn ustreamer_snapshot() -> Operation {
    of_camera(Tag::UStreamer, "Take a picture")
        .details(
            "While the camera is lost, the answer is a drawn picture, and `X-UStreamer-Online` is `false`.",
        )
        .parameters([word("max_delay", "Accept a picture that is this many milliseconds old.")])
        .answer(200, IMAGE, "The picture.")
        .error(503, "No picture came in time.")
}

pub(super) fn ustreamer_state() -> Operation {
    of_camera(Tag::UStreamer, "Describe a camera and its clients").json::<StateAnswer>(200, "The state.")
}

pub(super) fn mjpg_streamer_stream() -> Operation {
    stream(of_camera(Tag::MjpgStreamer, "Stream a camera")).parameters(client_options())
}

pub(super) fn program() -> Operation {
    Operation::new(Tag::MjpgStreamer, "List the cameras as inputs").json_as::<ProgramInfo>(
        200,
        JAVASCRIPT,
        "The inputs and outputs.",
    )
}

pub(super) fn first_input() -> Operation {
    input_of(of_camera(Tag::MjpgStreamer, "Describe the controls of a camera"))
}

pub(super) fn input() -> Operation {
    input_of(Operation::new(Tag::MjpgStreamer, "Describe the controls of a camera by its number"))
        .parameters([path_word("file", "The camera's number, counted from 0, and `.json`: `0.json`.")])
        .error(404, "There is no such camera.")
}

fn input_of(operation: Operation) -> Operation {
    operation
        .json_as::<InputInfo>(200, JAVASCRIPT, "The controls.")
        .error(503, "The device or its driver failed.")
        .error(504, "The device did not answer in time.")
}

pub(super) fn output() -> Operation {
    Operation::new(Tag::MjpgStreamer, "Describe the output").json_as::<OutputInfo>(
        200,
        JAVASCRIPT,
        "An output without controls.",
    )
}

pub(super) fn camera_streamer_status() -> Operation {
    of_camera(Tag::CameraStreamer, "Describe a camera and its addresses")
        .json::<StatusAnswer>(200, "The description.")
}

pub(super) fn option() -> Operation {
    of_camera(Tag::CameraStreamer, "Set a control of a camera, or list the controls")
        .details(
            "`/option?KEY=VALUE` sets the control `KEY`, too. Without a control, the answer 404 lists them.",
        )
        .parameters([word("key", "The name of the control."), word("value", "The value of the control.")])
        .answer(200, TEXT, "The control has the value.")
        .answer(404, TEXT, "The controls.")
        .error(403, "The request may come from a page of another site.")
        .answer(422, TEXT, "The device has no such control, or refuses the value.")
        .answer(503, TEXT, "The device or its driver failed.")
        .error(503, "")
        .answer(504, TEXT, "The device did not answer in time.")
        .error(504, "")
}

pub(super) fn control() -> Operation {
    of_camera(Tag::CameraStreamer, "Go to the page of a camera").empty(307, "The page's address.")
}

pub(super) fn camera_streamer_video() -> Operation {
    no_video(Tag::CameraStreamer)
}

pub(super) fn motion_stream() -> Operation {
    stream(of_motion("Stream a camera"))
}

pub(super) fn motion_picture() -> Operation {
    picture(of_motion("Take a picture"))
}

pub(super) fn motion_video() -> Operation {
    no_video(Tag::Motion).parameters([motion_number()]).error(404, "There is no such camera.")
}

fn motion_number() -> Parameter {
    path_number("number", 0, "The camera's number, counted from 1; 0 is the default camera.")
}

fn of_motion(summary: &'static str) -> Operation {
    let kinds = Kind::ALL.map(Kind::as_str);
    Operation::new(Tag::Motion, summary)
        .parameters([motion_number(), path_choice("kind", kinds, "`substream` has half the size.")])
        .error(404, "There is no such camera or kind of picture.")
}

pub(super) fn go2rtc_frame() -> Operation {
    let operation = of_source(Operation::new(Tag::Go2rtc, "Take a picture"));
    picture(operation).parameters([word("cache", "Accept a picture of this age, as in `10s`.")])
}

pub(super) fn go2rtc_stream() -> Operation {
    stream(of_source(Operation::new(Tag::Go2rtc, "Stream a camera")))
}

fn of_source(operation: Operation) -> Operation {
    let [w, h, width, height] =
        ["w", "h", "width", "height"].map(|name| side(name, "Pixels; `w` and `h` come first."));
    operation
        .parameters([source(), w, h, width, height])
        .error(400, "A parameter is wrong; the error names the allowed range.")
        .error(404, NO_SOURCE)
}

const NO_SOURCE: &str = "`src` is missing, or there is no such camera.";

fn source() -> Parameter {
    required_word("src", "The camera's name.")
}

/// One camera, or all cameras by their names.
struct StreamInfos;

impl PartialSchema for StreamInfos {
    fn schema() -> RefOr<Schema> {
        let one = || RefOr::<Schema>::Ref(Ref::from_schema_name(StreamInfo::name()));
        let all = ObjectBuilder::new().additional_properties(Some(one()));
        AnyOfBuilder::new().item(one()).item(all).into()
    }
}

impl ToSchema for StreamInfos {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        StreamInfo::schemas(schemas);
        schemas.push((StreamInfo::name().into_owned(), StreamInfo::schema()));
    }
}

pub(super) fn go2rtc_streams() -> Operation {
    Operation::new(Tag::Go2rtc, "Describe the cameras, or one camera")
        .parameters([word("src", "The camera's name; by default all cameras.")])
        .json::<StreamInfos>(200, "The cameras.")
        .error(404, "There is no such camera.")
}

pub(super) fn go2rtc_add_stream() -> Operation {
    Operation::new(Tag::Go2rtc, "Accept a camera that exists")
        .details("Changes nothing. Programs cannot add cameras.")
        .parameters([
            word("name", "The camera's name; by default the value of `src`."),
            word("src", "Has no effect beside `name`."),
        ])
        .empty(200, "There is a camera of this name.")
        .error(403, "There is no camera of this name, or a page of another site sent the request.")
}

pub(super) fn go2rtc_change() -> Operation {
    Operation::new(Tag::Go2rtc, "Refuse a change of the cameras")
        .error(403, "Programs cannot change the cameras.")
}

pub(super) fn go2rtc_mp4() -> Operation {
    Operation::new(Tag::Go2rtc, "Stream the coded video of a camera")
        .endless()
        .parameters([source()])
        .answer(200, MP4, "Video that ends when the camera is lost or its format changes.")
        .error(404, NO_SOURCE)
        .error(409, "The camera delivers no coded video.")
        .error(503, "The camera shows no video in time, or a limit on viewers is reached.")
}

#[cfg(feature = "live")]
pub(super) fn go2rtc_socket() -> Operation {
    Operation::new(Tag::Go2rtc, "Open the WebSocket of a player")
        .details("docs/compat.md describes the messages.")
        .endless()
        .parameters([source()])
        .empty(101, "The WebSocket is open.")
        .error(400, "The request is not the beginning of a WebSocket.")
        .error(403, CROSS_SITE)
        .error(404, "`src` is missing.")
        .error(426, "The request opens no WebSocket of version 13.")
}

pub(super) fn go2rtc_missing() -> Operation {
    Operation::new(Tag::Go2rtc, "Refuse what this server does not have")
        .error(501, "The error names the paths that there are.")
}
