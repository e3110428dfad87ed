//! The driver for cameras that the Linux kernel supports: webcams, capture cards, and sensors with their own kernel
//! driver.
//!
//! A URL names a device and a requested mode (`target`). The system's list of device nodes tells at which node the
//! device is now (`node`). The formats, sizes and rates of the device (`capabilities`) and the request determine the
//! mode to use (`negotiate`), which is then set on the device (`setup`). Finally, `source` captures frames. The
//! kernel's interface itself is in the crate `framecast-v4l2`.

mod capabilities;
mod clock;
mod coding;
mod controls;
mod diagnose;
mod layout;
mod negotiate;
mod node;
mod setup;
mod source;
mod target;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};
use tokio::task::spawn_blocking;

use self::node::{Node, SystemPaths};
use self::source::V4l2Source;
use self::target::DeviceTarget;
use crate::blocking::panic_message;
use crate::{
    BoxFuture, Control, ControlValue, Controls, Device, Driver, Error, OpenContext, Source, SourceUrl,
};

/// The driver for `v4l2:/dev/video0?size=1280x720&fps=30&format=mjpeg`. In place of the path, a URL can name a device
/// in ways that stay valid when the device is unplugged and plugged in again.
pub(crate) struct V4l2;

/// The interval at which the driver looks for a lost device. Looking four times a second while a camera is lost costs
/// less than being notified. Notifications would also cover only half of the cases: device nodes, udev's links and the
/// kernel's list of devices appear one after the other, in folders that appear and vanish with the first device, and
/// the kernel's list sends no notifications.
const DEVICE_POLL_INTERVAL: Duration = Duration::from_millis(250);

impl Driver for V4l2 {
    fn scheme(&self) -> &'static str {
        "v4l2"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        target::parse(url).map(drop)
    }

    fn check_available(&self, url: &SourceUrl) -> Result<(), Error> {
        let (target, _) = target::parse(url)?;
        let nodes = SystemPaths::system().nodes();
        let missing = match &target {
            DeviceTarget::Path(path) => (!Path::new(path).exists()).then(|| node::not_plugged_in(&nodes)),
            target => node::find(target, &nodes).err(),
        };
        let device = display_name(&target, url);
        missing.map_or(Ok(()), |problem| Err(Error::NoDevice { device, problem }))
    }

    fn open<'a>(
        &'a self,
        context: &'a OpenContext,
        url: &'a SourceUrl,
    ) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let (target, requested) = target::parse(url)?;
            let path = resolve(&target, url)?;
            let camera: Box<dyn Source> = Box::new(V4l2Source::open(&path, requested, context)?);
            Ok(camera)
        })
    }

    fn devices(&self) -> BoxFuture<'_, Vec<Device>> {
        Box::pin(async { run_blocking(|| Ok(devices())).await.unwrap_or_default() })
    }

    fn controls(&self) -> Option<&dyn Controls> {
        Some(self)
    }

    fn wait_for_device<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match target::parse(url) {
                Ok((target, _)) => {
                    // If the lost node still exists, it must vanish first, or another node must replace it.
                    let lost = current_node(&target).await;
                    wait_for_other_node(&target, lost).await;
                }
                Err(_) => std::future::pending().await,
            }
        })
    }
}

impl Controls for V4l2 {
    fn list<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Vec<Control>, Error>> {
        let url = url.clone();
        Box::pin(run_blocking(move || controls::list(&resolve(&target::parse(&url)?.0, &url)?)))
    }

    fn set<'a>(
        &'a self,
        url: &'a SourceUrl,
        changes: &'a [(String, Option<ControlValue>)],
    ) -> BoxFuture<'a, Result<(), Error>> {
        let (url, changes) = (url.clone(), changes.to_vec());
        Box::pin(run_blocking(move || controls::set(&resolve(&target::parse(&url)?.0, &url)?, &changes)))
    }
}

/// Returns the identity of the device node that `target` names now; `None` if there is none that this account can open.
async fn current_node(target: &DeviceTarget) -> Option<NodeIdentity> {
    let target = target.clone();
    run_blocking(move || Ok(node_identity(&target))).await.ok().flatten()
}

/// Waits until `target` names a node other than `lost` that can be opened. `lost` is the node that the device had when
/// the camera was lost. If, in the meantime, `target` names no node that can be opened, the wait ends as soon as
/// `target` names one again, even if that node is `lost`.
async fn wait_for_other_node(target: &DeviceTarget, mut lost: Option<NodeIdentity>) {
    loop {
        match current_node(target).await {
            Some(found) if lost.as_ref() != Some(&found) => return,
            Some(_) => {}
            None => lost = None,
        }
        tokio::time::sleep(DEVICE_POLL_INTERVAL).await;
    }
}

/// Runs `work`, which blocks, outside the async runtime's worker threads and returns its result.
async fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            let message = error
                .try_into_panic()
                .map_or_else(|_| "the server is stopping".to_owned(), |panic| panic_message(panic.as_ref()));
            Err(Error::Panicked { message })
        }
    }
}

