//! Lists the system's video device nodes without opening them: the device to which each node belongs, and names that
//! stay valid when the device is unplugged and plugged in again.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::target::DeviceTarget;

/// The system folders that contain the device nodes and the kernel's data about them.
#[derive(Debug, Clone)]
pub(super) struct SystemPaths {
    dev: PathBuf,
    class: PathBuf,
}

/// A video device node, `/dev/videoN`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Node {
    number: u32,
    pub(super) path: PathBuf,
    /// The name that the kernel driver gave the node.
    pub(super) name: String,
    /// The kernel's path of the device to which this node belongs. One device can have several nodes.
    pub(super) device: PathBuf,
    /// The node's index among the nodes of its device. A webcam's pictures come from the node with index 0.
    pub(super) index: u32,
    usb: Option<Usb>,
    /// The link that udev made for the node, as in `by-id/usb-…-video-index0`.
    by_id: Option<String>,
    by_path: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Usb {
    vendor: u16,
    product: u16,
    serial: Option<String>,
}

impl SystemPaths {
    /// Returns the real folders of the system.
    pub(super) fn system() -> Self {
        Self { dev: PathBuf::from("/dev"), class: PathBuf::from("/sys/class/video4linux") }
    }

    /// Lists the nodes that exist now, sorted by number.
    pub(super) fn nodes(&self) -> Vec<Node> {
        let (by_id, by_path) = (self.links("by-id"), self.links("by-path"));
        let entries = fs::read_dir(&self.class).into_iter().flatten().flatten();
        let mut nodes: Vec<Node> = entries
            .filter_map(|entry| {
                let file = entry.file_name().into_string().ok()?;
                let number = file.strip_prefix("video")?.parse().ok()?;
                let path = self.dev.join(&file);
                let device = fs::canonicalize(entry.path().join("device")).unwrap_or_else(|_| entry.path());
                let link = |links: &[(PathBuf, String)]| {
                    links.iter().find(|(node, _)| *node == path).map(|(_, link)| link.clone())
                };
                let (by_id, by_path) = (link(&by_id), link(&by_path));
                path.exists().then(|| Node {
                    number,
                    name: without_repetition(
                        &text(&entry.path().join("name")).unwrap_or_else(|| file.clone()),
                    ),
                    index: text(&entry.path().join("index")).and_then(|i| i.parse().ok()).unwrap_or(0),
                    usb: usb(&device),
                    by_id,
                    by_path,
                    device,
                    path,
                })
            })
            .collect();
        nodes.sort_by_key(|node| node.number);
        nodes
    }

    /// Lists udev's links in the subfolder `folder` of `/dev/v4l`. Each entry is the node to which the link leads, and
    /// the link's name after the name of the folder (`by-id/…`).
    fn links(&self, folder: &str) -> Vec<(PathBuf, String)> {
        let entries = fs::read_dir(self.dev.join("v4l").join(folder)).into_iter().flatten().flatten();
        let mut links: Vec<(PathBuf, String)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some((fs::canonicalize(entry.path()).ok()?, format!("{folder}/{name}")))
            })
            .collect();
        links.sort();
        links
    }
}

/// Returns the paths of the nodes that match `target`. They all belong to one device, unless `target` is
/// [`DeviceTarget::First`]. A path in `target` is returned unchanged, even if it does not exist.
///
/// # Errors
/// Why there is no such node, as the end of a sentence that begins with the device's name.
pub(super) fn find(target: &DeviceTarget, nodes: &[Node]) -> Result<Vec<PathBuf>, String> {
    let paths = |nodes: &[&Node]| nodes.iter().map(|node| node.path.clone()).collect();
    let matching = match target {
        DeviceTarget::Path(path) => return Ok(vec![PathBuf::from(path)]),
        DeviceTarget::First => {
            return if nodes.is_empty() {
                Err("is plugged in".to_owned())
            } else {
                Ok(paths(&nodes.iter().collect::<Vec<_>>()))
            };
        }
        DeviceTarget::Usb { vendor, product, serial } => {
            let is_meant = |usb: &Usb| {
                (usb.vendor, usb.product) == (*vendor, *product)
                    && (serial.is_none() || usb.serial == *serial)
            };
            nodes.iter().filter(|node| node.usb.as_ref().is_some_and(is_meant)).collect::<Vec<_>>()
        }
        DeviceTarget::Name(name) => by_name(name, nodes),
    };
    match device_count(&matching) {
        0 => Err(not_plugged_in(nodes)),
        1 => Ok(paths(&matching)),
        count => {
            let names: Vec<String> = matching
                .iter()
                .filter(|node| node.index == 0)
                .map(|node| stable_source(node, nodes))
                .collect();
            Err(format!("matches {count} connected devices; choose one of them: {}", names.join(", ")))
        }
    }
}

/// Returns the nodes whose name is `name`; if there are none, those whose name contains `name`. Ignores case.
fn by_name<'a>(name: &str, nodes: &'a [Node]) -> Vec<&'a Node> {
    let name = without_repetition(name).to_lowercase();
    let exact: Vec<&Node> = nodes.iter().filter(|node| node.name.to_lowercase() == name).collect();
    if exact.is_empty() {
        nodes.iter().filter(|node| node.name.to_lowercase().contains(&name)).collect()
    } else {
        exact
    }
}

