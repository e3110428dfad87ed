//! Cameras that the Linux kernel supports: webcams, capture cards, sensors with a driver of their own.
//!
//! A URL names a device and a requested mode (`target`); the system's list of nodes tells which node that is now
//! (`node`); the device's capabilities (`offer`) and the request decide format, size and rate (`negotiate`), which
//! `setup` sets; then `source` captures frames. The crate `framecast-v4l2` contains the kernel's interface itself.

mod adjust;
mod clock;
mod coding;
mod negotiate;
mod node;
mod offer;
mod setup;
mod source;
mod target;
mod trouble;
mod unpadded;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Access, access};
use tokio::task::spawn_blocking;

use self::node::{Node, Places};
use self::source::Camera;
use self::target::Target;
use crate::blocking::panic_message;
use crate::{BoxFuture, Control, ControlValue, Device, Driver, Error, Source, SourceUrl};

/// `v4l2:/dev/video0?size=1280x720&fps=30&format=mjpeg`, and devices by names that survive replugging.
pub(crate) struct V4l2;

/// How often the driver polls for a lost device. Nodes, udev's links and the kernel's list of devices appear one after
/// the other, in folders that appear and vanish with the first device, and the kernel's list sends no notifications.
/// Polling four times a second while a camera is lost costs less than notifications that cover only half of this.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Driver for V4l2 {
    fn scheme(&self) -> &'static str {
        "v4l2"
    }

    fn check(&self, url: &SourceUrl) -> Result<(), Error> {
        target::parse(url).map(drop)
    }

    fn look(&self, url: &SourceUrl) -> Result<(), Error> {
        let (target, _) = target::parse(url)?;
        let nodes = Places::system().nodes();
        let missing = match &target {
            Target::Path(path) => (!Path::new(path).exists()).then(|| node::none(&nodes)),
            target => node::find(target, &nodes).err(),
        };
        let device = named(&target, url);
        missing.map_or(Ok(()), |problem| Err(Error::NoDevice { device, problem }))
    }

    fn open<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Box<dyn Source>, Error>> {
        Box::pin(async move {
            let (target, wish) = target::parse(url)?;
            let path = resolve(&target, url)?;
            let camera: Box<dyn Source> = Box::new(Camera::open(&path, wish, url)?);
            Ok(camera)
        })
    }

    fn devices(&self) -> BoxFuture<'_, Vec<Device>> {
        Box::pin(async { off_runtime(|| Ok(devices())).await.unwrap_or_default() })
    }

    fn controls<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, Result<Vec<Control>, Error>> {
        let url = url.clone();
        Box::pin(off_runtime(move || adjust::list(&resolve(&target::parse(&url)?.0, &url)?)))
    }

    fn set_controls<'a>(
        &'a self,
        url: &'a SourceUrl,
        changes: &'a [(String, Option<ControlValue>)],
    ) -> BoxFuture<'a, Result<(), Error>> {
        let (url, changes) = (url.clone(), changes.to_vec());
        Box::pin(off_runtime(move || adjust::set(&resolve(&target::parse(&url)?.0, &url)?, &changes)))
    }

    fn until_back<'a>(&'a self, url: &'a SourceUrl) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            match target::parse(url) {
                Ok((target, _)) => {
                    // If the lost node is still there, it must vanish first, or another must replace it.
                    let lost = look(&target).await;
                    until_another(&target, lost).await;
                }
                Err(_) => std::future::pending().await,
            }
        })
    }
}

/// The node that `target` means now.
async fn look(target: &Target) -> Option<Presence> {
    let target = target.clone();
    off_runtime(move || Ok(presence(&target))).await.ok().flatten()
}

