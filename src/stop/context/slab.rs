//! A bag whose elements are put in and taken out in constant time, by the place they were given.

/// Reuses the places of what was taken out, so it is never larger than it once had to be.
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    vacant: Vec<usize>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Slab<T> {
        Slab { places: Vec::new(), vacant: Vec::new() }
    }

    /// Puts an element in and tells its place.
    pub(super) fn insert(&mut self, element: T) -> usize {
        if let Some(place) = self.vacant.pop() {
            self.places[place] = Some(element);
            place
        } else {
            self.places.push(Some(element));
            self.places.len() - 1
        }
    }

    /// Takes out the element that was given this place.
    pub(super) fn remove(&mut self, place: usize) -> Option<T> {
        let element = self.places.get_mut(place)?.take()?;
        self.vacant.push(place);
        Some(element)
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.vacant.len()
    }
}

impl<T> IntoIterator for Slab<T> {
    type Item = T;
    type IntoIter = std::iter::Flatten<std::vec::IntoIter<Option<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.places.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_again_once_it_is_vacant() {
        let mut slab = Slab::new();
        let places = ["a", "b", "c"].map(|element| slab.insert(element));
        assert_eq!(slab.remove(places[1]), Some("b"));
        assert_eq!(slab.remove(places[1]), None);
        assert_eq!(slab.insert("d"), places[1]);
        assert_eq!(slab.remove(99), None);
        assert_eq!(slab.into_iter().collect::<Vec<_>>(), ["a", "d", "c"]);
    }

    #[test]
    fn a_million_passers_by_take_one_place() {
        let mut slab = Slab::new();
        for passer_by in 0..1_000_000 {
            let place = slab.insert(passer_by);
            assert_eq!(place, 0);
            assert_eq!(slab.remove(place), Some(passer_by));
        }
        assert_eq!(slab.len(), 0);
    }
}
