//! What the fuzz targets share: dividing a stream into pieces.

#![forbid(unsafe_code)]

/// Divides `stream` into pieces of 1 to 64 bytes, the same ones for the same `seed`.
pub fn pieces(stream: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let mut state = u64::from(seed);
    let mut rest = stream;
    std::iter::from_fn(move || {
        // The constants of Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let (piece, tail) = rest.split_at(rest.len().min(1 + (state >> 58) as usize));
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}
