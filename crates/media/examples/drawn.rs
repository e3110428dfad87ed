//! Saves each kind of drawn picture as a JPEG file in the current directory, for inspection.

use std::error::Error;

use framecast_media::codec::{RgbImage, jpeg};
use framecast_media::draw::{self, Slate, TestFrame, TestPattern};

fn save(name: &str, picture: &RgbImage) -> Result<(), Box<dyn Error>> {
    std::fs::write(name, jpeg::encode(picture, 85)?)?;
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    for number in 1..=3 {
        save(&format!("emulated-{number}.jpg"), &draw::numbered_card(number, 640, 480))?;
    }
    for (width_px, height_px) in [(320, 180), (1280, 720)] {
        let mut pattern = TestPattern::new(width_px, height_px);
        let frame = TestFrame { number: 1042, date: "2026-05-04", time: "13:04:59.123", fps: 30.0 };
        let picture = pattern.draw(&frame);
        save(&format!("test-{width_px}.jpg"), picture)?;
        let lines = ["connect to 192.0.2.7:554: connection refused", "since 13:02:11", "next try in 8 s"];
        let lost = Slate {
            camera: "Front door",
            headline: "Lost",
            lines: &lines,
            background: Some(picture),
            width_px,
            height_px,
        };
        save(&format!("lost-{width_px}.jpg"), &draw::slate(&lost))?;
        let opening =
            Slate { headline: "Opening…", lines: &["v4l2:/dev/video0"], background: None, ..lost };
        save(&format!("opening-{width_px}.jpg"), &draw::slate(&opening))?;
    }
    Ok(())
}
