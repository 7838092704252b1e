//! Several token sequences in one row, in which a beginning that some share stands once.

use std::ops::Range;

use prunebench_tensor::Segment;

/// Token sequences laid out one after another for [`crate::Decoder::hidden_packed`]. A sequence that begins as the one before
/// it reuses those rows, as far as both agree, so sequences in lexicographic order share all that they can.
#[derive(Clone, Debug)]
pub struct Packed {
    /// Tokens that every sequence starts with, and that have no row.
    pub(crate) prefix: usize,
    pub(crate) ids: Vec<u32>,
    /// Of each row, in its sequence.
    pub(crate) positions: Vec<usize>,
    pub(crate) segments: Vec<Segment>,
    /// The rows of each sequence after the prefix.
    paths: Vec<Vec<Range<usize>>>,
}

impl Packed {
    /// Packs sequences that all start with the same `prefix` tokens, whose keys and values are in a cache.
    pub fn new(sequences: &[&[u32]], prefix: usize) -> Self {
        let mut packed = Self {
            prefix,
            ids: Vec::new(),
            positions: Vec::new(),
            segments: Vec::new(),
            paths: Vec::with_capacity(sequences.len()),
        };
        let mut previous: &[u32] = &[];
        for &sequence in sequences {
            packed.push(sequence, shared(previous, sequence).max(prefix.min(sequence.len())));
            previous = sequence;
        }
        packed
    }

    /// Rows, which are the tokens that the model reads.
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// The row of a sequence's token at `position`; `None` in the prefix and beyond the end.
    pub fn row(&self, sequence: usize, position: usize) -> Option<usize> {
        let mut left = position.checked_sub(self.prefix)?;
        self.paths[sequence].iter().find_map(|rows| {
            if left < rows.len() {
                return Some(rows.start + left);
            }
            left -= rows.len();
            None
        })
    }

    /// Adds a sequence whose first `known` tokens are the prefix or the last sequence's.
    fn push(&mut self, sequence: &[u32], known: usize) {
        let mut path: Vec<Range<usize>> = Vec::new();
        let mut wanted = known - self.prefix.min(known);
        for rows in self.paths.last().into_iter().flatten() {
            let part = rows.start..rows.end.min(rows.start + wanted);
            wanted -= part.len();
            if !part.is_empty() {
                path.push(part);
            }
        }
        let new = self.ids.len()..self.ids.len() + sequence.len() - known;
        if !new.is_empty() {
            self.ids.extend_from_slice(&sequence[known..]);
            self.positions.extend(known..sequence.len());
            match path.last_mut() {
                Some(last) if last.end == new.start => last.end = new.end,
                _ => path.push(new.clone()),
            }
            // Keys are those of the cache, then those of the rows.
            let cached = std::iter::once(0..self.prefix).filter(|prefix| !prefix.is_empty());
            let rows = path.iter().map(|rows| self.prefix + rows.start..self.prefix + rows.end);
            self.segments.push(Segment {
                queries: new,
                keys: cached.chain(rows).collect(),
            });
        }
        self.paths.push(path);
    }
}

/// Where the T tokens of each row of a batch stand in their sequences, and who sees whom.
#[derive(Clone, Debug)]
pub struct Rows {
    pub(crate) positions: Vec<usize>,
    pub(crate) segments: Option<Vec<Segment>>,
}

impl Rows {
    /// Each row is one sequence of so many tokens.
    pub fn whole(tokens: usize) -> Self {
        Self {
            positions: (0..tokens).collect(),
            segments: None,
        }
    }

    /// The one row holds several sequences, one after another, of which none sees another.
    pub fn apart(parts: &[Range<usize>]) -> Self {
        let segment = |part: &Range<usize>| Segment {
            queries: part.clone(),
            keys: vec![part.clone()],
        };
        Self {
            positions: parts.iter().flat_map(|part| 0..part.len()).collect(),
            segments: Some(parts.iter().map(segment).collect()),
        }
    }
}

/// Tokens that both sequences begin with.
pub fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_beginning_stands_once_and_is_seen_by_all() {
        let packed = Packed::new(&[&[1, 2, 3, 4], &[1, 2, 5], &[1, 2, 5, 6], &[1, 2, 5, 6], &[7]], 0);
        assert_eq!(packed.ids, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(packed.positions, [0, 1, 2, 3, 2, 3, 0]);
        let pair = |rows: &Range<usize>| (rows.start, rows.end);
        let keys: Vec<_> = packed
            .segments
            .iter()
            .map(|s| (pair(&s.queries), s.keys.iter().map(pair).collect::<Vec<_>>()))
            .collect();
        let expected = [
            ((0, 4), vec![(0, 4)]),
            ((4, 5), vec![(0, 2), (4, 5)]),
            ((5, 6), vec![(0, 2), (4, 6)]),
            ((6, 7), vec![(6, 7)]),
        ];
        assert_eq!(keys, expected);
        let rows = |sequence: usize| -> Vec<usize> { (0..9).map_while(|at| packed.row(sequence, at)).collect() };
        assert_eq!(rows(0), [0, 1, 2, 3]);
        assert_eq!(rows(2), [0, 1, 4, 5]);
        assert_eq!(rows(3), rows(2));
        assert_eq!(rows(4), [6]);
    }

    #[test]
    fn a_cached_prefix_has_no_rows_and_comes_first_among_the_keys() {
        let packed = Packed::new(&[&[1, 2, 3], &[1, 2, 4, 5]], 2);
        assert_eq!(
            (packed.ids.as_slice(), packed.positions.as_slice()),
            ([3, 4, 5].as_slice(), [2, 2, 3].as_slice())
        );
        assert_eq!(packed.segments[0].keys, [0..2, 2..3]);
        assert_eq!(packed.segments[1].keys, [0..2, 3..5]);
        assert_eq!(
            (packed.row(1, 1), packed.row(1, 2), packed.row(1, 4)),
            (None, Some(1), None)
        );
    }
}
