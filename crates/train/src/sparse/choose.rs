//! Which values stay: the highest ones of a list, exactly as many as are asked for.

/// A number of the same order as the value: larger values, larger keys.
fn key(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The bar that `keep` of the lists' values together pass, and how many that are just as high pass with them.
pub(super) struct Bar {
    height: u32,
    ties: usize,
}

impl Bar {
    /// The bar for these values. `keep` is at most their number.
    pub fn new<'a>(lists: impl Iterator<Item = &'a [f32]>, keep: usize) -> Self {
        let mut keys: Vec<u32> = lists.flatten().map(|&value| key(value)).collect();
        if keep == 0 {
            return Self { height: u32::MAX, ties: 0 };
        }
        let place = keys.len() - keep;
        let (_, &mut height, above) = keys.select_nth_unstable(place);
        Self { height, ties: keep - above.iter().filter(|&&key| key > height).count() }
    }

    /// Whether each value passes. Of those as high as the bar the first ones pass.
    pub fn passed(&mut self, values: &[f32]) -> Vec<bool> {
        let mut passes = |&value: &f32| {
            let key = key(value);
            if key == self.height && self.ties > 0 {
                self.ties -= 1;
                return true;
            }
            key > self.height
        };
        values.iter().map(&mut passes).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same by sorting.
    fn sorted(values: &[f32], keep: usize) -> Vec<bool> {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
        let mut passed = vec![false; values.len()];
        order[..keep].iter().for_each(|&i| passed[i] = true);
        passed
    }

    #[test]
    fn as_many_pass_as_are_asked_for_in_the_order_of_values() {
        let stream = polyseme_tensor::Stream::new(5);
        // Few different values, so that many are as high as the bar.
        let values: Vec<f32> = (0..1000).map(|i| (stream.uniform(i) * 20.0).floor() - 10.0).collect();
        for keep in [0, 1, 17, 500, 999, 1000] {
            let passed = Bar::new([values.as_slice()].into_iter(), keep).passed(&values);
            assert_eq!(passed, sorted(&values, keep), "{keep}");
            // In two lists, one bar.
            let (a, b) = values.split_at(300);
            let mut bar = Bar::new([a, b].into_iter(), keep);
            assert_eq!([bar.passed(a), bar.passed(b)].concat(), passed, "{keep}");
        }
    }
}
