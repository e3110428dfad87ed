//! What the markers of a JPEG image say: its size, and how it is coded.

/// The coding processes that browsers can display (T.81 table B.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// Baseline sequential DCT (SOF0): what cameras send.
    Baseline,
    /// Extended sequential DCT (SOF1), 8 bits a sample.
    Extended,
    /// Progressive DCT (SOF2), 8 bits a sample.
    Progressive,
}

/// What the markers of a whole picture say about the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels, 1 to 65535.
    pub width_px: u32,
    /// Height in pixels, 1 to 65535.
    pub height_px: u32,
    /// Number of colour components, 1 to 4.
    pub components: u8,
    /// How the coefficients are coded.
    pub process: Process,
    /// Whether Huffman tables precede the first scan. UVC cameras and AVI files omit the standard tables.
    pub has_huffman_tables: bool,
    /// Offset in bytes of the first SOS marker. Missing Huffman tables have to be inserted before this marker.
    pub first_scan_offset: usize,
    /// Length in bytes from SOI to the end of EOI. The input can contain padding after the EOI.
    pub len_bytes: usize,
}
