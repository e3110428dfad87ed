//! The route `/api/cameras/{name}/controls`, which lists and sets the controls of a camera's device, such as the
//! brightness.
//!
//! Each call to a device's driver runs in its own task, one at a time for each camera. A request waits only a limited
//! time for the driver, because a USB device can hang. The driver decides which values a control accepts, and the
//! module `controls` stores the values.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use framecast_drivers::{Control, ControlKind, ControlValue, Driver, Error};
use framecast_hub::{Event, EventKind};
use framecast_outputs::{HttpError, query_flag};
use serde::Serialize;
use tokio::time::timeout;
use tracing::debug;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::api::{JSON, json, without_length};
use super::find_camera;
use super::openapi::{CROSS_SITE, Operation, RouteTable, Routes, Tag, flag};
use crate::camera::Camera;
use crate::camera_table::CameraTable;
use crate::controls::{self, Changes, StateError, StateFile};

/// The time limit for a client to send the body of a request, which contains the changes to the controls.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum size of the body of a request that changes controls, in bytes. This is far more than the controls of any
/// device need.
const MAX_BODY_BYTES: usize = 64 << 10;

pub(super) fn routes(cameras: CameraTable) -> Routes {
    RouteTable::new()
        .get("/api/cameras/{name}/controls", list, || {
            of_device(Operation::new(Tag::Controls, "List the controls of a camera's device"))
        })
        .patch("/api/cameras/{name}/controls", change, || {
            of_device(Operation::new(Tag::Controls, "Set controls of a camera's device"))
                .details("Controls are set in the order of the body. If one fails, those before it stay set.")
                .parameters([flag("persist", "Whether to save the values, so that they survive a restart.")])
                .body::<ControlChanges>(
                    "The controls to set, by their ids. `null` stands for the default value.",
                )
                .error(403, CROSS_SITE)
                .error(413, "The body has more than 64 KiB.")
                .error(422, "The device has no such control, or refuses the value.")
                .error(501, "The server saves no controls: `state_dir` is missing in its configuration.")
        })
        .delete("/api/cameras/{name}/controls/kept", forget, || {
            Operation::new(Tag::Controls, "Delete the saved controls of a camera")
                .details("The device keeps the values that it has.")
                .of_camera()
                .empty(204, "They are deleted.")
                .error(403, CROSS_SITE)
                .error(501, "The server saves no controls: `state_dir` is missing in its configuration.")
                .error(503, "The server cannot write the file of saved controls.")
        })
        .with_state(cameras)
}

/// Adds what all operations on a device's controls have in common.
fn of_device(operation: Operation) -> Operation {
    operation
        .of_camera()
        .json::<ControlsAnswer>(200, "The controls.")
        .error(503, "The device or its driver failed.")
        .error(504, "The device did not answer in time.")
}

/// The body of a request that sets controls: values by the ids of the controls.
struct ControlChanges;

impl PartialSchema for ControlChanges {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new().additional_properties(Some(Option::<ControlValue>::schema())).into()
    }
}

impl ToSchema for ControlChanges {}

#[derive(Serialize, ToSchema)]
struct ControlsAnswer {
    /// Whether the server can save changes of controls so that they outlive a restart.
    can_persist: bool,
    controls: Vec<ListedControl>,
}

#[derive(Serialize, ToSchema)]
struct ListedControl {
    #[serde(flatten)]
    control: Control,
    /// The saved value, to which the server sets the control after a restart; `null` stands for the device's default.
    /// Absent if no value is saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ControlValue>)]
    kept: Option<Option<ControlValue>>,
}

/// Returns a response that lists `controls`, the controls of the camera called `name`, each with the value that is
/// saved for the next start.
async fn answer(cameras: &CameraTable, name: String, controls: Vec<Control>) -> Response {
    let kept = match cameras.services().state.clone() {
        Some(state) => run_blocking(move || state.saved_for(&name)).await.unwrap_or_else(|problem| {
            debug!("cannot read the saved controls: {problem}");
            Changes::default()
        }),
        None => Changes::default(),
    };
    let listed = |control: Control| ListedControl { kept: kept.get(&control.id).cloned(), control };
    json(ControlsAnswer {
        can_persist: cameras.services().state.is_some(),
        controls: controls.into_iter().map(listed).collect(),
    })
}

