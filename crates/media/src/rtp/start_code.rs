//! Start codes where none should be: some cameras send a whole byte stream (Annex B) as one NAL unit.

use memchr::memmem;

/// Returns the NAL units of `stream` that are not empty; the one unit if there is no start code in it.
pub(super) fn split(stream: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(stream);
    let next = move || {
        let current = rest?;
        let Some(at) = memmem::find(current, &[0, 0, 1]) else { return rest.take() };
        rest = Some(&current[at + 3..]);
        // No NAL unit ends with a zero byte: those belong to the start code.
        let end = current[..at].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&current[..end])
    };
    std::iter::from_fn(next).filter(|nal| !nal.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_of_any_length_divide() {
        let split = |stream| split(stream).collect::<Vec<&[u8]>>();
        assert_eq!(split(b"\x67\0\x01\0"), [b"\x67\0\x01\0"]);
        assert_eq!(split(b"\0\0\x01\x67\0\0\0\x01\x68\0\0\0\0\x01\0\0\x01\x65"), [b"\x67", b"\x68", b"\x65"]);
        assert_eq!(split(b""), [b""; 0]);
        assert_eq!(split(b"\x67\0\0\x01"), [b"\x67"]);
    }
}
