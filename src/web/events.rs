//! `GET /events`: hints that something on the page has changed, for as long as the page is open (P-11). A page that hears
//! one asks for itself again, with its own rights; nothing of what changed is in here, so there is nothing to see that its
//! person may not see (S-31).
//!
//! Comments keep the connection known to be alive; a reader that is gone without a word is found out by them, and one that
//! takes nothing costs its place and [`hints::WAITING`] hints, until the socket's own time-out.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::error::Failure;
use super::extract::SignedIn;
use super::state::AppState;
use super::streams::{Full, Place};
use crate::hints::{self, Topic};
use crate::random::Random;

const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// A fifth more or less, so that streams do not all come back at once.
const LASTS: Duration = Duration::from_secs(15 * 60);
/// What changed this shortly before a stream begins, its page may have been made without: a page comes here within a
/// second or two, and a change is heard of within six (H-05).
const LATELY: Duration = Duration::from_secs(15);
/// When whoever found no place may ask again.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Opens a stream.
///
/// # Errors
/// 503 with `Retry-After` when this session, or the process, has as many as it may have.
pub async fn listen(State(app): State<AppState>, SignedIn(person): SignedIn) -> Result<Response, Failure> {
    // Listened to before anything is looked at, so that nothing is missed in between.
    let hints = app.hearing.hints().listen();
    let place = app.streams.enter(person.session).map_err(full)?;
    let is_late = app.hearing.hints().has_told_within(LATELY);
    let stream = Stream::new(place, hints, Pace::of(&app.random), is_late);
    let chunks = futures::stream::unfold(stream, |mut stream| async move {
        stream.next().await.map(|chunk| (Ok::<_, Infallible>(chunk), stream))
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // Proxies that collect answers before they pass them on are asked not to.
        (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

fn full(full: Full) -> Failure {
    let text = match full {
        Full::Session => "Too many pages of this session are open at once. This one refreshes now and then by itself.",
        Full::Process => "Too many pages are open at once. This one refreshes now and then by itself.",
        Full::Leaving => "This part of the portal is about to stop.",
    };
    let after = if full == Full::Leaving { Duration::from_secs(2) } else { ASK_AGAIN };
    Failure::unavailable(after).saying(text)
}

/// The times of one stream.
#[derive(Debug, Clone, Copy)]
struct Pace {
    comment_every: Duration,
    lasts: Duration,
    /// When the page comes back after an end.
    back_after: Duration,
}

impl Pace {
    fn of(random: &Random) -> Self {
        Self {
            comment_every: COMMENT_EVERY,
            lasts: LASTS.mul_f64(0.8 + 0.4 * random.fraction()),
            back_after: Duration::from_secs(1).mul_f64(1.0 + 3.0 * random.fraction()),
        }
    }
}

/// What one page hears.
struct Stream {
    place: Place,
    hints: hints::Listener,
    comments: Interval,
    ends_at: Instant,
    /// Said first.
    greeting: Option<String>,
    is_over: bool,
}

impl Stream {
    fn new(place: Place, hints: hints::Listener, pace: Pace, is_late: bool) -> Self {
        let now = Instant::now();
        let mut comments = tokio::time::interval_at(now + pace.comment_every, pace.comment_every);
        comments.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut greeting = format!("retry: {}\n\n", pace.back_after.as_millis());
        if is_late {
            greeting.push_str(&event(Topic::Everything));
        }
        Self { place, hints, comments, ends_at: now + pace.lasts, greeting: Some(greeting), is_over: false }
    }

    /// What is said next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting.into());
        }
        let said = tokio::select! {
            biased;
            () = self.place.over() => None,
            () = self.place.leaving() => None,
            () = tokio::time::sleep_until(self.ends_at) => None,
            heard = self.hints.next() => heard.map(event),
            _ = self.comments.tick() => Some(":\n\n".to_owned()),
        };
        self.is_over = said.is_none();
        said.map(Bytes::from)
    }
}

fn event(topic: Topic) -> String {
    format!("event: hint\ndata: {topic}\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ApprovalId, SessionId};
    use crate::hints::Hints;
    use crate::web::streams::Streams;
    use uuid::Uuid;

    const LONG: Duration = Duration::from_secs(3600);
    const STILL: Pace = Pace { comment_every: LONG, lasts: LONG, back_after: Duration::from_secs(2) };

    fn stream(pace: Pace, is_late: bool) -> (Stream, Hints, Streams) {
        let (hints, streams) = (Hints::default(), Streams::default());
        let place = streams.enter(SessionId(Uuid::from_u128(1))).unwrap();
        (Stream::new(place, hints.listen(), pace, is_late), hints, streams)
    }

    async fn said(stream: &mut Stream) -> String {
        stream.next().await.map(|chunk| String::from_utf8(chunk.to_vec()).unwrap()).unwrap_or_default()
    }

    #[tokio::test]
    async fn it_says_when_to_come_back_and_then_only_that_something_changed() {
        let (mut stream, hints, _streams) = stream(STILL, false);
        let id = ApprovalId(Uuid::from_u128(7));
        hints.tell(Topic::Approval(id));
        assert_eq!(said(&mut stream).await, "retry: 2000\n\n");
        assert_eq!(said(&mut stream).await, format!("event: hint\ndata: approval {id}\n\n"));
    }

    #[tokio::test]
    async fn a_page_made_shortly_after_a_change_is_told_to_look_again() {
        let (mut stream, _hints, _streams) = stream(STILL, true);
        assert_eq!(said(&mut stream).await, "retry: 2000\n\nevent: hint\ndata: refetch\n\n");
    }

    #[tokio::test]
    async fn a_comment_is_said_when_there_is_nothing_else_to_say() {
        let (mut stream, _hints, _streams) = stream(Pace { comment_every: Duration::from_millis(1), ..STILL }, false);
        said(&mut stream).await;
        assert_eq!(said(&mut stream).await, ":\n\n");
    }

    #[tokio::test]
    async fn it_ends_when_its_time_is_over_and_when_the_portal_leaves() {
        let (mut brief, _hints, _streams) = stream(Pace { lasts: Duration::ZERO, ..STILL }, false);
        assert_eq!(said(&mut brief).await, "retry: 2000\n\n");
        assert_eq!(said(&mut brief).await, "");
        let (mut leaving, _hints, streams) = stream(STILL, false);
        streams.leave();
        said(&mut leaving).await;
        assert_eq!(said(&mut leaving).await, "");
        drop(leaving);
        assert_eq!(streams.count(), 0);
    }

    #[test]
    fn streams_last_about_a_quarter_of_an_hour() {
        // P-11: 15 min, a fifth more or less.
        let random = Random::seeded(4);
        for _ in 0..1000 {
            let lasts = Pace::of(&random).lasts;
            assert!((720.0..=1080.0).contains(&lasts.as_secs_f64()), "{lasts:?}");
        }
    }
}