async fn list(
    State(cameras): State<CameraTable>,
    Path(name): Path<String>,
    method: Method,
) -> Result<Response, HttpError> {
    let device = DeviceControls::of(&find_camera(&cameras, &name)?)?;
    // A list of the controls would open the device.
    if method == Method::HEAD {
        return Ok(without_length(JSON));
    }
    let controls = device.controls().await?;
    Ok(answer(&cameras, name, controls).await)
}

async fn change(
    State(cameras): State<CameraTable>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, HttpError> {
    let device = DeviceControls::of(&find_camera(&cameras, &name)?)?;
    let state = match query_flag(query.as_deref().unwrap_or_default(), "persist")?.unwrap_or_default() {
        true => Some(cameras.services().state.clone().ok_or_else(cannot_persist)?),
        false => None,
    };
    let changes = read(body).await?;
    let controls = device.call(|device| async move { device.change(changes, state).await }).await?;
    Ok(answer(&cameras, name, controls).await)
}

/// Deletes the control values that are saved for the camera called `name`. The device is not accessed, so it keeps its
/// current values.
async fn forget(
    State(cameras): State<CameraTable>,
    Path(name): Path<String>,
) -> Result<StatusCode, HttpError> {
    find_camera(&cameras, &name)?;
    let state = cameras.services().state.clone().ok_or_else(cannot_persist)?;
    match run_blocking(move || state.forget(&name)).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(problem) => {
            let message = format!("cannot delete the saved controls: {problem}");
            Err(HttpError { status: StatusCode::SERVICE_UNAVAILABLE, message })
        }
    }
}

/// Runs `work`, which blocks on disk I/O, on a thread for blocking tasks, and returns its result.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, String> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(panic) => Err(panic.to_string()),
    }
}

fn cannot_persist() -> HttpError {
    let message = "this server does not save controls: set state_dir in its configuration".to_owned();
    HttpError { status: StatusCode::NOT_IMPLEMENTED, message }
}

