//! The connections of a loop, by token. A slot is used again for later connections, so a token also has the slot's generation.
//! An event or a worker's answer for a closed connection finds nothing, and never another connection.
//!
//! ```text
//!   token:  generation (32 bits, the top one always 0) | slot number (32 bits)
//! ```

use mio::Token;

const _: () = assert!(usize::BITS >= 64, "a token holds a slot number and a generation of 32 bits each");

/// Values by generation-checked token.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    /// The most recently vacated slot; the others follow through [`Entry::Vacant`].
    vacant: Option<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    entry: Entry<T>,
}

#[derive(Debug)]
enum Entry<T> {
    Vacant { next: Option<u32> },
    Occupied(T),
}

/// The slot number of a token. Slot numbers are small and dense, so other tables can use them as an index.
pub(crate) fn slot_of(token: Token) -> usize {
    token.0 & 0xffff_ffff
}

fn token_of(slot: u32, generation: u32) -> Token {
    Token((generation as usize) << 32 | slot as usize)
}

impl<T> Table<T> {
    pub(crate) fn new() -> Table<T> {
        Table { slots: Vec::new(), vacant: None }
    }

    /// Inserts the value that `make` returns for its token.
    pub(crate) fn insert_with(&mut self, make: impl FnOnce(Token) -> T) -> Token {
        let number = match self.vacant {
            Some(number) => number,
            None => {
                let number = u32::try_from(self.slots.len()).expect("fewer connections than descriptors");
                self.slots.push(Slot { generation: 0, entry: Entry::Vacant { next: None } });
                self.vacant = Some(number);
                number
            }
        };
        let slot = &mut self.slots[number as usize];
        let token = token_of(number, slot.generation);
        let value = make(token);
        if let Entry::Vacant { next } = slot.entry {
            self.vacant = next;
        }
        slot.entry = Entry::Occupied(value);
        token
    }

    pub(crate) fn get_mut(&mut self, token: Token) -> Option<&mut T> {
        match self.slots.get_mut(slot_of(token)) {
            Some(Slot { generation, entry: Entry::Occupied(value) })
                if *generation as usize == token.0 >> 32 =>
            {
                Some(value)
            }
            _ => None,
        }
    }

    pub(crate) fn remove(&mut self, token: Token) -> Option<T> {
        self.get_mut(token)?;
        let number = slot_of(token);
        let slot = &mut self.slots[number];
        // 31 bits, so that no token equals one of the loop's own: those count down from `usize::MAX`.
        slot.generation = (slot.generation + 1) & 0x7fff_ffff;
        match std::mem::replace(&mut slot.entry, Entry::Vacant { next: self.vacant }) {
            Entry::Occupied(value) => {
                self.vacant = Some(number as u32);
                Some(value)
            }
            Entry::Vacant { .. } => None,
        }
    }

    /// The tokens of all values, in slot order.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        let occupied = |(number, slot): (usize, &Slot<T>)| match slot.entry {
            Entry::Occupied(_) => Some(token_of(number as u32, slot.generation)),
            Entry::Vacant { .. } => None,
        };
        self.slots.iter().enumerate().filter_map(occupied).collect()
    }

    /// The token of the value that is in this slot now.
    pub(crate) fn token_at(&self, slot: usize) -> Option<Token> {
        match self.slots.get(slot) {
            Some(Slot { generation, entry: Entry::Occupied(_) }) => Some(token_of(slot as u32, *generation)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(table: &mut Table<&'static str>, value: &'static str) -> Token {
        table.insert_with(|_| value)
    }

    #[test]
    fn a_token_never_finds_the_slots_next_tenant() {
        let mut table = Table::new();
        let first = insert(&mut table, "first");
        assert_eq!(table.remove(first), Some("first"));
        let second = insert(&mut table, "second");
        assert_eq!(slot_of(first), slot_of(second), "the slot is used again");
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get_mut(second), Some(&mut "second"));
        assert_eq!(table.tokens(), [second]);
        assert_eq!(table.token_at(slot_of(second)), Some(second));
    }

    #[test]
    fn vacated_slots_are_filled_before_new_ones() {
        let mut table = Table::new();
        let tokens: Vec<_> = ["a", "b", "c"].into_iter().map(|value| insert(&mut table, value)).collect();
        table.remove(tokens[0]);
        table.remove(tokens[2]);
        let again = [insert(&mut table, "d"), insert(&mut table, "e")].map(slot_of);
        assert_eq!(again, [2, 0]);
        assert_eq!(slot_of(insert(&mut table, "f")), 3);
    }
}
