//! Reduces a curve: its x axis is cut into parts of equal width, and the points of a part become their mean.

/// A curve, reduced to a bearable number of points.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sampled {
    /// On the x axis, ascending.
    pub(crate) x: Vec<i64>,
    /// On the y axis.
    pub(crate) y: Vec<f64>,
}

/// Averages points that come in any order; quick when neighbours come together.
#[derive(Debug)]
pub(super) struct Sampler {
    low: i64,
    width: u128,
    parts: Vec<Part>,
    /// The part of the last point: its number, and its first and last x.
    current: (usize, i64, i64),
}

#[derive(Clone, Copy, Debug)]
struct Part {
    first_x: i64,
    points: u64,
    sum: f64,
    /// The same sum in units of [`SCALE`]: it holds where the plain one overflows.
    scaled: f64,
}

const EMPTY: Part = Part { first_x: i64::MAX, points: 0, sum: 0.0, scaled: 0.0 };

/// A power of two, so that nothing is rounded, and larger than any number of points.
const SCALE: f64 = (1_u64 << 60) as f64;

impl Sampler {
    /// For an x axis from `low` to `high`, both included, in at most `samples` parts.
    pub(super) fn new(low: i64, high: i64, samples: usize) -> Self {
        let range = u128::from(high.abs_diff(low)) + 1;
        let width = range.div_ceil(samples.max(1) as u128);
        let mut sampler = Self { low, width, parts: vec![EMPTY; range.div_ceil(width) as usize], current: (0, 0, 0) };
        sampler.turn_to(low);
        sampler
    }

    /// The width of a part, where it is small enough to calculate with in SQL.
    pub(super) fn small_width(&self) -> Option<i64> {
        let range = self.width.checked_mul(self.parts.len() as u128)?;
        (range < 1 << 62).then(|| i64::try_from(self.width).ok()).flatten()
    }

    pub(super) fn add(&mut self, x: i64, y: f64) {
        self.add_many(x, y, 1);
    }

    /// Adds `points` points with this mean, which begin at `x` and lie in one part.
    pub(super) fn add_many(&mut self, x: i64, mean: f64, points: u64) {
        let (_, first, last) = self.current;
        if x < first || x > last {
            self.turn_to(x);
        }
        let part = &mut self.parts[self.current.0];
        part.first_x = part.first_x.min(x);
        part.points += points;
        part.sum += mean * points as f64;
        part.scaled += mean / SCALE * points as f64;
    }

    fn turn_to(&mut self, x: i64) {
        // What lies outside of the axis counts to its ends.
        let distance = u128::from(x.max(self.low).abs_diff(self.low));
        let number = ((distance / self.width) as usize).min(self.parts.len() - 1);
        let start = i128::from(self.low) + (self.width * number as u128).cast_signed();
        let end = start + (self.width - 1).cast_signed();
        self.current = (number, saturate(start), saturate(end));
    }

    pub(super) fn finish(self) -> Sampled {
        let filled = self.parts.iter().filter(|part| part.points > 0);
        let (x, y) = filled.map(|part| (part.first_x, part.mean())).unzip();
        Sampled { x, y }
    }
}

impl Part {
    fn mean(&self) -> f64 {
        if self.sum.is_finite() {
            return self.sum / self.points as f64;
        }
        (self.scaled / self.points as f64 * SCALE).clamp(f64::MIN, f64::MAX)
    }
}

fn saturate(x: i128) -> i64 {
    i64::try_from(x).unwrap_or(if x < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduce(points: &[(i64, f64)], samples: usize) -> Sampled {
        let mut sampler = Sampler::new(points[0].0, points[points.len() - 1].0, samples);
        points.iter().for_each(|(x, y)| sampler.add(*x, *y));
        sampler.finish()
    }

    #[test]
    fn long_curves_become_means_of_equal_parts() {
        let points: Vec<(i64, f64)> = (0..1000).map(|x| (x, (x % 10) as f64)).collect();
        let sampled = reduce(&points, 100);
        assert_eq!(sampled.x, (0..100).map(|part| part * 10).collect::<Vec<_>>());
        assert!(sampled.y.iter().all(|y| (y - 4.5).abs() < 1e-9), "{:?}", sampled.y);
    }

    #[test]
    fn points_may_come_in_any_order_and_in_bundles() {
        let mut sampler = Sampler::new(10, 19, 2);
        for (x, y) in [(17, 1.0), (11, 3.0), (15, 2.0), (13, 5.0)] {
            sampler.add(x, y);
        }
        sampler.add_many(16, 6.0, 2);
        assert_eq!(sampler.finish(), Sampled { x: vec![11, 15], y: vec![4.0, 15.0 / 4.0] });
    }

    #[test]
    fn the_ends_of_the_number_range_do_not_overflow() {
        let points = [(i64::MIN, f64::MAX), (0, f64::MAX), (i64::MAX, f64::MAX)];
        let sampled = reduce(&points, 1);
        assert_eq!((sampled.x.len(), sampled.y[0]), (1, f64::MAX));
        assert_eq!(reduce(&points, 2).x, [i64::MIN, 0]);
        assert_eq!(Sampler::new(i64::MIN, i64::MAX, 1).small_width(), None);
        assert_eq!(Sampler::new(0, 999, 100).small_width(), Some(10));
        let opposite = [(0, f64::MAX), (1, f64::MAX), (2, f64::MIN), (3, f64::MIN)];
        assert_eq!(reduce(&opposite, 1).y, [0.0]);
    }

    #[test]
    fn what_lies_outside_of_the_axis_is_not_lost() {
        let mut sampler = Sampler::new(0, 9, 2);
        for x in [-100, 3, 100] {
            sampler.add(x, x as f64);
        }
        assert_eq!(sampler.finish(), Sampled { x: vec![-100, 100], y: vec![-48.5, 100.0] });
    }
}