/// Parses `body`, a request's body with changes to controls.
async fn read(body: Body) -> Result<Changes, HttpError> {
    let refusal = |status, message: String| HttpError { status, message };
    let bytes = match timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY_BYTES)).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) if is_too_long(&error) => {
            let message = format!("the request body can have at most {} KiB", MAX_BODY_BYTES >> 10);
            return Err(refusal(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        Ok(Err(error)) => {
            return Err(refusal(StatusCode::BAD_REQUEST, format!("cannot read the request body: {error}")));
        }
        Err(_) => {
            let message = format!("the request body did not arrive within {BODY_TIMEOUT:?}");
            return Err(refusal(StatusCode::REQUEST_TIMEOUT, message));
        }
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        let what = if error.is_data() { "does not say what to set" } else { "is not JSON" };
        refusal(StatusCode::BAD_REQUEST, format!("the request body {what}: {error}"))
    })
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// Access to the controls of a camera's device, for one call to the device.
pub(super) struct DeviceControls {
    camera: Arc<Camera>,
    driver: Arc<dyn Driver>,
}

impl DeviceControls {
    pub(super) fn of(camera: &Arc<Camera>) -> Result<Self, HttpError> {
        let driver = camera.drivers.find(&camera.settings.source).map_err(|error| driver_error(&error))?;
        Ok(Self { camera: Arc::clone(camera), driver })
    }

    /// Returns the controls of the device. First waits until no other call uses the device.
    pub(super) async fn controls(self) -> Result<Vec<Control>, HttpError> {
        self.call(|device| async move { device.list().await }).await
    }

    /// Sets controls to the values in `changes`, which apply until the server ends. First waits until no other call
    /// uses the device.
    pub(super) async fn set(self, changes: Changes) -> Result<(), HttpError> {
        self.call(|device| async move { device.change(changes, None).await.map(drop) }).await
    }

    /// Runs `work` with the device locked, so that no other call uses the device. `work` continues even after the time
    /// limit, at which this function returns an error. So a device that hangs stays locked, and no further calls can
    /// hang in its driver.
    async fn call<T, F>(self, work: impl FnOnce(Self) -> F) -> Result<T, HttpError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, HttpError>> + Send + 'static,
    {
        let camera = Arc::clone(&self.camera);
        let limit = camera.settings.controls_timeout;
        let work = work(self);
        let done = async {
            let lock = camera.controls.lock_device().await;
            let task = tokio::spawn(async move {
                let _lock = lock;
                work.await
            });
            task.await
        };
        let refusal = |status, message: String| Err(HttpError { status, message });
        match timeout(limit, done).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => refusal(
                StatusCode::SERVICE_UNAVAILABLE,
                "the driver panicked while it read or set its controls".to_owned(),
            ),
            Err(_) => {
                let message = format!("the device did not answer within {limit:?}");
                refusal(StatusCode::GATEWAY_TIMEOUT, message)
            }
        }
    }

    async fn list(&self) -> Result<Vec<Control>, HttpError> {
        controls::list(&*self.driver, &self.camera.settings.source)
            .await
            .map_err(|error| driver_error(&error))
    }

    /// Sets controls to the values in `changes`, and sets them again whenever the server opens the camera. If `state`
    /// is not `None`, also saves the values in that file for the server's next start. Returns the controls after the
    /// changes. If the device fails after some of the changes, these stay set, and the error names them.
    async fn change(
        &self,
        changes: Changes,
        state: Option<Arc<StateFile>>,
    ) -> Result<Vec<Control>, HttpError> {
        // A single change succeeds or fails as a whole.
        let before = if changes.as_slice().len() > 1 { self.list().await? } else { Vec::new() };
        let set = controls::set(&*self.driver, &self.camera.settings.source, changes.as_slice()).await;
        let Err(error) = set else {
            let controls = self.list().await?;
            self.remember(changes, &controls, state).await?;
            return Ok(controls);
        };
        let mut refusal = driver_error(&error);
        let after = if before.is_empty() { Vec::new() } else { self.list().await.unwrap_or_default() };
        let taken = changes.filtered(|id, value| was_applied(&before, &after, id, value));
        if !taken.is_empty() {
            let ids: Vec<&str> = taken.as_slice().iter().map(|(id, _)| id.as_str()).collect();
            refusal.message = format!("{}; already set: {}", refusal.message, ids.join(", "));
            self.remember(taken, &after, state).await?;
        }
        Err(refusal)
    }

    async fn remember(
        &self,
        changes: Changes,
        controls: &[Control],
        state: Option<Arc<StateFile>>,
    ) -> Result<(), HttpError> {
        let text = changes.to_string();
        self.camera.feed.send(Event::new(EventKind::Controls, SystemTime::now()).with_text(text));
        // A button acts only once, now, and not at every opening of the device.
        let is_button =
            |id: &str| controls.iter().any(|control| control.id == id && control.kind == ControlKind::Button);
        let changes = changes.filtered(|id, _| !is_button(id));
        self.camera.controls.remember(&changes);
        let Some(state) = state.filter(|_| !changes.is_empty()) else { return Ok(()) };
        let name = self.camera.feed.name().to_owned();
        run_blocking(move || state.save(&name, &changes)).await.map_err(|problem| {
            let message =
                format!("the device has the new values, but the server cannot save them: {problem}");
            HttpError { status: StatusCode::SERVICE_UNAVAILABLE, message }
        })
    }
}

/// Returns whether the value of the control `id` differs between the lists `before` and `after`, and is `value` in
/// `after`. A `value` of `None` stands for the control's default value.
fn was_applied(before: &[Control], after: &[Control], id: &str, value: &Option<ControlValue>) -> bool {
    let find = |list: &[Control]| list.iter().find(|control| control.id == id).cloned();
    let (Some(before), Some(after)) = (find(before), find(after)) else { return false };
    after.value != before.value && after.value == value.clone().or(after.default)
}

/// Converts a driver's error about controls to an HTTP error. The status is 422 if the client caused the error, by a
/// wrong control or value, and 503 otherwise.
fn driver_error(error: &Error) -> HttpError {
    let status = match error {
        Error::NoSuchControl { .. } | Error::BadControl { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    HttpError { status, message: error.to_string() }
}
