//! Token windows: disjoint ones for scoring, random ones for calibration.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, Result};

/// The windows a perplexity is taken over, and what was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Windows<'a> {
    /// Disjoint windows of one length, in the order of the text.
    pub windows: Vec<&'a [u32]>,
    /// Windows the text has, limit or not.
    pub available: usize,
    /// Tokens after the last whole window.
    pub tail_dropped: usize,
}

/// The text's disjoint windows of `window` tokens, at most the first `limit` of them (Wanda, `lib/eval.py`).
///
/// # Errors
/// [`Error::WindowTooSmall`] below 2 tokens; [`Error::TextTooShort`] if there is not one window.
pub fn stream_windows(ids: &[u32], window: usize, limit: Option<usize>) -> Result<Windows<'_>> {
    check(ids, window, 1)?;
    let all = ids.chunks_exact(window);
    Ok(Windows {
        available: all.len(),
        tail_dropped: all.remainder().len(),
        windows: all.take(limit.unwrap_or(usize::MAX)).collect(),
    })
}

/// The first `count` disjoint windows of `window` tokens.
///
/// # Errors
/// [`Error::WindowTooSmall`] below 2 tokens; [`Error::TextTooShort`] if the text has fewer windows.
pub fn leading_windows(ids: &[u32], window: usize, count: usize) -> Result<Vec<&[u32]>> {
    check(ids, window, count)?;
    Ok(ids.chunks_exact(window).take(count).collect())
}

/// `count` windows of `window` tokens from uniformly random places, which may overlap (Wanda, `lib/data.py`). The same
/// seed gives the same windows on every machine.
///
/// # Errors
/// [`Error::WindowTooSmall`] below 2 tokens; [`Error::TextTooShort`] if the text is shorter than a window.
pub fn calibration_windows(ids: &[u32], window: usize, count: usize, seed: u64) -> Result<Vec<&[u32]>> {
    check(ids, window, 1)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let places = ids.len() - window + 1;
    Ok((0..count)
        .map(|_| {
            let start = rng.random_range(0..places);
            &ids[start..start + window]
        })
        .collect())
}

/// A window of a document: the model reads `tokens`, and its last `scored` are predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollingWindow {
    /// Context and predicted tokens, at most one more than the model is given at once.
    pub tokens: Vec<u32>,
    /// How many of the last tokens are predicted.
    pub scored: usize,
}

/// The windows over which every token of a document is predicted once (lm-eval, `get_rolling_token_windows` with one token
/// of context, then `make_disjoint_window`). The first opens with `prefix`, each later one with the token before it; the
/// last reaches back so far that the model still reads `window` tokens. None for an empty document.
///
/// # Errors
/// [`Error::WindowTooSmall`] below 2 tokens.
pub fn rolling_windows(ids: &[u32], prefix: u32, window: usize) -> Result<Vec<RollingWindow>> {
    if window < 2 {
        return Err(Error::WindowTooSmall { window });
    }
    Ok((0..ids.len())
        .step_by(window)
        .map(|start| {
            let end = ids.len().min(start + window);
            let tokens = match start {
                0 => [&[prefix], &ids[..end]].concat(),
                _ => ids[end - window - 1..end].to_vec(),
            };
            RollingWindow {
                tokens,
                scored: end - start,
            }
        })
        .collect())
}

