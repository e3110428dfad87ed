//! The description of an operation: one method of a route.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use utoipa::ToSchema;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::{Content, ContentBuilder, ObjectBuilder, Ref, RefOr, Required, Schema, Type};

use super::access::Access;
use super::parameter;

/// The content types of the answers.
pub(in crate::http) const JSON: &str = "application/json";
pub(in crate::http) const HTML: &str = "text/html";
pub(in crate::http) const IMAGE: &str = "image/jpeg";
pub(in crate::http) const TEXT: &str = "text/plain";
pub(in crate::http) const MULTIPART: &str = "multipart/x-mixed-replace";
pub(in crate::http) const MP4: &str = "video/mp4";

/// Why a request that changes something is refused with 403.
pub(in crate::http) const CROSS_SITE: &str =
    "A page of another site sent the request, and `cors_origins` does not name that site.";

/// Returns the content type `content_type` without its parameters.
pub(in crate::http) fn media_type(content_type: &'static str) -> &'static str {
    content_type.split(';').next().unwrap_or(content_type)
}

/// The groups of operations, in the order in which people see them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::http) enum Tag {
    Pictures,
    Cameras,
    Controls,
    Viewers,
    #[cfg(feature = "history")]
    Events,
    Server,
    Pages,
    MjpgStreamer,
    UStreamer,
    CameraStreamer,
    Motion,
    Go2rtc,
}

impl Tag {
    pub(super) const ALL: &[Self] = &[
        Self::Pictures,
        Self::Cameras,
        Self::Controls,
        Self::Viewers,
        #[cfg(feature = "history")]
        Self::Events,
        Self::Server,
        Self::Pages,
        Self::MjpgStreamer,
        Self::UStreamer,
        Self::CameraStreamer,
        Self::Motion,
        Self::Go2rtc,
    ];

    /// Returns the name and the description in the document.
    pub(super) fn texts(self) -> (&'static str, &'static str) {
        match self {
            Self::Pictures => ("Pictures", "Streams and single pictures of the cameras."),
            Self::Cameras => ("Cameras", "What the cameras do now, and the devices that are plugged in."),
            Self::Controls => ("Controls", "Brightness, focus and other controls of a camera's device."),
            Self::Viewers => ("Viewers", "Who watches."),
            #[cfg(feature = "history")]
            Self::Events => ("Events", "What happened, and marks that people and programs set."),
            Self::Server => ("Server", "How the server is, its configuration, and this document."),
            Self::Pages => ("Pages", "The pages for people, and the files that they load."),
            Self::MjpgStreamer => ("mjpg-streamer", "Addresses of the program mjpg-streamer."),
            Self::UStreamer => ("uStreamer", "Addresses of the program uStreamer."),
            Self::CameraStreamer => ("camera-streamer", "Addresses of the program camera-streamer."),
            Self::Motion => ("Motion", "Addresses of the program Motion."),
            Self::Go2rtc => ("go2rtc", "Addresses of the program go2rtc."),
        }
    }

    /// Returns the status of the answers to OPTIONS: at the addresses of other programs 200, as uStreamer sends it.
    pub(super) fn options_status(self) -> StatusCode {
        use Tag::{CameraStreamer, Go2rtc, MjpgStreamer, Motion, UStreamer};
        match self {
            MjpgStreamer | UStreamer | CameraStreamer | Motion | Go2rtc => StatusCode::OK,
            _ => StatusCode::NO_CONTENT,
        }
    }
}

/// One answer: what it means, and its body by content type.
#[derive(Default)]
pub(super) struct DescribedAnswer {
    pub(super) text: String,
    pub(super) contents: BTreeMap<&'static str, Content>,
}

/// The description of one method of a route.
pub(in crate::http) struct Operation {
    pub(super) tag: Tag,
    pub(super) summary: &'static str,
    pub(super) details: Option<&'static str>,
    pub(super) access: Access,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<RequestBody>,
    pub(super) answers: BTreeMap<u16, DescribedAnswer>,
    /// The schemas to which the bodies refer, by their names.
    pub(super) schemas: Vec<(String, RefOr<Schema>)>,
    /// Whether an answer only ends when the client or the server leaves.
    pub(super) is_endless: bool,
}

