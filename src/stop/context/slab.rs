//! A slab: elements are inserted and removed in constant time, by a slot number.

/// Vacant slots are used again, so the slab never has more slots than it once had elements.
pub(super) struct Slab<T> {
    slots: Vec<Option<T>>,
    vacant: Vec<usize>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Slab<T> {
        Slab { slots: Vec::new(), vacant: Vec::new() }
    }

    /// Inserts an element and returns its slot.
    pub(super) fn insert(&mut self, element: T) -> usize {
        if let Some(slot) = self.vacant.pop() {
            self.slots[slot] = Some(element);
            slot
        } else {
            self.slots.push(Some(element));
            self.slots.len() - 1
        }
    }

    /// Removes the element in this slot.
    pub(super) fn remove(&mut self, slot: usize) -> Option<T> {
        let element = self.slots.get_mut(slot)?.take()?;
        self.vacant.push(slot);
        Some(element)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.vacant.len()
    }
}

impl<T> IntoIterator for Slab<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Option<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.slots.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vacant_slot_is_used_again() {
        let mut slab = Slab::new();
        let slots = ["a", "b", "c"].map(|element| slab.insert(element));
        assert_eq!(slab.remove(slots[1]), Some("b"));
        assert_eq!(slab.remove(slots[1]), None);
        assert_eq!(slab.insert("d"), slots[1]);
        assert_eq!(slab.remove(99), None);
        assert_eq!(slab.into_iter().collect::<Vec<_>>(), ["a", "d", "c"]);
    }

    #[test]
    fn a_million_elements_one_after_the_other_use_one_slot() {
        let mut slab = Slab::new();
        for element in 0..1_000_000 {
            let slot = slab.insert(element);
            assert_eq!(slot, 0);
            assert_eq!(slab.remove(slot), Some(element));
        }
        assert_eq!(slab.len(), 0);
    }
}
