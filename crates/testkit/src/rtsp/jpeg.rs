//! Splits JPEG images into the payloads of RTP packets: RFC 2435. The images need the usual Huffman tables and a size of
//! whole blocks, as ffmpeg makes them with `-huffman default`.

/// The quantiser that means: the tables are in the first packet.
const TABLES_IN_BAND: u8 = 255;

/// What the packets say of an image in place of its own header.
#[derive(Default)]
struct Header {
    /// 0 for 4:2:2, 1 for 4:2:0.
    kind: u8,
    /// Width and height in units of 8 pixels.
    size: [u8; 2],
    tables: Vec<u8>,
    /// Where the coded picture begins.
    scan_at: usize,
}

impl Header {
    /// Reads the segments of `image` up to the coded picture.
    fn read(image: &[u8]) -> Self {
        let (mut header, mut at) = (Self::default(), 2);
        while header.scan_at == 0 {
            let [0xff, marker, high, low] = image[at..at + 4] else { panic!("no marker at byte {at}") };
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let segment = &image[at + 4..end];
            match marker {
                // Each table has a byte for its number in front.
                0xdb => header.tables.extend(segment.chunks_exact(65).flat_map(|table| &table[1..])),
                0xc0 => {
                    let [_, height_high, height_low, width_high, width_low, _, _, sampling, ..] = *segment
                    else {
                        panic!("a short frame header at byte {at}")
                    };
                    let eighths = |high, low| u16::from_be_bytes([high, low]).div_ceil(8) as u8;
                    header.size = [eighths(width_high, width_low), eighths(height_high, height_low)];
                    header.kind = u8::from(sampling == 0x22);
                }
                0xda => header.scan_at = end,
                _ => {}
            }
            at = end;
        }
        // The receiver expects a table for brightness and one for colour, which may be the same.
        if header.tables.len() == 64 {
            header.tables.extend_from_within(..);
        }
        header
    }
}

/// The payloads of `image`, each with at most `max_bytes` of it.
pub(super) fn parts(image: &[u8], max_bytes: usize) -> Vec<Vec<u8>> {
    let header = Header::read(image);
    let chunks = image[header.scan_at..].chunks(max_bytes).enumerate();
    let parts = chunks.map(|(number, chunk)| {
        let offset = ((number * max_bytes) as u32).to_be_bytes();
        // The first byte, the type-specific one, is 0, and so is that of an offset below 16 MiB.
        let mut part = offset.to_vec();
        part.extend([header.kind, TABLES_IN_BAND]);
        part.extend(header.size);
        if number == 0 {
            part.extend([0, 0]);
            part.extend((header.tables.len() as u16).to_be_bytes());
            part.extend(&header.tables);
        }
        part.extend(chunk);
        part
    });
    parts.collect()
}
