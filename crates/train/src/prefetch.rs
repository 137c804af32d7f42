//! Prepares data ahead on a thread of its own, in order, so that the model never waits for them.

use std::sync::mpsc::{IntoIter, sync_channel};
use std::thread::Scope;

/// Steps prepared ahead.
const AHEAD: usize = 4;

/// Runs `items` on a thread of `scope`, at most [`AHEAD`] in front of who takes them. The thread
/// ends when the items do, or at its next item after the result was dropped.
pub fn prefetch<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    items: impl Iterator<Item = T> + Send + 'scope,
) -> IntoIter<T> {
    let (sender, receiver) = sync_channel(AHEAD);
    scope.spawn(move || {
        for item in items {
            if sender.send(item).is_err() {
                break;
            }
        }
    });
    receiver.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn keeps_the_order_and_gives_all() {
        std::thread::scope(|scope| {
            assert!(prefetch(scope, 0..1_000).eq(0..1_000));
        });
    }

    #[test]
    fn goes_no_further_than_asked_and_ends_when_dropped() {
        let made = AtomicU64::new(0);
        std::thread::scope(|scope| {
            let made = &made;
            let mut items = prefetch(
                scope,
                (0_u64..).inspect(move |_| {
                    made.fetch_add(1, Ordering::SeqCst);
                }),
            );
            assert_eq!(items.next(), Some(0));
        });
        // One taken, those waiting, one on its way to the full channel, one that found it closed.
        assert!(made.load(Ordering::SeqCst) <= 1 + AHEAD as u64 + 2);
    }
}
