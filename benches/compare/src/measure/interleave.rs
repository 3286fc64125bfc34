//! Interleaved measurements: each round measures every candidate, so that other work on the machine affects all alike.

/// Measures each of `candidates` once in each round. A candidate for which `measure` returns `false` is left out of the
/// rounds to come, and is removed from the candidates.
pub(super) fn interleave<C>(candidates: &mut Vec<C>, rounds: usize, mut measure: impl FnMut(&mut C) -> bool) {
    for round in 0..rounds {
        let mut is_kept = vec![false; candidates.len()];
        for position in order(candidates.len(), round) {
            is_kept[position] = measure(&mut candidates[position]);
        }
        let mut is_kept = is_kept.into_iter();
        candidates.retain(|_| is_kept.next().unwrap_or(false));
    }
}

/// The order of a round: 0 1 9 2 8 3 7 ... of ten candidates. Each next round shifts all candidates by one. So no
/// candidate always follows the same one, for whose clean-up it might pay. With an even count, a candidate has a
/// different predecessor in each of `count` rounds (a Williams design, E. J. Williams 1949).
fn order(count: usize, round: usize) -> impl Iterator<Item = usize> {
    let zigzag = move |position: usize| match position % 2 {
        0 => count - position / 2,
        _ => position.div_ceil(2),
    };
    (0..count).map(move |position| (zigzag(position) + round) % count)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{interleave, order};

    #[test]
    fn everybody_once_in_each_round() {
        for count in 0..12 {
            for round in 0..15 {
                let all: BTreeSet<usize> = order(count, round).collect();
                assert_eq!(all, (0..count).collect(), "{count} in round {round}");
            }
        }
    }

    #[test]
    fn after_another_one_in_each_round() {
        for count in [2, 4, 10] {
            let mut pairs = BTreeSet::new();
            for round in 0..count {
                let order: Vec<usize> = order(count, round).collect();
                for pair in order.windows(2) {
                    assert!(pairs.insert((pair[0], pair[1])), "{pair:?} again, of {count} in round {round}");
                }
            }
            assert_eq!(pairs.len(), count * (count - 1));
        }
    }

    #[test]
    fn who_fails_is_left_out_of_what_follows() {
        let mut candidates = vec![("a", 0), ("b", 0), ("c", 0)];
        interleave(&mut candidates, 3, |(name, rounds)| {
            *rounds += 1;
            !(*name == "b" && *rounds == 2)
        });
        assert_eq!(candidates, [("a", 3), ("c", 3)]);
    }
}
