//! How long whoever does not take a message is left alone before the next try.

use jiff::SignedDuration;

/// The first wait, and the longest, in seconds; each up to a quarter more.
const FIRST: f64 = 5.0;
const LONGEST: f64 = 2880.0;

/// 5 s, 10 s, 20 s … 48 min, by how often it failed in a row. `fraction` (0 to 1) adds up to a quarter, so that messages do not
/// come in step.
#[must_use]
pub fn wait_after(failures: i32, fraction: f64) -> SignedDuration {
    let doubled = FIRST * 2_f64.powi(failures.saturating_sub(1).clamp(0, 16));
    SignedDuration::from_secs_f64(doubled.min(LONGEST) * (1.0 + fraction / 4.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_5_seconds_to_an_hour_and_differ() {
        for (attempt, least) in [(1, 5.0), (2, 10.0), (3, 20.0), (10, 2560.0), (11, 2880.0), (1000, 2880.0)] {
            let waits: Vec<f64> = (0..100).map(|n| wait_after(attempt, f64::from(n) / 100.0).as_secs_f64()).collect();
            assert!(waits.iter().all(|wait| (least..=least * 1.25).contains(wait)), "{attempt}: {waits:?}");
            assert!(waits.iter().any(|wait| (wait - waits[0]).abs() > 0.1));
        }
    }
}
