//! `GET /`: everything that waits for a decision, soonest expiry first. Three queries, however much waits, and one reading
//! of the first page for all who look at it at once; one more query for what an approver may decide.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use askama::filters::HtmlSafe;
use askama_web::WebTemplate;
use axum::extract::State;
use jiff::SignedDuration;

use super::card::Card;
use super::mine::{Mark, Scope};
use super::queue_view::{Filter, Look, QueueView};
use crate::access::right::Rights;
use crate::access::unattended::Rules;
use crate::config::Config;
use crate::domain::people::Person;
use crate::store::queue::{Listed, MOST, SourceSight, list_sight, list_waiting};
use crate::web::{AppState, Failure, Query, Shell, SignedIn};

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "approver/queue.html")]
pub struct QueuePage {
    shell: Shell,
    queue: Arc<Queue>,
    /// Whose each card is, in their order.
    marks: Vec<Mark>,
    /// An approver whom no grant lets decide anything.
    has_no_grant: bool,
}

impl QueuePage {
    fn cards(&self) -> impl Iterator<Item = (&PrintedCard, &Mark)> {
        self.queue.cards.iter().zip(&self.marks)
    }
}

/// The queue as it was read. The same for everybody who asks for the same part of it, so its cards are printed once; whose
/// they are is added for each who looks.
#[derive(Debug)]
pub struct Queue {
    view: QueueView,
    above: Printed,
    cards: Vec<PrintedCard>,
    below: Printed,
}

/// Everything that waits, as it was read, for those who look for a part of it.
#[derive(Debug)]
pub struct Whole {
    listed: Listed,
    sight: Vec<SourceSight>,
    rules: Rules,
}

#[derive(Debug)]
struct PrintedCard {
    inner: Printed,
    is_old: bool,
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
#[template(path = "approver/queue_card.html", whitespace = "minimize")]
struct OneCard<'a> {
    card: &'a Card,
}

#[derive(Template)]
#[template(path = "approver/queue_above.html", whitespace = "minimize")]
struct Above<'a> {
    view: &'a QueueView,
}

#[derive(Template)]
#[template(path = "approver/queue_below.html", whitespace = "minimize")]
struct Below<'a> {
    view: &'a QueueView,
}

impl Queue {
    fn of(view: QueueView) -> Result<Self, askama::Error> {
        let print = |card: &Card| -> Result<PrintedCard, askama::Error> {
            Ok(PrintedCard { inner: Printed(OneCard { card }.render()?), is_old: card.last_seen.is_some() })
        };
        let cards = view.cards.iter().map(print).collect::<Result<_, _>>()?;
        let (above, below) = (Printed(Above { view: &view }.render()?), Printed(Below { view: &view }.render()?));
        Ok(Self { view, above, cards, below })
    }
}

/// Shows the queue. Script asks for the same page again and takes the list out of it.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn show(
    State(app): State<AppState>,
    Query(filter): Query<Filter>,
    SignedIn(person): SignedIn,
    shell: Shell,
) -> Result<QueuePage, Failure> {
    let rights = list_rights(&app, &person).await?;
    let has_no_grant = rights.as_ref().is_some_and(Rights::are_nothing);
    let scope = Scope::of(rights, &filter.show);
    if scope.is_partial() {
        return for_some(&app, filter, &scope, shell).await;
    }
    let queue = if filter.is_first_page() {
        // Whoever comes next waits for this read: it must not hang on a server that is no longer there.
        app.queue.read(app.database.pulse.or_silent(read(&app, filter))).await?
    } else {
        Arc::new(read(&app, filter).await?)
    };
    let marks = vec![Mark::Unsaid; queue.cards.len()];
    Ok(QueuePage { shell, queue, marks, has_no_grant })
}

/// What an approver may decide. One query, and none for others, who may decide nothing.
async fn list_rights(app: &AppState, person: &Person) -> Result<Option<Rights>, Failure> {
    if !person.roles.may_decide() {
        return Ok(None);
    }
    let mut conn = app.database.reads.acquire().await?;
    Ok(Some(app.access.list_rights(&mut conn, person.account).await?))
}

/// For who may decide some of what waits: everything is looked through, and read once for all who do so at the same time.
async fn for_some(app: &AppState, filter: Filter, scope: &Scope, shell: Shell) -> Result<QueuePage, Failure> {
    let whole = app.whole.read(app.database.pulse.or_silent(read_whole(app))).await?;
    let look = Look { now: app.clock.now(), late: late(&app.config), rules: &whole.rules };
    let (view, marks) = QueueView::for_some(&whole.listed, &whole.sight, filter, scope, look);
    Ok(QueuePage { shell, queue: Arc::new(Queue::of(view)?), marks, has_no_grant: false })
}

async fn read_whole(app: &AppState) -> Result<Whole, Failure> {
    let mut conn = app.database.reads.acquire().await?;
    let listed = list_waiting(&mut conn, 0, MOST).await?;
    let sight = list_sight(&mut conn).await?;
    let rules = Rules::load(&mut conn, app.clock.now()).await?;
    Ok(Whole { listed, sight, rules })
}

async fn read(app: &AppState, filter: Filter) -> Result<Queue, Failure> {
    let (skipping, at_most) = filter.part();
    let mut conn = app.database.reads.acquire().await?;
    let listed = list_waiting(&mut conn, skipping, at_most).await?;
    let sight = list_sight(&mut conn).await?;
    let now = app.clock.now();
    let rules = Rules::load(&mut conn, now).await?;
    drop(conn);
    let view = QueueView::of(&listed, &sight, filter, Look { now, late: late(&app.config), rules: &rules });
    Ok(Queue::of(view)?)
}

/// How long after a complete read a source counts as not being read: several missed rounds, and never under two minutes,
/// which one slow round of a large account may take. Where queues are heard a round begins later.
#[must_use]
pub fn late(config: &Config) -> SignedDuration {
    let rounds = config.poll_interval.saturating_mul(4);
    let has_queue = config.sources.iter().any(|source| source.queue_url.is_some());
    let rounds = if has_queue { rounds.saturating_add(config.queue_poll_interval) } else { rounds };
    rounds.max(SignedDuration::try_from(Duration::from_secs(120)).expect("two minutes fit"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::approver::queue_view::samples;
    use crate::web::approver::samples::{HOSTILE, now};
    use crate::web::parts::Moment;

    fn page(view: QueueView) -> String {
        let queue = Arc::new(Queue::of(view).unwrap());
        let until = Moment::new(now(), now());
        let marks = [Mark::For { name: HOSTILE.replace(['\u{202e}', '\u{0}', '\u{1b}'], ""), until }, Mark::Others];
        let marks = marks.into_iter().cycle().take(queue.cards.len()).collect();
        QueuePage { shell: Shell::bare("/"), queue, marks, has_no_grant: true }.render().unwrap()
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
