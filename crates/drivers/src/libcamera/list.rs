//! Parses the output of `rpicam-vid --list-cameras` into devices.
//!
//! The output has the format that core/options.cpp in rpicam-apps writes, which has changed over the years: sizes in
//! one line or in several, frame rates in brackets or missing. The parser skips text that it does not recognise.

use crate::{Device, DeviceFormat, DeviceSize};

/// The maximum number of cameras that are taken from the list, which is more than a Raspberry Pi can have.
/// [`MAX_SIZES`] is the maximum number of sizes of a camera, which is more than any sensor has.
const MAX_CAMERAS: usize = 32;
const MAX_SIZES: usize = 64;

/// Parses the cameras in the output of `rpicam-vid --list-cameras`.
pub(super) fn parse_devices(answer: &str) -> Vec<Device> {
    let mut devices: Vec<Device> = Vec::new();
    for line in answer.lines() {
        if let Some(device) = device(line) {
            if devices.len() == MAX_CAMERAS {
                break;
            }
            devices.push(device);
        } else if let Some(device) = devices.last_mut() {
            add_sizes(line, &mut device.formats[0].sizes);
        }
    }
    for device in &mut devices {
        let sizes = &mut device.formats[0].sizes;
        sizes.sort_by_key(|size| std::cmp::Reverse(u64::from(size.width) * u64::from(size.height)));
        for size in sizes {
            size.fps.sort_by(|a, b| b.total_cmp(a));
            size.fps.dedup();
        }
    }
    devices
}

/// Parses the camera in a line like `0 : imx708_wide [4608x2592 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx708@1a)`;
/// `None` for a line that does not begin a camera.
fn device(line: &str) -> Option<Device> {
    let (number, rest) = line.split_once(" : ")?;
    let number: u8 = number.parse().ok()?;
    let name = rest.split_whitespace().next()?;
    let path = rest.rsplit_once('(').and_then(|(_, path)| path.trim_end().strip_suffix(')'));
    Some(Device {
        name: name.to_owned(),
        source: format!("pi:?camera={number}"),
        path: path.map(str::to_owned),
        driver: "libcamera".to_owned(),
        in_use_by: None,
        problem: None,
        formats: vec![DeviceFormat { format: "mjpeg".to_owned(), is_usable: true, sizes: Vec::new() }],
    })
}

/// Adds the sizes in a line like `2304x1296 [56.03 fps - (0, 0)/4608x2592 crop]`. If several formats of the sensor list
/// the same size, it is added once.
fn add_sizes(line: &str, sizes: &mut Vec<DeviceSize>) {
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let Some((width, height)) = size(word) else { continue };
        let fps = words.peek().and_then(|next| rate(next));
        let place = sizes.iter().position(|size| (size.width, size.height) == (width, height));
        let place = match place {
            Some(place) => place,
            None if sizes.len() == MAX_SIZES => return,
            None => {
                sizes.push(DeviceSize { width, height, fps: Vec::new() });
                sizes.len() - 1
            }
        };
        let known = &mut sizes[place].fps;
        if known.len() < MAX_SIZES {
            known.extend(fps);
        }
    }
}

fn size(word: &str) -> Option<(u32, u32)> {
    let (width, height) = word.split_once('x')?;
    let side = |text: &str| text.parse::<u16>().ok().filter(|side| *side > 0).map(u32::from);
    side(width).zip(side(height))
}

/// Parses the frame rate in `word`, which is the word before `fps`: `[56.03` or `(56.03`.
fn rate(word: &str) -> Option<f64> {
    let rate: f64 = word.strip_prefix(['[', '('])?.parse().ok()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: &str = "Available cameras
-----------------
0 : imx708_wide [4608x2592 10-bit RGGB] (/base/soc/i2c0mux/i2c@1/imx708@1a)
    Modes: 'SRGGB10_CSI2P' : 1536x864 [120.13 fps - (768, 432)/3072x1728 crop]
                             2304x1296 [56.03 fps - (0, 0)/4608x2592 crop]
                             4608x2592 [14.35 fps - (0, 0)/4608x2592 crop]

1 : imx585 [3840x2160 16-bit RGGB] (/base/axi/pcie@120000/rp1/i2c@80000/imx585@1A)
    Modes: 'SRGGB12_CSI2P' : 1928x1090 [87.60 fps - (0, 0)/3840x2160 crop]
                             3856x2180 [43.80 fps - (0, 0)/3840x2160 crop]
           'SRGGB16' : 1928x1090 [30.00 fps - (0, 0)/3840x2160 crop]
                       3856x2180 [21.90 fps - (0, 0)/3840x2160 crop]

";

    const OF_2021: &str = "Available cameras
-----------------
0 : imx477 [4056x3040] (/base/soc/i2c0mux/i2c@1/imx477@1a)
    Modes: 'SRGGB10_CSI2P' : 1332x990 
           'SRGGB12_CSI2P' : 2028x1080 2028x1520 4056x3040 
";

    fn sizes(device: &Device) -> Vec<(u32, u32, Vec<f64>)> {
        let sizes = device.formats[0].sizes.iter();
        sizes.map(|size| (size.width, size.height, size.fps.clone())).collect()
    }

    #[test]
    fn cameras_are_listed_with_a_source_and_their_sizes() {
        let found = parse_devices(TODAY);
        let sources: Vec<_> =
            found.iter().map(|device| (device.name.as_str(), device.source.as_str())).collect();
        assert_eq!(sources, [("imx708_wide", "pi:?camera=0"), ("imx585", "pi:?camera=1")]);
        assert_eq!(found[0].path.as_deref(), Some("/base/soc/i2c0mux/i2c@1/imx708@1a"));
        assert_eq!(
            sizes(&found[0]),
            [(4608, 2592, vec![14.35]), (2304, 1296, vec![56.03]), (1536, 864, vec![120.13])]
        );
        assert_eq!(sizes(&found[1]), [(3856, 2180, vec![43.8, 21.9]), (1928, 1090, vec![87.6, 30.0])]);
    }

    #[test]
    fn the_list_of_an_older_program_has_no_rates() {
        let found = parse_devices(OF_2021);
        assert_eq!(found.len(), 1);
        let sizes: Vec<_> = sizes(&found[0]);
        assert_eq!(sizes.iter().map(|size| size.0).collect::<Vec<_>>(), [4056, 2028, 2028, 1332]);
        assert!(sizes.iter().all(|size| size.2.is_empty()));
        assert!(parse_devices("No cameras available!\n").is_empty());
    }

    #[test]
    fn a_damaged_list_is_read_as_far_as_it_goes() {
        for text in [TODAY, OF_2021] {
            for (at, _) in text.char_indices() {
                for damage in ["", "\n", " : ", "x", "(", "9999999999x1 [inf", "é"] {
                    let found = parse_devices(&format!("{}{damage}{}", &text[..at], &text[at..]));
                    assert!(found.len() <= 4, "{found:?}");
                }
                parse_devices(&text[..at]);
            }
        }
        assert_eq!(parse_devices(&"0 : x\n1x1\n".repeat(100)).len(), MAX_CAMERAS);
    }
}