/// Waits until the node of `target` is there, and was missing before or is another one than `lost`.
async fn until_another(target: &Target, mut lost: Option<Presence>) {
    loop {
        match look(target).await {
            Some(found) if lost.as_ref() != Some(&found) => return,
            Some(_) => {}
            None => lost = None,
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Runs blocking `work` outside the runtime's threads.
async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => {
            let message = error
                .try_into_panic()
                .map_or_else(|_| "the program ends".to_owned(), |panic| panic_message(panic.as_ref()));
            Err(Error::Panicked { message })
        }
    }
}

/// The node that `target` means now.
fn resolve(target: &Target, url: &SourceUrl) -> Result<PathBuf, Error> {
    let problem = |problem| Error::NoDevice { device: named(target, url), problem };
    let nodes = Places::system().nodes();
    let found = node::find(target, &nodes).map_err(problem)?;
    // Of several nodes, takes the first camera. Takes a single node in any case: opening it reports what is wrong with
    // it.
    let camera = found.iter().find(|path| is_camera(path)).or(found.first().filter(|_| found.len() == 1));
    match camera {
        Some(path) => Ok(path.clone()),
        // A node that this account may not open cannot be queried.
        None => match found.iter().find(|path| !may_open(path)) {
            Some(path) => Ok(path.clone()),
            None if *target == Target::First => {
                Err(problem("is plugged in; the video devices that are there are none".to_owned()))
            }
            None => Err(problem("is no camera".to_owned())),
        },
    }
}

/// The name of the device for messages: its own name, or the URL up to its options.
fn named(target: &Target, url: &SourceUrl) -> String {
    match target {
        Target::First => "no camera".to_owned(),
        Target::Name(name) => name.clone(),
        Target::Path(_) | Target::Usb { .. } => {
            url.to_string().split('?').next().unwrap_or_default().to_owned()
        }
    }
}

fn is_camera(path: &Path) -> bool {
    framecast_v4l2::Device::open(path).is_ok_and(|device| setup::check_kind(&device, path).is_ok())
}

fn may_open(path: &Path) -> bool {
    access(path, Access::READ_OK | Access::WRITE_OK).is_ok()
}

/// The identity of a node: a recreated node is another one, even with the same name.
#[derive(Debug, PartialEq, Eq)]
struct Presence {
    path: PathBuf,
    inode: (u64, u64),
    changed_at: (i64, i64),
}

/// The node of `target`, if it exists and this account may open it: udev grants permission a moment after it appears.
fn presence(target: &Target) -> Option<Presence> {
    let found = node::find(target, &Places::system().nodes()).ok()?;
    let path = found.into_iter().next().filter(|path| may_open(path))?;
    let node = fs::metadata(&path).ok()?;
    Some(Presence { path, inode: (node.dev(), node.ino()), changed_at: (node.ctime(), node.ctime_nsec()) })
}

/// The cameras that are plugged in now.
fn devices() -> Vec<Device> {
    let nodes = Places::system().nodes();
    nodes.iter().filter_map(|node| describe(node, &nodes)).collect()
}

/// The device behind a node; `None` for nodes that are not cameras.
fn describe(node: &Node, nodes: &[Node]) -> Option<Device> {
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
            device.name = node::without_echo(&open.capability().card);
            device.driver.clone_from(&open.capability().driver);
            match offer::ask(&open) {
                Ok(offers) => device.formats = offer::listed(&offers),
                Err(error) => device.problem = Some(error.to_string()),
            }
            drop(open);
            let users = trouble::users(Path::new("/proc"), &node.path, 0);
            device.in_use_by = (!users.is_empty()).then(|| users.join(", "));
        }
        // A node that cannot be opened cannot be queried for pictures; mostly the first node has them.
        Err(_) if node.index > 0 => return None,
        Err(error) => device.problem = Some(trouble::cannot_open(&node.path, error).to_string()),
    }
    Some(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_device_that_is_not_there_is_named_with_what_is() {
        let url = SourceUrl::parse("v4l2:usb=ffff:fffe?size=640x480").unwrap();
        for error in [
            V4l2.look(&url).unwrap_err(),
            V4l2.open(&url).await.err().unwrap(),
            V4l2.controls(&url).await.err().unwrap(),
            V4l2.set_controls(&url, &[("brightness".to_owned(), None)]).await.err().unwrap(),
        ] {
            assert!(error.to_string().starts_with("v4l2:usb=ffff:fffe is not plugged in"), "{error}");
            assert!(error.is_transient());
        }
    }

    #[tokio::test]
    async fn a_lost_device_is_back_when_its_node_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("video0");
        let target = Target::Path(path.display().to_string());
        assert_eq!(presence(&target), None);
        let waiting = tokio::spawn({
            let target = target.clone();
            async move { until_another(&target, None).await }
        });
        fs::write(&path, "").unwrap();
        waiting.await.unwrap();
        let lost = presence(&target);
        assert!(lost.is_some() && lost == presence(&target));
        // The node was never missing, but is another one.
        fs::rename(&path, folder.path().join("old")).unwrap();
        fs::write(&path, "").unwrap();
        until_another(&target, lost).await;
    }
}
