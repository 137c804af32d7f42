//! Many vectors into one.

use polyseme_formats::folder::Pooling;

/// One vector of `width` from the rows of `hidden`. `(tokens × width)` → `(width)`
pub fn pool(hidden: &[f32], width: usize, pooling: Pooling) -> Vec<f32> {
    match pooling {
        Pooling::Cls => hidden[..width].to_vec(),
        Pooling::Mean => {
            let mut sum = vec![0.0; width];
            for row in hidden.chunks_exact(width) {
                add(&mut sum, row);
            }
            let scale = 1.0 / (hidden.len() / width) as f32;
            sum.iter_mut().for_each(|x| *x *= scale);
            sum
        }
        Pooling::Max => {
            let mut max = hidden[..width].to_vec();
            for row in hidden.chunks_exact(width).skip(1) {
                max.iter_mut().zip(row).for_each(|(m, x)| *m = m.max(*x));
            }
            max
        }
    }
}

fn add(sum: &mut [f32], row: &[f32]) {
    sum.iter_mut().zip(row).for_each(|(s, x)| *s += x);
}

/// Scales a vector to length 1; a zero vector stays zero (as PyTorch's `normalize`, eps 1e-12).
pub fn normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|x| *x /= norm);
}

#[cfg(test)]
mod tests {
    use super::*;

    const HIDDEN: [f32; 6] = [1.0, -2.0, 3.0, 4.0, -7.0, 1.0];

    #[test]
    fn three_ways_to_pool() {
        assert_eq!(pool(&HIDDEN, 2, Pooling::Cls), [1.0, -2.0]);
        assert_eq!(pool(&HIDDEN, 2, Pooling::Mean), [-1.0, 1.0]);
        assert_eq!(pool(&HIDDEN, 2, Pooling::Max), [3.0, 4.0]);
    }

    #[test]
    fn normalized_vectors_have_length_one_and_zero_stays() {
        let mut v = [3.0, 4.0];
        normalize(&mut v);
        assert_eq!(v, [0.6, 0.8]);
        let mut zero = [0.0; 3];
        normalize(&mut zero);
        assert_eq!(zero, [0.0; 3]);
    }
}
