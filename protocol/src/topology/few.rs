//! A set of few. A B-tree's node has room for eleven from the first on, and most peers have two children and one stream.

/// A sorted list without doubles, no larger than it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Few<T>(Vec<T>);

impl<T> Default for Few<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Few<T> {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) const fn as_slice(&self) -> &[T] {
        self.0.as_slice()
    }
}

impl<T: Ord> Few<T> {
    pub(super) fn insert(&mut self, item: T) {
        if let Err(at) = self.0.binary_search(&item) {
            if self.0.len() == self.0.capacity() {
                self.0.reserve_exact(1 + self.0.len() / 2);
            }
            self.0.insert(at, item);
        }
    }

    pub(super) fn remove(&mut self, item: &T) {
        if let Ok(at) = self.0.binary_search(item) {
            self.0.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_kept_in_order_and_once() {
        let mut few = Few::default();
        for item in [5, 1, 3, 1, 5, 4] {
            few.insert(item);
        }
        few.remove(&3);
        few.remove(&9);
        assert_eq!(few.as_slice(), [1, 4, 5]);
    }
}
