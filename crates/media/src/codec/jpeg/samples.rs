//! Pictures for tests. `testdata/README.md` says where the pictures come from.

pub(super) const PLAIN: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-mjpeg.jpg");
pub(super) const NO_DHT: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-mjpeg-no-dht.jpg");
pub(super) const THUMBNAIL: &[u8] = include_bytes!("../../../../../testdata/ffmpeg-exif-thumbnail.jpg");
pub(super) const PROGRESSIVE: &[u8] = include_bytes!("../../../../../testdata/imagemagick-progressive.jpg");
pub(super) const ALL: [&[u8]; 4] = [PLAIN, NO_DHT, THUMBNAIL, PROGRESSIVE];

/// Builds a JPEG image of 16 by 8 pixels from a list of segments, each with its marker. Each test replaces or inserts
/// the segment that it tests.
pub(super) struct JpegBuilder(pub(super) Vec<(u8, Vec<u8>)>);

impl JpegBuilder {
    pub(super) fn minimal() -> Self {
        let mut quantization = vec![0];
        quantization.extend([1; 64]);
        Self(vec![
            (0xDB, quantization),
            (0xC0, vec![8, 0, 8, 0, 16, 1, 1, 0x11, 0]),
            (0xC4, [&[0][..], &[1], &[0; 15], &[0]].concat()),
            (0xDA, vec![1, 1, 0, 0, 63, 0]),
        ])
    }

    /// Replaces the body of the first segment that has the marker `marker`.
    pub(super) fn with(mut self, marker: u8, body: &[u8]) -> Self {
        let part = self.0.iter_mut().find(|part| part.0 == marker).expect("the picture has the segment");
        part.1 = body.to_vec();
        self
    }

    pub(super) fn without(mut self, marker: u8) -> Self {
        self.0.retain(|part| part.0 != marker);
        self
    }

    /// Inserts a segment before all other segments.
    pub(super) fn before(mut self, marker: u8, body: &[u8]) -> Self {
        self.0.insert(0, (marker, body.to_vec()));
        self
    }

    /// Returns the bytes of the picture: SOI, the segments, then `tail`, which is the coded data and EOI.
    pub(super) fn bytes(&self, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xFF, 0xD8];
        for (marker, body) in &self.0 {
            bytes.extend([0xFF, *marker]);
            bytes.extend((body.len() as u16 + 2).to_be_bytes());
            bytes.extend(body);
        }
        bytes.extend(tail);
        bytes
    }
}
