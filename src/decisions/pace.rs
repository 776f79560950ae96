//! How long things may take. Every figure a decision's life depends on stands here, with where it comes from.

use std::time::Duration;

use jiff::SignedDuration;

use crate::random::Random;

/// A decision in the hands of a sender that does not come back is looked at by others after this. Longer than the whole
/// of an attempt with its credentials (D-05: 10 s), short enough for F-35.
pub const LEASE: SignedDuration = SignedDuration::from_secs(15);
/// How long a person's decision may wait for the database in all, for a connection and every lock, before they are told
/// that nothing was recorded (F-32) …
pub const WAITING: Duration = Duration::from_secs(2);
/// … and how long a statement may take at least, whatever was spent on waiting before.
pub const LEAST_WAITING: Duration = Duration::from_millis(200);
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
/// What could not be rejected under a rule just now is looked at again after this.
pub const UNATTENDED_AGAIN: SignedDuration = SignedDuration::from_secs(60);
/// A rejection that AWS does not take is tried at least this often for as long as its approval lasts.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(15);

/// When to send again after a send that surely had no effect: 0.5 s × 2^n with full jitter, at most 30 s (D-05). A
/// rejection may be tried for days, and each try leaves two records: from ten minutes on, a tenth of its age, at most
/// [`LONGEST_PAUSE`].
#[must_use]
pub fn resend_after(attempt: i32, age: SignedDuration, random: &Random) -> SignedDuration {
    if age > APPROVAL_LASTS {
        let most = (age / 10).min(LONGEST_PAUSE);
        return share(most, 0.5 + 0.5 * random.fraction());
    }
    let exponent = attempt.clamp(0, 6).unsigned_abs();
    share(SignedDuration::from_millis((500_i64 << exponent).min(30_000)), random.fraction())
}

fn share(of: SignedDuration, part: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(of.as_secs_f64() * part).unwrap_or(of)
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
    fn sending_again_never_waits_longer_than_half_a_minute_in_the_first_ten() {
        let random = Random::seeded(3);
        for attempt in 0..40 {
            let wait = resend_after(attempt, APPROVAL_LASTS, &random);
            assert!(wait >= SignedDuration::ZERO && wait <= SignedDuration::from_secs(30), "{attempt}: {wait:?}");
        }
    }

    #[test]
    fn a_rejection_throttled_for_a_week_is_tried_some_hundred_times_and_at_least_every_quarter_of_an_hour() {
        let random = Random::seeded(7);
        let (mut age, mut attempts, mut longest) = (SignedDuration::ZERO, 0, SignedDuration::ZERO);
        while age < SignedDuration::from_hours(7 * 24) {
            let wait = resend_after(attempts, age, &random);
            age += wait + SignedDuration::from_secs(1);
            attempts += 1;
            longest = longest.max(wait);
        }
        assert!((700..1_200).contains(&attempts), "{attempts}");
        assert!(longest > SignedDuration::from_mins(14) && longest <= SignedDuration::from_mins(15), "{longest:?}");
    }
}
