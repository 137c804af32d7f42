//! Which texts go through the encoder together.

/// Texts that are encoded and sorted together; bounds memory on long inputs.
pub const WINDOW: usize = 2048;

/// Tokens a batch holds at most, unless a single text is longer.
pub const TOKEN_BUDGET: usize = 8192;

/// Groups texts of these lengths (in tokens) into batches of at most `budget` tokens: indices in
/// ascending order of length, equal lengths in the caller's order. Neighbours in length share a
/// batch, so that attention runs over few lengths at a time.
pub fn plan(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| lengths[i]); // stable
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for i in order {
        match batches.last_mut() {
            Some(batch) if lengths[i] <= room => {
                batch.push(i);
                room -= lengths[i];
            }
            _ => {
                batches.push(vec![i]);
                room = budget.saturating_sub(lengths[i]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_in_one_batch_within_the_budget() {
        let lengths: Vec<usize> = (0..500).map(|i| 1 + (i * 7919) % 97).collect();
        let batches = plan(&lengths, 300);
        let mut seen: Vec<usize> = batches.concat();
        assert!(batches.iter().all(|b| b.iter().map(|&i| lengths[i]).sum::<usize>() <= 300));
        assert!(seen.windows(2).all(|w| lengths[w[0]] <= lengths[w[1]]), "not sorted by length");
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..500));
        assert!(batches.len() < lengths.iter().sum::<usize>() / 200, "batches are half empty");
    }

    #[test]
    fn a_text_beyond_the_budget_goes_alone() {
        assert_eq!(plan(&[5, 900, 6, 901], 300), [vec![0, 2], vec![1], vec![3]]);
        assert!(plan(&[], 300).is_empty());
    }
}
