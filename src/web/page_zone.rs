//! The time zone in which the page that is being made shows times: that of its person. The guard sets it for the time of one
//! request; outside of one it is UTC.
//!
//! It is ambient on purpose. Nearly every page shows times, in parts of parts; a zone handed down through all of them would
//! be forgotten somewhere, and that page would be wrong for a few people and right in every test. Nothing may be decided by
//! it: it is for showing. Records, files and mails are made in UTC, whoever asks for them.

use jiff::tz::TimeZone;

tokio::task_local! {
    static ZONE: TimeZone;
}

/// Makes an answer whose times are shown in this zone.
pub async fn shown_in<T>(zone: TimeZone, answer: impl Future<Output = T>) -> T {
    ZONE.scope(zone, answer).await
}

/// The zone of the page that is being made.
#[must_use]
pub fn current() -> TimeZone {
    ZONE.try_with(Clone::clone).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_requests_at_once_have_a_zone_each_and_nobody_has_utc() {
        let zone = |name: &str| crate::domain::zone::parse(name).unwrap();
        let shown = |name: &'static str| {
            shown_in(zone(name), async {
                tokio::task::yield_now().await;
                current().iana_name().unwrap().to_owned()
            })
        };
        let (one, other) = tokio::join!(shown("Europe/Berlin"), shown("Asia/Tokyo"));
        assert_eq!((one.as_str(), other.as_str()), ("Europe/Berlin", "Asia/Tokyo"));
        assert_eq!(current(), TimeZone::UTC);
    }
}