/// Returns the path of the device node that `target` names now.
fn resolve(target: &DeviceTarget, url: &SourceUrl) -> Result<PathBuf, Error> {
    let problem = |problem| Error::NoDevice { device: display_name(target, url), problem };
    let nodes = SystemPaths::system().nodes();
    let found = node::find(target, &nodes).map_err(problem)?;
    // If there are several nodes, takes the first camera among them. A single node is always taken, because opening it
    // reports what is wrong with it.
    let camera = found.iter().find(|path| is_camera(path)).or(found.first().filter(|_| found.len() == 1));
    match camera {
        Some(path) => Ok(path.clone()),
        // A node that this account is not allowed to open cannot be queried.
        None => match found.iter().find(|path| !can_open(path)) {
            Some(path) => Ok(path.clone()),
            None if *target == DeviceTarget::First => {
                Err(problem("is plugged in; none of this machine's video devices is a camera".to_owned()))
            }
            None => Err(problem("is not a camera".to_owned())),
        },
    }
}

/// Returns the name of the device for messages: the name in the URL, or the URL up to its options.
fn display_name(target: &DeviceTarget, url: &SourceUrl) -> String {
    match target {
        DeviceTarget::First => "no camera".to_owned(),
        DeviceTarget::Name(name) => name.clone(),
        DeviceTarget::Path(_) | DeviceTarget::Usb { .. } => {
            url.to_string().split('?').next().unwrap_or_default().to_owned()
        }
    }
}

fn is_camera(path: &Path) -> bool {
    framecast_v4l2::Device::open(path).is_ok_and(|device| setup::check_kind(&device, path).is_ok())
}

fn can_open(path: &Path) -> bool {
    access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// The identity of a device node. A node that was removed and created again has a different identity, even if it has
/// the same path.
#[derive(Debug, PartialEq, Eq)]
struct NodeIdentity {
    path: PathBuf,
    inode: (u64, u64),
    changed_at: (i64, i64),
}

/// Returns the identity of the device node that `target` names; `None` if there is no node or this account is not
/// allowed to open it. The permission can come a moment after the node, because udev grants it only then.
fn node_identity(target: &DeviceTarget) -> Option<NodeIdentity> {
    let found = node::find(target, &SystemPaths::system().nodes()).ok()?;
    let path = found.into_iter().next().filter(|path| can_open(path))?;
    let node = fs::metadata(&path).ok()?;
    Some(NodeIdentity {
        path,
        inode: (node.dev(), node.ino()),
        changed_at: (node.ctime(), node.ctime_nsec()),
    })
}

/// Lists the cameras that are plugged in now.
fn devices() -> Vec<Device> {
    let nodes = SystemPaths::system().nodes();
    nodes.iter().filter_map(|node| describe_device(node, &nodes)).collect()
}

/// Describes the device of a node, as in the list of devices; `None` for nodes that are not cameras.
fn describe_device(node: &Node, nodes: &[Node]) -> Option<Device> {
    let mut device = Device {
        name: node.name.clone(),
        source: node::stable_source(node, nodes),
        path: Some(node.path.display().to_string()),
        driver: String::new(),
        in_use_by: None,
        problem: None,
        formats: Vec::new(),
    };
    match framecast_v4l2::Device::open(&node.path) {
        Ok(open) => {
            setup::check_kind(&open, &node.path).ok()?;
            device.name = node::without_repetition(&open.capability().card);
            device.driver.clone_from(&open.capability().driver);
            match capabilities::query(&open) {
                Ok(formats) => device.formats = capabilities::device_formats(&formats),
                Err(error) => device.problem = Some(error.to_string()),
            }
            drop(open);
            let users = diagnose::users(Path::new("/proc"), &node.path, 0);
            device.in_use_by = (!users.is_empty()).then(|| users.join(", "));
        }
        // A node that cannot be opened cannot be asked whether it delivers pictures. In most cases the first node of a
        // device does.
        Err(_) if node.index > 0 => return None,
        Err(error) => device.problem = Some(diagnose::open_error(&node.path, error).to_string()),
    }
    Some(device)
}

#[cfg(test)]
mod tests {
    #![warn(clippy::disallowed_methods)]

    use super::*;
    use crate::ErrorKind;

    #[tokio::test]
    async fn a_device_that_is_not_there_is_named_with_what_is() {
        let url = SourceUrl::parse("v4l2:usb=ffff:fffe?size=640x480").unwrap();
        for error in [
            V4l2.check_available(&url).unwrap_err(),
            V4l2.open(&OpenContext::default(), &url).await.err().unwrap(),
            V4l2.list(&url).await.err().unwrap(),
            V4l2.set(&url, &[("brightness".to_owned(), None)]).await.err().unwrap(),
        ] {
            assert!(error.to_string().starts_with("v4l2:usb=ffff:fffe is not plugged in"), "{error}");
            assert_ne!(error.kind(), ErrorKind::Fatal);
        }
    }

    #[tokio::test]
    async fn a_lost_device_is_back_when_its_node_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("video0");
        let target = DeviceTarget::Path(path.display().to_string());
        assert_eq!(node_identity(&target), None);
        let waiting = tokio::spawn({
            let target = target.clone();
            async move { wait_for_other_node(&target, None).await }
        });
        fs::write(&path, "").unwrap();
        waiting.await.unwrap();
        let lost = node_identity(&target);
        assert!(lost.is_some() && lost == node_identity(&target));
        // The node was never missing, but is another one.
        fs::rename(&path, folder.path().join("old")).unwrap();
        fs::write(&path, "").unwrap();
        wait_for_other_node(&target, lost).await;
    }
}