fn device_count(nodes: &[&Node]) -> usize {
    nodes.iter().map(|node| &node.device).collect::<HashSet<_>>().len()
}

/// Returns the end of an error message about a missing device, which lists the devices that are plugged in.
pub(super) fn not_plugged_in(nodes: &[Node]) -> String {
    let firsts = nodes.iter().filter(|node| node.index == 0);
    let known: Vec<String> = firsts.map(|node| format!("{} ({})", node.path.display(), node.name)).collect();
    match known.as_slice() {
        [] => "is not plugged in; this machine has no video device".to_owned(),
        known => format!("is not plugged in; this machine has {}", known.join(", ")),
    }
}

/// Returns the source URL for this node. If possible, the URL names the device in a way that stays valid when the
/// device is unplugged and plugged in again.
pub(super) fn stable_source(node: &Node, nodes: &[Node]) -> String {
    let is_alone = |is_meant: &dyn Fn(&Node) -> bool| {
        device_count(&nodes.iter().filter(|other| is_meant(other)).collect::<Vec<_>>()) == 1
    };
    if let Some(link) = &node.by_id {
        return format!("v4l2:{link}");
    }
    // The names below stand for the first node of a device.
    if node.index == 0 {
        if let Some(Usb { vendor, product, serial }) = &node.usb {
            let is_same = |other: &Usb| (other.vendor, other.product) == (*vendor, *product);
            if is_alone(&|other| other.usb.as_ref().is_some_and(is_same)) {
                return format!("v4l2:usb={vendor:04x}:{product:04x}");
            }
            let serial = serial.as_deref().filter(|serial| !serial.contains(['?', '&', '#']));
            if let Some(serial) = serial.filter(|_| is_alone(&|other| other.usb == node.usb)) {
                return format!("v4l2:usb={vendor:04x}:{product:04x}:{serial}");
            }
            if let Some(link) = &node.by_path {
                return format!("v4l2:{link}");
            }
        }
        let is_plain = !node.name.contains(['?', '&', '#']);
        if is_plain && is_alone(&|other| other.name.to_lowercase().contains(&node.name.to_lowercase())) {
            return format!("v4l2:name={}", node.name);
        }
    }
    format!("v4l2:{}", node.path.display())
}

/// Shortens "HD Webcam: HD Webcam" to "HD Webcam". The kernel driver uvcvideo names devices like this if the product
/// and the interface have the same name. The kernel may cut the second name short.
pub(super) fn without_repetition(name: &str) -> String {
    match name.split_once(": ") {
        Some((first, second)) if !second.is_empty() && first.starts_with(second) => first.trim().to_owned(),
        _ => name.trim().to_owned(),
    }
}

/// Reads the kernel's data about a USB device. `device` is the path of a USB interface of that device.
fn usb(device: &Path) -> Option<Usb> {
    let number = |folder: &Path, file| u16::from_str_radix(&text(&folder.join(file))?, 16).ok();
    device.ancestors().take(3).find_map(|folder| {
        Some(Usb {
            vendor: number(folder, "idVendor")?,
            product: number(folder, "idProduct")?,
            serial: text(&folder.join("serial")),
        })
    })
}

