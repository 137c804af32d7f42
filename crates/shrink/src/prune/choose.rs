//! Which parts stay.

use polyseme_models::cut::Importance;

/// Parts of each layer that stay, ascending: `keep` of all layers' together, the most important ones. Layers are
/// compared after each one's values are divided by their length (Molchanov et al. 2017), and each layer keeps its best
/// part. With `even` every layer keeps as many.
pub fn stays(importance: &[&[f64]], keep: usize, even: bool) -> Vec<Vec<usize>> {
    let order = |values: &[f64]| {
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]).then(a.cmp(&b)));
        order
    };
    let mut stays: Vec<Vec<usize>> = if even {
        let each = keep.div_ceil(importance.len());
        importance.iter().map(|values| order(values).into_iter().take(each.clamp(1, values.len())).collect()).collect()
    } else {
        let mut stays: Vec<Vec<usize>> = importance.iter().map(|values| vec![order(values)[0]]).collect();
        let mut rest: Vec<(f64, usize, usize)> = Vec::new();
        for (layer, values) in importance.iter().enumerate() {
            let length = values.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
            let others = order(values).into_iter().skip(1);
            rest.extend(others.map(|part| (values[part] / length, layer, part)));
        }
        rest.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        for (_, layer, part) in rest.into_iter().take(keep.saturating_sub(importance.len())) {
            stays[layer].push(part);
        }
        stays
    };
    stays.iter_mut().for_each(|parts| parts.sort_unstable());
    stays
}

/// Heads and units of each layer that stay where this share of those of the whole model is to be left.
pub fn both(importance: &[Importance], whole: [usize; 2], shares: [f64; 2], even: bool) -> [Vec<Vec<usize>>; 2] {
    let heads: Vec<&[f64]> = importance.iter().map(|layer| layer.heads.as_slice()).collect();
    let units: Vec<&[f64]> = importance.iter().map(|layer| layer.units.as_slice()).collect();
    let keep = |which: usize| (whole[which] as f64 * shares[which]).round() as usize;
    [stays(&heads, keep(0), even), stays(&units, keep(1), even)]
}

/// The channels that stay, ascending: the `keep` most important ones.
pub fn channels(importance: &[f64], keep: usize) -> Vec<usize> {
    stays(&[importance], keep, true).swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_important_stay_and_each_layer_keeps_one() {
        let layers: [&[f64]; 3] = [&[3.0, 4.0, 0.0], &[30.0, 0.5, 0.5], &[0.0, 0.0, 0.0]];
        assert_eq!(stays(&layers, 4, false), [vec![0, 1], vec![0], vec![0]]);
        assert_eq!(stays(&layers, 9, false), [vec![0, 1, 2], vec![0, 1, 2], vec![0, 1, 2]]);
        assert_eq!(stays(&layers, 1, false), [vec![1], vec![0], vec![0]]);
        assert_eq!(stays(&layers, 5, true), [vec![0, 1], vec![0, 1], vec![0, 1]]);
        assert_eq!(stays(&layers, 0, true), [vec![1], vec![0], vec![0]]);
    }
}