fn check(ids: &[u32], window: usize, count: usize) -> Result<()> {
    if window < 2 {
        return Err(Error::WindowTooSmall { window });
    }
    if ids.len() / window < count {
        return Err(Error::TextTooShort {
            tokens: ids.len(),
            count,
            window,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(count: u32) -> Vec<u32> {
        (0..count).collect()
    }

    #[test]
    fn stream_windows_are_disjoint_and_drop_the_tail() {
        let ids = ids(10);
        let cut = stream_windows(&ids, 4, None).expect("long enough");
        assert_eq!(cut.windows, [&ids[0..4], &ids[4..8]]);
        assert_eq!((cut.available, cut.tail_dropped), (2, 2));
    }

    #[test]
    fn a_limit_keeps_the_first_windows_and_the_full_count() {
        let ids = ids(12);
        let cut = stream_windows(&ids, 4, Some(2)).expect("long enough");
        assert_eq!(cut.windows, [&ids[0..4], &ids[4..8]]);
        assert_eq!((cut.available, cut.tail_dropped), (3, 0));
        assert_eq!(stream_windows(&ids, 4, Some(9)).expect("long enough").windows.len(), 3);
    }

    #[test]
    fn leading_windows_are_the_first_or_an_error() {
        let ids = ids(10);
        assert_eq!(
            leading_windows(&ids, 4, 2).expect("long enough"),
            [&ids[0..4], &ids[4..8]]
        );
        let text = leading_windows(&ids, 4, 3).expect_err("too short").to_string();
        assert!(text.contains("10 tokens, but 3 window(s) of 4 need 12"), "{text}");
    }

    #[test]
    fn calibration_windows_follow_the_seed_and_reach_both_ends() {
        let ids = ids(12);
        let draw = |seed| calibration_windows(&ids, 10, 64, seed).expect("long enough");
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        let starts: Vec<u32> = draw(7).iter().map(|window| window[0]).collect();
        assert!((0..3).all(|start| starts.contains(&start)), "{starts:?}");
        assert!(draw(7).iter().all(|window| window.len() == 10));
    }

    #[test]
    fn calibration_windows_never_change_with_a_dependency() {
        let ids = ids(100_000);
        let starts: Vec<u32> = calibration_windows(&ids, 512, 4, 42)
            .expect("long enough")
            .iter()
            .map(|window| window[0])
            .collect();
        assert_eq!(starts, [22_293, 67_841, 14_563, 94_541]);
    }

    // The expected windows are those of lm-eval 0.4.13.
    #[test]
    fn rolling_windows_predict_every_token_once_and_fill_the_last() {
        let windows = |count: u32, window| -> Vec<(Vec<u32>, usize)> {
            let ids: Vec<u32> = (1..=count).collect();
            let windows = rolling_windows(&ids, 99, window).expect("wide enough");
            windows
                .into_iter()
                .map(|window| (window.tokens, window.scored))
                .collect()
        };
        assert_eq!(windows(0, 4), []);
        assert_eq!(windows(1, 4), [(vec![99, 1], 1)]);
        assert_eq!(windows(4, 4), [(vec![99, 1, 2, 3, 4], 4)]);
        assert_eq!(windows(5, 4), [(vec![99, 1, 2, 3, 4], 4), (vec![1, 2, 3, 4, 5], 1)]);
        assert_eq!(windows(8, 4), [(vec![99, 1, 2, 3, 4], 4), (vec![4, 5, 6, 7, 8], 4)]);
        assert_eq!(
            windows(10, 4),
            [
                (vec![99, 1, 2, 3, 4], 4),
                (vec![4, 5, 6, 7, 8], 4),
                (vec![6, 7, 8, 9, 10], 2)
            ]
        );
        assert_eq!(windows(7, 2).last(), Some(&(vec![5, 6, 7], 1)));
        assert!(rolling_windows(&[1, 2], 99, 1).is_err());
    }

    #[test]
    fn text_shorter_than_a_window_is_an_error() {
        for too_short in [
            stream_windows(&[1, 2, 3], 4, None).err(),
            calibration_windows(&[1, 2, 3], 4, 1, 0).err(),
            leading_windows(&[], 4, 1).err(),
        ] {
            assert!(
                matches!(too_short, Some(Error::TextTooShort { window: 4, .. })),
                "{too_short:?}"
            );
        }
        assert!(matches!(
            stream_windows(&[1, 2, 3], 1, None),
            Err(Error::WindowTooSmall { window: 1 })
        ));
        assert!(stream_windows(&[1], 0, None).is_err());
    }
}
