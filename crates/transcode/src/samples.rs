//! The loops over samples: taking turns apart, averaging, widening the range.
//!
//! Plain loops over pairs of bytes, which the compiler turns into vector instructions; `pulp` compiles each caller's
//! closure for AVX2 too and takes that version where the processor has it. What a plane is does not belong here.

use framecast_media::codec::raw::Range;

/// Runs `work` compiled for the widest vectors that this processor has.
#[inline]
pub(crate) fn vectorized<T>(work: impl FnOnce() -> T) -> T {
    pulp::Arch::new().dispatch(work)
}

/// The first of each pair.
#[inline(always)]
pub(crate) fn firsts(pairs: &[u8], out: &mut [u8]) {
    for (sample, pair) in out.iter_mut().zip(pairs.as_chunks::<2>().0) {
        *sample = pair[0];
    }
}

/// The second of each pair.
#[inline(always)]
pub(crate) fn seconds(pairs: &[u8], out: &mut [u8]) {
    for (sample, pair) in out.iter_mut().zip(pairs.as_chunks::<2>().0) {
        *sample = pair[1];
    }
}

/// The mean of the first of each pair in two rows, rounded up.
#[inline(always)]
pub(crate) fn mean_firsts(above: &[u8], below: &[u8], out: &mut [u8]) {
    let rows = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    for (sample, (above, below)) in out.iter_mut().zip(rows) {
        *sample = mean(above[0], below[0]);
    }
}

/// The mean of the second of each pair in two rows, rounded up.
#[inline(always)]
pub(crate) fn mean_seconds(above: &[u8], below: &[u8], out: &mut [u8]) {
    let rows = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    for (sample, (above, below)) in out.iter_mut().zip(rows) {
        *sample = mean(above[1], below[1]);
    }
}

#[inline(always)]
fn mean(a: u8, b: u8) -> u8 {
    ((u16::from(a) + u16::from(b) + 1) >> 1) as u8
}

/// Luma of `range` to full range: 16 to 235 become 0 to 255.
#[inline(always)]
pub(crate) fn widen_luma(range: Range, row: &mut [u8]) {
    if range == Range::Limited {
        row.iter_mut().for_each(|sample| *sample = full_luma(*sample));
    }
}

/// Chroma of `range` to full range: 16 to 240 become 0.5 to 255.5, 128 stays.
#[inline(always)]
pub(crate) fn widen_chroma(range: Range, row: &mut [u8]) {
    if range == Range::Limited {
        row.iter_mut().for_each(|sample| *sample = full_chroma(*sample));
    }
}

/// `(y - 16) * 255 / 219` within 0 to 255, in 16 bits: the product with 255/219 * 2^12 is taken from its upper half.
#[inline(always)]
fn full_luma(sample: u8) -> u8 {
    let above = u16::from(sample.clamp(16, 235) - 16) << 8;
    ((upper(above, 4769) + 8) >> 4) as u8
}

/// `(c - 128) * 255 / 224 + 128` within 0 to 255, by the same means; counted from 16 to stay positive.
#[inline(always)]
fn full_chroma(sample: u8) -> u8 {
    let above = u16::from(sample.clamp(16, 240) - 16) << 8;
    // 112 samples below the middle are 127.5 after widening: half a step is added before the rounding.
    ((upper(above, 4663) + 16) >> 4).min(255) as u8
}

/// The upper 16 bits of a product, which vector instructions give directly.
#[inline(always)]
fn upper(a: u16, b: u16) -> u16 {
    ((u32::from(a) * u32::from(b)) >> 16) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widened_samples_are_those_of_exact_arithmetic() {
        for sample in 0..=255_u8 {
            let luma = ((f64::from(sample) - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0);
            assert!(
                (f64::from(full_luma(sample)) - luma).abs() < 0.6,
                "luma {sample}: {}",
                full_luma(sample)
            );
            let chroma = ((f64::from(sample) - 128.0) * 255.0 / 224.0 + 128.0).clamp(0.5, 255.0);
            assert!(
                (f64::from(full_chroma(sample)) - chroma).abs() < 0.7,
                "chroma {sample}: {}",
                full_chroma(sample)
            );
        }
        assert_eq!((full_luma(16), full_luma(235), full_chroma(128)), (0, 255, 128));
    }

    #[test]
    fn pairs_of_any_number_come_apart() {
        for len in 0..100_u8 {
            let pairs: Vec<u8> = (0..2 * len).collect();
            let (mut first, mut second) = (vec![0; len.into()], vec![0; len.into()]);
            vectorized(|| {
                firsts(&pairs, &mut first);
                seconds(&pairs, &mut second);
            });
            assert!(first.iter().zip(&second).zip(0..).all(|((a, b), at)| (*a, *b) == (2 * at, 2 * at + 1)));
            let above = vec![255; pairs.len()];
            vectorized(|| mean_seconds(&above, &pairs, &mut second));
            assert!(second.iter().zip(0..len).all(|(mean, at)| *mean == (128 + u16::from(at)) as u8));
        }
    }
}
