//! The loops over the samples of a picture, which separate interleaved samples, average them, or widen their range.
//!
//! The loops are plain loops over pairs of bytes, which the compiler turns into vector instructions. The crate `pulp`
//! also compiles the callers of the loops for AVX2 and selects that version if the processor supports it. A caller is a
//! type whose method `call` is always inlined. A closure would not do, because the compiler might compile it
//! separately, without AVX2. This module knows nothing about planes.

pub(crate) use pulp::NullaryFnOnce as VectorLoop;

/// Runs `work`, compiled for the widest vectors that this processor supports, and returns the result.
#[inline]
pub(crate) fn vectorized<W: VectorLoop>(work: W) -> W::Output {
    pulp::Arch::new().dispatch(work)
}

/// How a sample (one byte of luma or chroma) is converted to full range.
pub(crate) trait SampleMap {
    /// Returns `sample`, converted to full range.
    fn map(sample: u8) -> u8;
}

/// Returns samples unchanged, because they are in full range already.
pub(crate) struct Identity;

/// Widens luma of limited range to full range: 16 to 235 become 0 to 255.
pub(crate) struct WidenLuma;

/// Widens chroma of limited range to full range: 16 to 240 become 1 to 255, and 128 does not change.
pub(crate) struct WidenChroma;

impl SampleMap for Identity {
    #[inline(always)]
    fn map(sample: u8) -> u8 {
        sample
    }
}

impl SampleMap for WidenLuma {
    /// Returns `(y - 16) * 255 / 219`, limited to 0 to 255. The factor is approximated by 298 / 256, the finest factor
    /// that fits 16 bits. So each sample needs one product of 16-bit lanes, where an exact factor would need 32 bits.
    /// Half of the largest error of the approximation is added before rounding.
    #[inline(always)]
    fn map(sample: u8) -> u8 {
        let above = u16::from(sample.clamp(16, 235) - 16);
        ((above * 298 + 136) >> 8) as u8
    }
}

impl SampleMap for WidenChroma {
    /// Returns `(c - 128) * 255 / 224 + 128`, limited to 0 to 255. The factor is approximated by 291 / 256. The
    /// calculation subtracts 16 in place of 128, so that no value is negative. Three values are added: half of the
    /// largest error of the approximation, 0.5 because the exact result for `c = 16` is 0.5, and 0.5 for rounding.
    #[inline(always)]
    fn map(sample: u8) -> u8 {
        let above = u16::from(sample.clamp(16, 240) - 16);
        ((above * 291 + 280) >> 8) as u8
    }
}

/// Converts each sample of the input, and writes it to the output.
#[inline(always)]
pub(crate) fn all<M: SampleMap>(from: &[u8], to: &mut [u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = M::map(*from);
    }
}

/// Converts the first sample of each pair of input samples, and writes it to the output.
#[inline(always)]
pub(crate) fn firsts<M: SampleMap>(pairs: &[u8], out: &mut [u8]) {
    for (sample, pair) in out.iter_mut().zip(pairs.as_chunks::<2>().0) {
        *sample = M::map(pair[0]);
    }
}

/// Converts the second sample of each pair of input samples, and writes it to the output.
#[inline(always)]
pub(crate) fn seconds<M: SampleMap>(pairs: &[u8], out: &mut [u8]) {
    for (sample, pair) in out.iter_mut().zip(pairs.as_chunks::<2>().0) {
        *sample = M::map(pair[1]);
    }
}

/// Takes two rows of sample pairs, and writes the mean of the first samples of the pairs at the same place in both
/// rows, rounded up.
#[inline(always)]
pub(crate) fn mean_firsts(above: &[u8], below: &[u8], out: &mut [u8]) {
    let rows = above.as_chunks::<2>().0.iter().zip(below.as_chunks::<2>().0);
    for (sample, (above, below)) in out.iter_mut().zip(rows) {
        *sample = mean(above[0], below[0]);
    }
}

/// Takes two rows of sample pairs, and writes the mean of the second samples of the pairs at the same place in both
/// rows, rounded up.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widened_samples_are_those_of_exact_arithmetic() {
        for sample in 0..=255_u8 {
            let luma = ((f64::from(sample) - 16.0) * 255.0 / 219.0).clamp(0.0, 255.0);
            assert!(
                (f64::from(WidenLuma::map(sample)) - luma).abs() < 0.7,
                "luma {sample}: {}",
                WidenLuma::map(sample)
            );
            let chroma = ((f64::from(sample) - 128.0) * 255.0 / 224.0 + 128.0).clamp(0.5, 255.0);
            assert!(
                (f64::from(WidenChroma::map(sample)) - chroma).abs() < 0.9,
                "chroma {sample}: {}",
                WidenChroma::map(sample)
            );
        }
        assert_eq!((WidenLuma::map(16), WidenLuma::map(235), WidenChroma::map(128)), (0, 255, 128));
    }

    struct Apart<'a>(&'a [u8], &'a mut [u8], &'a mut [u8]);

    impl VectorLoop for Apart<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            firsts::<Identity>(self.0, self.1);
            seconds::<Identity>(self.0, self.2);
        }
    }

    struct Mean<'a>(&'a [u8], &'a [u8], &'a mut [u8]);

    impl VectorLoop for Mean<'_> {
        type Output = ();

        #[inline(always)]
        fn call(self) {
            mean_seconds(self.0, self.1, self.2);
        }
    }

    #[test]
    fn pairs_of_any_number_come_apart() {
        for len in 0..100_u8 {
            let pairs: Vec<u8> = (0..2 * len).collect();
            let (mut first, mut second) = (vec![0; len.into()], vec![0; len.into()]);
            vectorized(Apart(&pairs, &mut first, &mut second));
            assert!(first.iter().zip(&second).zip(0..).all(|((a, b), at)| (*a, *b) == (2 * at, 2 * at + 1)));
            let above = vec![255; pairs.len()];
            vectorized(Mean(&above, &pairs, &mut second));
            assert!(second.iter().zip(0..len).all(|(mean, at)| *mean == (128 + u16::from(at)) as u8));
        }
    }
}
