//! `GET /`: everything that waits for a decision, soonest expiry first. Two queries, however much waits, and one reading
//! of the first page for all who look at it at once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use askama_web::WebTemplate;
use axum::extract::State;
use jiff::SignedDuration;

use super::queue_view::{Filter, QueueView};
use crate::config::Config;
use crate::store::queue::{list_sight, list_waiting};
use crate::web::{AppState, Failure, Query, Shell};

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "approver/queue.html")]
pub struct QueuePage {
    shell: Shell,
    queue: Arc<Queue>,
}

/// The queue as it was read. The same for everybody who may see it, so its list is printed once.
#[derive(Debug)]
pub struct Queue {
    view: QueueView,
    list: Printed,
}

/// HTML that a template of ours made, in which everything from outside was escaped.
#[derive(Debug)]
struct Printed(String);

impl HtmlSafe for Printed {}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// Space between lines is for whoever reads the template; 50 cards of it are a tenth of the page.
#[derive(Template)]
#[template(path = "approver/queue_list.html", whitespace = "minimize")]
struct List<'a> {
    view: &'a QueueView,
}

impl Queue {
    fn of(view: QueueView) -> Result<Self, askama::Error> {
        let list = Printed(List { view: &view }.render()?);
        Ok(Self { view, list })
    }
}

/// Shows the queue. Script asks for the same page again and takes the list out of it.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(
    State(app): State<AppState>,
    Query(filter): Query<Filter>,
    shell: Shell,
) -> Result<QueuePage, Failure> {
    let queue = if filter.is_first_page() {
        // Whoever comes next waits for this read: it must not hang on a server that is no longer there.
        app.queue.read(app.database.pulse.or_silent(read(&app, filter))).await?
    } else {
        Arc::new(read(&app, filter).await?)
    };
    Ok(QueuePage { shell, queue })
}

async fn read(app: &AppState, filter: Filter) -> Result<Queue, Failure> {
    let (skipping, at_most) = filter.part();
    let mut conn = app.database.reads.acquire().await?;
    let listed = list_waiting(&mut conn, skipping, at_most).await?;
    let sight = list_sight(&mut conn).await?;
    drop(conn);
    let view = QueueView::of(&listed, &sight, filter, (app.clock.now(), late(&app.config)));
    Ok(Queue::of(view)?)
}

/// How long after a complete read a source counts as not being read: several missed rounds, and never under two minutes,
/// which one slow round of a large account may take.
#[must_use]
pub fn late(config: &Config) -> SignedDuration {
    let rounds = config.poll_interval.saturating_mul(4);
    rounds.max(SignedDuration::try_from(Duration::from_secs(120)).expect("two minutes fit"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::approver::queue_view::samples;

    fn page(view: QueueView) -> String {
        let queue = Arc::new(Queue::of(view).unwrap());
        QueuePage { shell: Shell::bare("/"), queue }.render().unwrap()
    }

    #[test]
    fn no_sample_of_the_queue_lets_text_from_outside_become_markup() {
        for (name, view) in samples::all() {
            let html = page(view);
            crate::web::display::assert_inert(name, &html);
        }
    }

    #[test]
    fn a_full_page_of_cards_stays_one_that_a_phone_can_load() {
        let size = |wanted: &str| {
            let (_, view) = samples::all().into_iter().find(|(name, _)| *name == wanted).unwrap();
            assert_eq!(view.cards.len(), crate::web::approver::queue_view::CARDS);
            page(view).len()
        };
        assert!(size("full") < 200_000, "{}", size("full"));
        // Every character of these is escaped; compression takes most of it back.
        assert!(size("longest") < 350_000, "{}", size("longest"));
    }

    #[test]
    fn each_reason_for_an_empty_list_is_said() {
        let say = |wanted: &str| {
            let (_, view) = samples::all().into_iter().find(|(name, _)| *name == wanted).unwrap();
            view.empty.map(|empty| empty.headline).unwrap_or_default()
        };
        assert_eq!(say("no source"), "No source is known yet");
        assert_eq!(say("first read"), "AWS is being read for the first time");
        assert_eq!(say("nothing waits"), "Nothing waits for a decision");
        assert_eq!(say("blind and empty"), "Nothing is known to wait");
        assert_eq!(say("filtered to nothing"), "Nothing matches the filter");
    }
}