impl Operation {
    /// Describes an operation by a sentence without a full stop, which begins with a verb.
    pub(in crate::http) fn new(tag: Tag, summary: &'static str) -> Self {
        Self {
            tag,
            summary,
            details: None,
            access: Access::default(),
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            schemas: Vec::new(),
            is_endless: false,
        }
    }

    /// Adds what the summary does not say, as whole sentences.
    pub(in crate::http) fn details(mut self, details: &'static str) -> Self {
        self.details = Some(details);
        self
    }

    pub(in crate::http) fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Says that the answer only ends when the client or the server leaves.
    pub(in crate::http) fn endless(mut self) -> Self {
        self.is_endless = true;
        self
    }

    pub(in crate::http) fn parameters(mut self, parameters: impl IntoIterator<Item = Parameter>) -> Self {
        self.parameters.extend(parameters);
        self
    }

    /// Says that the path's `{name}` is the name of a camera.
    pub(in crate::http) fn of_camera(self) -> Self {
        self.parameters([parameter::path_word("name", "The camera's name.")])
            .error(404, "There is no camera of this name.")
    }

    /// Adds the body of the request, which is a `T` in JSON.
    pub(in crate::http) fn body<T: ToSchema>(mut self, text: &'static str) -> Self {
        let content = self.content::<T>();
        let body = RequestBodyBuilder::new().description(Some(text)).required(Some(Required::True));
        self.body = Some(body.content(JSON, content).build());
        self
    }

    /// Adds an answer whose body is not JSON, or any JSON.
    pub(in crate::http) fn answer(self, status: u16, content_type: &'static str, text: &str) -> Self {
        let schema = (content_type != JSON && !content_type.starts_with("image/"))
            .then(|| ObjectBuilder::new().schema_type(Type::String).build());
        self.with(status, text, Some((content_type, ContentBuilder::new().schema(schema).build())))
    }

    /// Adds an answer without a body.
    pub(in crate::http) fn empty(self, status: u16, text: &str) -> Self {
        self.with(status, text, None)
    }

    /// Adds an answer whose body is a `T` in JSON.
    pub(in crate::http) fn json<T: ToSchema>(self, status: u16, text: &str) -> Self {
        self.json_as::<T>(status, JSON, text)
    }

    /// Adds an answer whose body is a `T` in JSON, sent under another content type.
    pub(in crate::http) fn json_as<T: ToSchema>(
        mut self,
        status: u16,
        content_type: &'static str,
        text: &str,
    ) -> Self {
        let content = self.content::<T>();
        self.with(status, text, Some((content_type, content)))
    }

    /// Adds a refusal. Programs get the error as JSON, and people as a page.
    pub(in crate::http) fn error(self, status: u16, text: &str) -> Self {
        let content = Content::new(Some(RefOr::<Schema>::Ref(Ref::from_schema_name("Error"))));
        self.with(status, text, Some((JSON, content))).answer(status, HTML, "")
    }

    fn with(mut self, status: u16, text: &str, content: Option<(&'static str, Content)>) -> Self {
        let answer = self.answers.entry(status).or_default();
        if !text.is_empty() && !answer.text.contains(text) {
            let separator = if answer.text.is_empty() { "" } else { " Or: " };
            answer.text = [&answer.text, separator, text].concat();
        }
        answer.contents.extend(content);
        self
    }

    fn content<T: ToSchema>(&mut self) -> Content {
        Content::new(Some(self.reference::<T>()))
    }

    /// Returns a reference to the schema of `T`, which the document then has.
    fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        T::schemas(&mut self.schemas);
        self.schemas.push((T::name().into_owned(), T::schema()));
        RefOr::Ref(Ref::from_schema_name(T::name()))
    }
}