/// Reads the first line of a small file, without surrounding blanks and without control characters; `None` if the line
/// is empty or the file is missing.
fn text(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next()?.replace(char::is_control, " ").trim().to_owned();
    Some(line).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A fake system with fake devices, in a temporary folder.
    struct System {
        folder: tempfile::TempDir,
        paths: SystemPaths,
    }

    impl System {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
            let paths = SystemPaths { dev: at("dev"), class: at("class") };
            for path in [at("dev/v4l/by-id"), at("dev/v4l/by-path"), at("class"), at("devices")] {
                fs::create_dir_all(path).unwrap();
            }
            Self { folder, paths }
        }

        fn plug(
            &self,
            number: u32,
            name: &str,
            index: u32,
            port: &str,
            usb: Option<(&str, &str, &str)>,
        ) -> PathBuf {
            let root = self.folder.path();
            let interface = root.join("devices").join(port).join("interface");
            fs::create_dir_all(&interface).unwrap();
            if let Some((vendor, product, serial)) = usb {
                for (file, text) in [("idVendor", vendor), ("idProduct", product), ("serial", serial)] {
                    fs::write(interface.parent().unwrap().join(file), format!("{text}\n")).unwrap();
                }
            }
            let class = self.paths.class.join(format!("video{number}"));
            fs::create_dir(&class).unwrap();
            fs::write(class.join("name"), format!("{name}\n")).unwrap();
            fs::write(class.join("index"), format!("{index}\n")).unwrap();
            symlink(&interface, class.join("device")).unwrap();
            let node = self.paths.dev.join(format!("video{number}"));
            fs::write(&node, "").unwrap();
            node
        }

        fn sources(&self) -> Vec<String> {
            let nodes = self.paths.nodes();
            let dev = self.paths.dev.display().to_string();
            nodes.iter().map(|node| stable_source(node, &nodes).replace(&dev, "/dev")).collect()
        }

        fn find(&self, text: &str) -> Result<Vec<String>, String> {
            let url = crate::SourceUrl::parse(text).unwrap();
            let (target, _) = crate::v4l2::target::parse(&url).unwrap();
            let found = find(&target, &self.paths.nodes())?;
            Ok(found.iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
        }
    }

    #[test]
    fn a_device_alone_of_its_kind_is_named_by_its_usb_numbers_and_others_by_name() {
        let system = System::new();
        system.plug(10, "HD Webcam: HD Web", 0, "1-1", Some(("046d", "0825", "A1")));
        system.plug(11, "HD Webcam: HD Web", 1, "1-1", Some(("046d", "0825", "A1")));
        system.plug(2, "vivid-000-vid-cap", 0, "vivid.0", None);
        assert_eq!(
            system.sources(),
            ["v4l2:name=vivid-000-vid-cap", "v4l2:usb=046d:0825", "v4l2:/dev/video11"]
        );
        for source in
            ["v4l2:usb=046d:0825", "v4l2:usb=046d:0825:A1", "v4l2:name=hd webcam", "v4l2:name=webcam"]
        {
            assert_eq!(system.find(source).unwrap(), ["video10", "video11"], "{source}");
        }
        assert_eq!(system.find("v4l2").unwrap(), ["video2", "video10", "video11"]);
        assert_eq!(system.find("/dev/video7").unwrap(), ["video7"]);
    }

    #[test]
    fn devices_that_are_alike_are_told_apart_by_serial_number_or_port() {
        let system = System::new();
        system.plug(0, "Cam", 0, "1-1", Some(("046d", "0825", "A1")));
        system.plug(1, "Cam", 0, "1-2", Some(("046d", "0825", "B2")));
        assert_eq!(system.sources(), ["v4l2:usb=046d:0825:A1", "v4l2:usb=046d:0825:B2"]);
        assert_eq!(system.find("v4l2:usb=046d:0825:B2").unwrap(), ["video1"]);
        for ambiguous in ["v4l2:usb=046d:0825", "v4l2:name=Cam"] {
            let told = system.find(ambiguous).unwrap_err();
            assert!(
                told.ends_with("choose one of them: v4l2:usb=046d:0825:A1, v4l2:usb=046d:0825:B2"),
                "{told}"
            );
        }
        let twins = System::new();
        let first = twins.plug(0, "Cam", 0, "1-1", Some(("046d", "0825", "0")));
        twins.plug(1, "Cam", 0, "1-2", Some(("046d", "0825", "0")));
        symlink(first, twins.paths.dev.join("v4l/by-path/pci-usb-1")).unwrap();
        assert_eq!(twins.sources(), ["v4l2:by-path/pci-usb-1", "v4l2:/dev/video1"]);
    }

    #[test]
    fn the_link_of_udev_is_the_best_name() {
        let system = System::new();
        let node = system.plug(3, "Cam", 0, "1-1", Some(("046d", "0825", "A1")));
        symlink(node, system.paths.dev.join("v4l/by-id/usb-Cam_A1-video-index0")).unwrap();
        assert_eq!(system.sources(), ["v4l2:by-id/usb-Cam_A1-video-index0"]);
    }

    #[test]
    fn what_is_not_plugged_in_is_answered_with_what_is() {
        let system = System::new();
        assert_eq!(
            system.find("v4l2:usb=046d:0825").unwrap_err(),
            "is not plugged in; this machine has no video device"
        );
        assert_eq!(system.find("v4l2").unwrap_err(), "is plugged in");
        system.plug(0, "Other", 0, "1-1", None);
        system.plug(1, "Other", 1, "1-1", None);
        let told = system.find("v4l2:name=Cam").unwrap_err();
        assert!(
            told.starts_with("is not plugged in; this machine has ") && told.ends_with("video0 (Other)"),
            "{told}"
        );
    }

    #[test]
    fn a_name_steers_no_terminal_and_still_finds_its_device() {
        let system = System::new();
        system.plug(0, "Cam\u{1b}[2J", 0, "1-1", None);
        assert_eq!(system.sources(), ["v4l2:name=Cam [2J"]);
        assert_eq!(system.find("v4l2:name=Cam [2J").unwrap(), ["video0"]);
    }

    #[test]
    fn a_node_that_is_not_in_dev_is_left_out() {
        let system = System::new();
        fs::remove_file(system.plug(0, "Gone", 0, "1-1", None)).unwrap();
        assert!(system.paths.nodes().is_empty());
    }

    #[test]
    fn a_name_that_says_itself_twice_is_said_once() {
        assert_eq!(without_repetition("HD Webcam: HD Webcam"), "HD Webcam");
        assert_eq!(without_repetition("Integrated Camera: Integrated C"), "Integrated Camera");
        assert_eq!(without_repetition("Logi: Capture"), "Logi: Capture");
        assert_eq!(without_repetition("Odd: "), "Odd:");
    }
}
