//! The bytes of a pack: some hundred points of a curve.
//!
//! Layout 1: the byte 1; the values, 8 bytes each; then the iterations after the first: their common step, or 0 and
//! each step; then the timestamps as differences. Numbers are LEB128; a difference that may be negative is zigzag.

use super::scalars::RawPoint;

const LAYOUT: u8 = 1;

/// Packs points that are in the order of their iterations, none twice.
pub(super) fn encode(points: &[RawPoint]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + points.len() * 12);
    bytes.push(LAYOUT);
    for point in points {
        bytes.extend(point.value.to_le_bytes());
    }
    let steps = || points.windows(2).map(|pair| pair[1].iter.wrapping_sub(pair[0].iter).cast_unsigned());
    let common = steps().next().filter(|first| steps().all(|step| step == *first));
    match common {
        Some(step) => write(&mut bytes, step),
        None => {
            write(&mut bytes, 0);
            steps().for_each(|step| write(&mut bytes, step));
        }
    }
    let mut earlier = 0_i64;
    for point in points {
        let step = point.timestamp.wrapping_sub(earlier);
        write(&mut bytes, (step.cast_unsigned() << 1) ^ (step >> 63).cast_unsigned());
        earlier = point.timestamp;
    }
    bytes
}

/// Whether the timestamps are of interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Read,
    Skip,
}

/// Unpacks `count` points that begin with the iteration `first`. `None` when the bytes are no such pack. Timestamps
/// that are skipped are 0.
pub(super) fn decode(bytes: &[u8], count: usize, first: i64, times: Times) -> Option<Vec<RawPoint>> {
    let (layout, rest) = bytes.split_first()?;
    let (values, mut rest) = rest.split_at_checked(count.checked_mul(8)?)?;
    if *layout != LAYOUT || count == 0 {
        return None;
    }
    let values = values.chunks_exact(8).map(|value| f64::from_le_bytes(value.try_into().unwrap_or_default()));
    let mut points: Vec<RawPoint> = values.map(|value| RawPoint { iter: first, timestamp: 0, value }).collect();
    let common = read(&mut rest)?;
    let mut iter = first;
    for point in &mut points[1..] {
        let step = if common == 0 { read(&mut rest)? } else { common };
        iter = iter.wrapping_add(step.cast_signed());
        point.iter = iter;
    }
    if times == Times::Read {
        let mut timestamp = 0_i64;
        for point in &mut points {
            let step = read(&mut rest)?;
            timestamp = timestamp.wrapping_add((step >> 1).cast_signed() ^ -(step & 1).cast_signed());
            point.timestamp = timestamp;
        }
    }
    Some(points)
}

fn write(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(iter: i64, timestamp: i64, value: f64) -> RawPoint {
        RawPoint { iter, timestamp, value }
    }

    #[test]
    fn the_layout_is_frozen() {
        let even = [point(-3, 1000, 0.5), point(-1, 1001, -2.0), point(1, 999, 1.0)];
        let bytes = encode(&even);
        assert_eq!(hex::encode(&bytes), "01000000000000e03f00000000000000c0000000000000f03f02d00f0203");
        assert_eq!(decode(&bytes, 3, -3, Times::Read).unwrap(), even);
        let uneven = [point(0, 0, 0.0), point(1, 0, 0.0), point(300, 0, 0.0)];
        assert_eq!(hex::encode(&encode(&uneven)[25..]), "0001ab02000000");
        assert_eq!(decode(&bytes, 3, -3, Times::Skip).unwrap()[2], point(1, 0, 1.0));
    }

    #[test]
    fn what_is_no_pack_is_refused() {
        let bytes = encode(&[point(1, 1, 1.0), point(2, 2, 2.0)]);
        assert!(decode(&bytes, 0, 1, Times::Read).is_none());
        assert!(decode(&bytes, 3, 1, Times::Read).is_none());
        assert!(decode(&bytes, usize::MAX, 1, Times::Read).is_none());
        assert!(decode(&bytes[..bytes.len() - 1], 2, 1, Times::Read).is_none());
        assert!(decode(&[], 1, 1, Times::Read).is_none());
        assert!(decode(&[9; 40], 1, 1, Times::Read).is_none());
    }

    proptest! {
        #[test]
        fn every_pack_comes_back(
            points in prop::collection::btree_map(any::<i64>(), (any::<i64>(), -1e300..1e300), 1..50),
        ) {
            let points: Vec<RawPoint> = points.into_iter().map(|(iter, (time, value))| point(iter, time, value)).collect();
            let bytes = encode(&points);
            prop_assert_eq!(decode(&bytes, points.len(), points[0].iter, Times::Read), Some(points));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), count in 0_usize..30) {
            let _ = decode(&bytes, count, 7, Times::Read);
        }
    }
}
