//! Reads fragmented MP4 from its standard input, as ffmpeg writes it, and writes the video to its standard output as
//! Framecast sends it: one fragment for each frame.
//!
//! ```sh
//! ffmpeg -i video.mp4 -c copy -f mp4 -movflags frag_every_frame+empty_moov+default_base_moof - |
//!     cargo run -p framecast-media --example fragments >fragments.mp4
//! ```

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::time::SystemTime;

use framecast_media::Format;
use framecast_media::container::fmp4::{Fmp4Reader, Fragment, init_segment};

/// One second: longer than the time between two frames, so that browsers wait for late frames.
const DURATION_90K: u32 = 90_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut reader = Fmp4Reader::default();
    let mut format: Option<Arc<Format>> = None;
    let mut sequence_number = 0;
    let mut piece = [0; 8192];
    loop {
        let len = input.read(&mut piece)?;
        if len == 0 {
            return Ok(reader.finish()?);
        }
        reader.push(&piece[..len]);
        while let Some(sample) = reader.next_sample()? {
            if format.as_ref() != Some(&sample.format) {
                output.write_all(&init_segment(&sample.format)?)?;
                format = Some(sample.format.clone());
            }
            let frame = sample.into_frame(SystemTime::UNIX_EPOCH);
            sequence_number += 1;
            output.write_all(&Fragment::of(&frame, sequence_number, 0, DURATION_90K).head()?)?;
            output.write_all(&frame.data)?;
        }
    }
}
