//! Makes the pictures that the measured servers send: a moving scene with noise, encoded by our own encoder. The
//! pictures are the same at each call.
//!
//! The amount of noise determines the size of a JPEG. So this module searches for the amount at which the middle
//! picture of the series has the requested size, and uses this amount for all pictures.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use framecast_media::codec::{RgbImage, jpeg};

const QUALITY: u8 = 75;

/// The number of steps in the search for the amount of noise. The search begins with a range of 128 grey levels, and
/// each step halves it, so the last range is far smaller than one level.
const SEARCH_STEPS: u32 = 12;

/// The options of the command `pictures`: how many pictures to make, and of which size.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Folder for the pictures; created if it does not exist.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Number of pictures.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) count: u32,
    /// Width in pixels.
    #[arg(long, default_value_t = 1280, value_parser = clap::value_parser!(u32).range(16..=7680))]
    pub(crate) width: u32,
    /// Height in pixels.
    #[arg(long, default_value_t = 720, value_parser = clap::value_parser!(u32).range(16..=4320))]
    pub(crate) height: u32,
    /// Mean size of a JPEG in bytes.
    #[arg(long, default_value_t = 76_000)]
    pub(crate) target_bytes: usize,
}

impl Options {
    /// Creates the options for the standard pictures, which are used when no others are given: thirty pictures of
    /// 1280x720 with about 76 KB each.
    pub(crate) fn standard(out: PathBuf) -> Self {
        Self { out, count: 30, width: 1280, height: 720, target_bytes: 76_000 }
    }
}

/// Makes the pictures and writes them to the folder `--out` as `frame-0000.jpg` and so on. Returns their mean size in
/// bytes.
///
/// # Errors
///
/// No amount of noise gives the requested size, or the files cannot be written to the folder.
pub(crate) fn run(options: &Options) -> Result<usize> {
    let context = || format!("cannot write pictures to {}", options.out.display());
    fs::create_dir_all(&options.out).with_context(context)?;
    let noise = find_noise(options)?;
    let mut total = 0;
    for number in 0..options.count {
        let jpeg = draw(options, number, noise)?;
        total += jpeg.len();
        fs::write(path(&options.out, number), &jpeg).with_context(context)?;
    }
    Ok(total / options.count as usize)
}

fn path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("frame-{number:04}.jpg"))
}

/// Finds the amount of noise at which the middle picture of the series has the requested size as a JPEG. Returns the
/// amount as the maximum change of a pixel, in grey levels up or down.
fn find_noise(options: &Options) -> Result<f32> {
    let middle = options.count / 2;
    let (mut low, mut high) = (0.0, 128.0);
    for _ in 0..SEARCH_STEPS {
        let noise = (low + high) / 2.0;
        if draw(options, middle, noise)?.len() > options.target_bytes {
            high = noise;
        } else {
            low = noise;
        }
    }
    let reached = draw(options, middle, low)?.len();
    ensure!(
        reached.abs_diff(options.target_bytes) <= options.target_bytes / 20,
        "with the best amount of noise, a picture of {}x{} pixels has {reached} bytes, not about {}",
        options.width,
        options.height,
        options.target_bytes
    );
    Ok(low)
}

fn draw(options: &Options, number: u32, noise: f32) -> Result<Vec<u8>> {
    let picture = paint(options, number, noise);
    let jpeg = jpeg::encode(&picture, QUALITY).context("cannot encode a picture")?;
    Ok(jpeg.to_vec())
}

/// Returns the pixels of the middle picture of the series.
///
/// # Errors
///
/// No amount of noise gives the requested size.
pub(crate) fn middle(options: &Options) -> Result<RgbImage> {
    Ok(paint(options, options.count / 2, find_noise(options)?))
}

/// Paints the picture `number` of the series: a drifting gradient, a moving bright bar, a moving dark disc, and noise
/// over the whole picture. `noise` is the maximum change of a pixel in grey levels.
fn paint(options: &Options, number: u32, noise: f32) -> RgbImage {
    let (width, height) = (options.width, options.height);
    let mut random = Random(u64::from(number) + 1);
    let bar = number * width / options.count;
    let disc = (width - bar, height / 2, height / 6);
    let mut data = Vec::with_capacity(width as usize * height as usize * 3);
    for y in 0..height {
        for x in 0..width {
            let base = if x.abs_diff(bar) < width / 64 {
                [235.0, 220.0, 90.0]
            } else if is_inside(disc, x, y) {
                [30.0, 40.0, 70.0]
            } else {
                let across = ((x + number * 8) % width) as f32 / width as f32;
                let down = y as f32 / height as f32;
                [60.0 + 120.0 * across, 80.0 + 90.0 * down, 150.0 - 60.0 * across]
            };
            let grain = noise * random.next();
            data.extend(base.map(|level| (level + grain).clamp(0.0, 255.0) as u8));
        }
    }
    RgbImage::from_rgb(width, height, data).expect("three bytes for each pixel")
}

fn is_inside((centre_x, centre_y, radius): (u32, u32, u32), x: u32, y: u32) -> bool {
    x.abs_diff(centre_x).pow(2) + y.abs_diff(centre_y).pow(2) < radius.pow(2)
}

/// A xorshift random generator. Unlike the generator of a library, it gives the same noise on every machine and never
/// changes.
struct Random(u64);

impl Random {
    /// Returns the next random number, between -1 and 1.
    fn next(&mut self) -> f32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(out: &Path) -> Options {
        Options { out: out.to_owned(), count: 3, width: 320, height: 180, target_bytes: 9000 }
    }

    #[test]
    fn pictures_have_the_wanted_size_and_are_the_same_each_time() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mean = run(&small(first.path())).unwrap();
        assert!((8550..=9450).contains(&mean), "{mean}");
        run(&small(second.path())).unwrap();
        for number in 0..3 {
            let jpeg = fs::read(path(first.path(), number)).unwrap();
            assert_eq!(jpeg, fs::read(path(second.path(), number)).unwrap());
        }
        let other = |number| fs::read(path(first.path(), number)).unwrap();
        assert_ne!(other(0), other(1));
    }

    #[test]
    fn a_size_out_of_reach_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { target_bytes: 50, ..small(dir.path()) };
        let error = run(&options).unwrap_err();
        assert!(error.to_string().contains("320x180"), "{error}");
    }
}
