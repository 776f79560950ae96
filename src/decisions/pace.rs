//! How long things may take. Every figure a decision's life depends on stands here, with where it comes from.

use jiff::SignedDuration;

use crate::random::Random;

/// A decision in the hands of a sender that does not come back is looked at by others after this. Longer than the whole
/// of an attempt with its credentials (D-05: 10 s), short enough for F-35.
pub const LEASE: SignedDuration = SignedDuration::from_secs(15);
/// An approval that was not sent within this is not sent by itself: its person is asked again (D-10).
pub const APPROVAL_LASTS: SignedDuration = SignedDuration::from_mins(10);
/// Nothing is sent unless the approval was read as open this recently (D-11).
pub const FRESH_READ: SignedDuration = SignedDuration::from_secs(5);
/// After a request that was never answered: as long as it may still land late (D-07).
pub const QUARANTINE: SignedDuration = SignedDuration::from_secs(60);
/// After a server error that was answered: two reads this far apart must both see the approval open (D-07).
pub const BETWEEN_READS: SignedDuration = SignedDuration::from_secs(5);
/// Unsure for this long: a person has to look (section 3.2).
pub const ASK_A_PERSON: SignedDuration = SignedDuration::from_mins(15);

/// When to send again after a send that surely had no effect: 0.5 s × 2^n with full jitter, at most 30 s (D-05).
#[must_use]
pub fn resend_after(attempt: i32, random: &Random) -> SignedDuration {
    let exponent = attempt.clamp(0, 6).unsigned_abs();
    let most = (500_u32 << exponent).min(30_000);
    SignedDuration::try_from_secs_f64(f64::from(most) / 1000.0 * random.fraction()).unwrap_or(SignedDuration::ZERO)
}

/// When to read back again: at once, then after 2, 4, 8 … 60 s (D-12).
#[must_use]
pub fn read_again_after(steps: i32) -> SignedDuration {
    let exponent = steps.clamp(0, 5).unsigned_abs() + 1;
    SignedDuration::from_secs(i64::from((1_u32 << exponent).min(60)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_back_slows_down_to_once_a_minute() {
        let waits: Vec<_> = (0..8).map(|step| read_again_after(step).as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn sending_again_never_waits_longer_than_half_a_minute() {
        let random = Random::seeded(3);
        for attempt in 0..40 {
            let wait = resend_after(attempt, &random);
            assert!(wait >= SignedDuration::ZERO && wait <= SignedDuration::from_secs(30), "{attempt}: {wait:?}");
        }
    }
}
