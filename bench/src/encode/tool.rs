//! Runs the programs of libjpeg-turbo on the measured picture: `tjbench` and `cjpeg`. The table has no row for a
//! program that is not installed.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result};
use framecast_media::codec::RgbImage;

use crate::stats::Spread;

/// The name of the table row for `tjbench`, with which our encoder is compared.
pub(crate) const COMP_FROM_YUV: &str = "`tjbench`, \"Comp from YUV\" (wall)";

const CJPEG: &str = "`cjpeg`, whole process from PPM (wall)";

/// Arguments of `tjbench` that set the seconds of each measurement, and the seconds of the warm-up before it.
const BENCH_TIME: [&str; 4] = ["-benchtime", "0.3", "-warmup", "0.1"];

/// The number of times that `cjpeg` is run in each pass.
const CJPEG_RUNS: usize = 5;

/// The result of a program: the milliseconds for one picture, and the size of the JPEG image in bytes.
type Figure = Result<(f64, usize)>;

/// Writes the picture to a file in the folder `dir`, in the PPM format, which `tjbench` and `cjpeg` can read. Returns
/// the path of the file.
///
/// # Errors
///
/// The file cannot be written.
pub(super) fn write_ppm(dir: &Path, picture: &RgbImage) -> Result<PathBuf> {
    let path = dir.join("picture.ppm");
    let mut ppm = format!("P6\n{} {}\n255\n", picture.width_px(), picture.height_px()).into_bytes();
    ppm.extend(picture.data());
    fs::write(&path, ppm).context("cannot write the picture")?;
    Ok(path)
}

/// Runs `tjbench` and `cjpeg`, if they are installed, on the picture in the file `ppm`. Returns the name of each
/// program's table row, with the program's result.
pub(super) fn all(ppm: &Path, quality: u8) -> Vec<(&'static str, Figure)> {
    let figures = [(COMP_FROM_YUV, tjbench(ppm, quality)), (CJPEG, cjpeg(ppm, quality))];
    figures.into_iter().filter_map(|(name, figure)| Some((name, figure?))).collect()
}

/// Runs `command` and returns its standard output. Returns `None` if the program is not installed.
fn output(command: &mut Command) -> Option<Result<Vec<u8>>> {
    let name = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => Some(Err(error).context(name)),
        Ok(output) if output.status.success() => Some(Ok(output.stdout)),
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            Some(Err(anyhow::anyhow!("{name} ended with {}: {stderr}", output.status)))
        }
    }
}

fn tjbench(ppm: &Path, quality: u8) -> Option<Figure> {
    let mut command = Command::new("tjbench");
    command.arg(ppm).arg(quality.to_string());
    command.args(["-yuv", "-subsamp", "420", "-componly", "-nowrite"]).args(BENCH_TIME);
    let text = output(&mut command)?;
    Some(text.and_then(|text| comp_from_yuv(&String::from_utf8_lossy(&text))))
}

/// Returns the milliseconds and bytes of one picture from the output of `tjbench`. They are in the two lines after
/// "Comp from YUV": `Frame rate: 497.08 fps` and `Output image size: 58127 bytes`.
fn comp_from_yuv(text: &str) -> Result<(f64, usize)> {
    let behind = |label: &str, text: &str| -> Option<f64> {
        let (_, rest) = text.split_once(label)?;
        rest.split_whitespace().next()?.parse().ok()
    };
    let part = text.split_once("Comp from YUV").map_or("", |(_, part)| part);
    let fps = behind("Frame rate:", part).filter(|fps| *fps > 0.0);
    let bytes = behind("Output image size:", part);
    let (fps, bytes) =
        fps.zip(bytes).with_context(|| format!("cannot read the output of tjbench: {text}"))?;
    Ok((1e3 / fps, bytes as usize))
}

fn cjpeg(ppm: &Path, quality: u8) -> Option<Figure> {
    let mut times = Vec::new();
    let mut bytes = 0;
    for _ in 0..CJPEG_RUNS {
        let started = Instant::now();
        let mut command = Command::new("cjpeg");
        match output(command.args(["-sample", "2x2", "-quality", &quality.to_string()]).arg(ppm))? {
            Ok(jpeg) => bytes = jpeg.len(),
            Err(error) => return Some(Err(error)),
        }
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    Some(Ok((Spread::of(times).median, bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_figure_of_tjbench_is_the_one() {
        let text = "Encode YUV    --> Frame rate:         1382.4 fps\n\
                    \x20                 Output image size:  1382400 bytes\n\
                    Comp from YUV --> Frame rate:         500.0 fps\n\
                    \x20                 Output image size:  58127 bytes\n";
        assert_eq!(comp_from_yuv(text).unwrap(), (2.0, 58_127));
        assert!(comp_from_yuv("Image size: 1280 x 720").is_err());
    }
}
