//! The queue as its template prints it: cards, the filter, what is in trouble, and why the list is empty when it is.
//! Decided here from what was read; the template only prints.

use jiff::{SignedDuration, Timestamp};

use super::card::Card;
use super::mine::{Mark, Scope};
use super::trouble::{self, Trouble};
use crate::access::unattended::Rules;
use crate::domain::text::visible;
use crate::store::queue::{Listed, MOST, SourceSight, Waiting};
use crate::web::display::count;
use crate::web::parts::Moment;

/// So many cards at most: what a phone loads at once (U-03) and a small portal makes quickly for everybody (P-06).
pub const CARDS: usize = 50;

/// What a person asked the queue for. Empty text matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default)]
pub struct Filter {
    pub q: String,
    pub source: String,
    /// Counts from 1; 0 and 1 are the first.
    pub page: u32,
    /// `all`: everything, also for who may decide some of it only.
    pub show: String,
}

impl Filter {
    /// Whether it leaves anything out.
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.q.trim().is_empty() || !self.source.is_empty()
    }

    fn takes(&self, waiting: &Waiting) -> bool {
        if !self.source.is_empty() && waiting.shown.gate.source.as_str() != self.source {
            return false;
        }
        let text = searched(waiting).to_lowercase();
        self.q.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }

    /// Whether it is what everybody sees first.
    #[must_use]
    pub fn is_first_page(&self) -> bool {
        !self.is_set() && self.page <= 1 && self.q.is_empty()
    }

    /// How many to skip and how many to read: with words to look for everything, else a page.
    #[must_use]
    pub fn part(&self) -> (i64, i64) {
        let cards = i64::try_from(CARDS).expect("a page is small");
        if self.is_set() { (0, MOST) } else { (i64::from(self.page.max(1) - 1) * cards, cards) }
    }

    /// The address of another page of the same list.
    fn address(&self, page: usize) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("q", &self.q).append_pair("source", &self.source).append_pair("page", &page.to_string());
        if self.show == "all" {
            query.append_pair("show", "all");
        }
        format!("/?{}", query.finish())
    }
}

/// Everything about an approval that the filter looks through.
fn searched(waiting: &Waiting) -> String {
    let shown = &waiting.shown;
    let gate = &shown.gate;
    let mut parts = vec![gate.pipeline.as_str(), gate.stage.as_str(), gate.action.as_str(), &shown.execution];
    parts.extend([shown.account.as_str(), shown.region.as_str()]);
    parts.extend(shown.comment.as_ref().map(|comment| comment.text.as_str()));
    for revision in &shown.revisions {
        parts.push(&revision.id);
        parts.extend(revision.message.as_ref().map(|message| message.text.as_str()));
        parts.extend(revision.author.as_deref());
    }
    for source in &waiting.sources {
        parts.extend([&source.branch, &source.author, &source.author_email].into_iter().flatten().map(String::as_str));
    }
    parts.extend(waiting.trigger.as_ref().and_then(|trigger| trigger.detail.as_deref()));
    parts.extend(waiting.live.as_ref().map(|live| live.by.as_str()));
    parts.join("\n")
}

/// What the queue is looked at with.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    pub now: Timestamp,
    /// How long after a complete read a source counts as not being read.
    pub late: SignedDuration,
    /// What the portal does by itself with what nobody decides.
    pub rules: &'a Rules,
}

/// The queue.
#[derive(Debug, Clone)]
pub struct QueueView {
    /// `12 approvals wait for a decision.`
    pub tally: String,
    pub cards: Vec<Card>,
    pub filter: Filter,
    /// Whether the person may decide some of it and not all, and so can choose what to see.
    pub is_partial: bool,
    pub sources: Vec<SourceChoice>,
    pub troubles: Vec<Trouble>,
    pub empty: Option<Empty>,
    /// When everything was last read.
    pub read_at: Option<Moment>,
    pub previous: Option<String>,
    pub next: Option<String>,
}

/// One source to filter by.
#[derive(Debug, Clone)]
pub struct SourceChoice {
    pub name: String,
    pub label: String,
    pub is_chosen: bool,
}

/// Why there is no card.
#[derive(Debug, Clone)]
pub struct Empty {
    pub headline: String,
    pub explanation: String,
    /// What else to look at: label and address.
    pub offer: Option<(&'static str, &'static str)>,
}

impl QueueView {
    /// What the page shows.
    #[must_use]
    pub fn of(listed: &Listed, sight: &[SourceSight], filter: Filter, look: Look<'_>) -> Self {
        let is_whole = filter.is_set();
        Self::part(listed, sight, filter, (&Scope::Plain, is_whole), look).0
    }

    /// The same for who may decide some of it, with whose each card is. `listed` is everything that waits.
    #[must_use]
    pub fn for_some(
        listed: &Listed,
        sight: &[SourceSight],
        filter: Filter,
        scope: &Scope,
        look: Look<'_>,
    ) -> (Self, Vec<Mark>) {
        Self::part(listed, sight, filter, (scope, true), look)
    }

    /// Without `is_whole` what is listed is one page; with it, everything that was looked through.
    fn part(
        listed: &Listed,
        sight: &[SourceSight],
        filter: Filter,
        (scope, is_whole): (&Scope, bool),
        look: Look<'_>,
    ) -> (Self, Vec<Mark>) {
        let now = look.now;
        let takes = |waiting: &&Waiting| filter.takes(waiting) && scope.takes(waiting, now);
        let matching: Vec<&Waiting> = listed.waiting.iter().filter(takes).collect();
        let (before, among) = if is_whole { (0, matching.len() as u64) } else { (listed.skipped, listed.all) };
        let last_page = usize::try_from(among).unwrap_or(usize::MAX).div_ceil(CARDS).max(1);
        let page = if is_whole { filter.page.max(1) as usize } else { before as usize / CARDS + 1 };
        let page = page.min(last_page);
        let skip = if is_whole { (page - 1) * CARDS } else { 0 };
        let on_page = || matching.iter().skip(skip).take(CARDS);
        let marks = on_page().map(|waiting| scope.mark(waiting, now)).collect();
        let troubles = trouble::list(sight, now, look.late);
        let swept = sight.iter().filter(|source| source.configured).map(|source| source.swept_at);
        let read_at = swept.min().flatten().map(|at| Moment::new(at, now));
        let is_mine = scope.is_mine();
        let view = Self {
            tally: tally(among, listed.all, &filter, is_mine),
            cards: on_page().map(|waiting| Card::of(waiting, sight, look)).collect(),
            sources: choices(sight, &filter),
            empty: (among == 0)
                .then(|| Empty::of(listed.all, sight, troubles.iter().any(|it| it.hides), is_mine && !filter.is_set())),
            troubles,
            read_at,
            previous: (page > 1).then(|| filter.address(page - 1)),
            next: (page < last_page).then(|| filter.address(page + 1)),
            is_partial: scope.is_partial(),
            filter: Filter { q: visible(&filter.q), ..filter },
        };
        (view, marks)
    }
}

fn tally(matching: u64, all: u64, filter: &Filter, is_mine: bool) -> String {
    let wait = if matching == 1 { "waits" } else { "wait" };
    let total = count(all, "approval", "approvals");
    let looked_through = MOST.unsigned_abs();
    if is_mine {
        let are = if matching == 1 { "is" } else { "are" };
        let matches = if filter.is_set() { "match the filter and " } else { "" };
        let all = if all > looked_through { format!("the first {looked_through} of {total}") } else { total };
        return format!("{matching} of {all} {matches}{are} yours to decide.");
    }
    match filter.is_set() {
        true if all > looked_through => {
            format!(
                "{matching} of the first {looked_through} of {total} match the filter; the others were not looked at."
            )
        }
        true => format!("{matching} of {total} match the filter."),
        false => format!("{total} {wait} for a decision."),
    }
}

fn choices(sight: &[SourceSight], filter: &Filter) -> Vec<SourceChoice> {
    let choice = |source: &SourceSight| SourceChoice {
        name: source.name.clone(),
        label: trouble::name_with_place(source),
        is_chosen: source.name == filter.source,
    };
    sight.iter().map(choice).collect()
}

impl Empty {
    fn of(all: u64, sight: &[SourceSight], in_trouble: bool, is_mine: bool) -> Self {
        let (headline, explanation, offers) = if all > 0 && is_mine {
            ("Nothing waits for your decision", "What waits is for others to decide.", true)
        } else if all > 0 {
            ("Nothing matches the filter", "Other approvals wait for a decision.", true)
        } else if sight.is_empty() {
            (
                "No source is known yet",
                "The portal has not read AWS since it was set up. That takes a few seconds after the first start; if this \
                 stays, ask the operator to check the sources in countersign.toml.",
                false,
            )
        } else if sight.iter().any(|source| source.swept_at.is_none() && source.blind.is_none()) {
            ("AWS is being read for the first time", "What waits will appear here as it is found.", false)
        } else if in_trouble {
            ("Nothing is known to wait", "Not everything can be read just now: see above.", false)
        } else {
            ("Nothing waits for a decision", "New approvals appear here by themselves.", false)
        };
        let offer = match is_mine {
            true => ("Show everything that waits", "/?show=all"),
            false => ("Show all", "/"),
        };
        Self { headline: headline.to_owned(), explanation: explanation.to_owned(), offer: offers.then_some(offer) }
    }
}

#[cfg(test)]
pub mod samples {
    //! The queue in every situation it knows.

    use std::slice::from_ref;

    use super::*;
    use crate::domain::decision::State;
    use crate::web::approver::samples::{
        HOSTILE, blind, deaf, degraded, hostile_shown, live, now, shown, sight, waiting,
    };

    pub fn view(waiting: &[Waiting], sight: &[SourceSight], q: &str) -> QueueView {
        paged(waiting, sight, Filter { q: q.to_owned(), ..Filter::default() })
    }

    /// As the store hands out the part that the filter asks for.
    pub fn paged(waiting: &[Waiting], sight: &[SourceSight], filter: Filter) -> QueueView {
        let (skipping, at_most) = filter.part();
        let (skipping, at_most) = (usize::try_from(skipping).unwrap(), usize::try_from(at_most).unwrap());
        let skipped = skipping.min((waiting.len().max(1) - 1) / at_most * at_most);
        let listed = Listed {
            waiting: waiting.iter().skip(skipped).take(at_most).cloned().collect(),
            skipped: skipped as u64,
            all: waiting.len() as u64,
        };
        let rules = Rules::default();
        let look = Look { now: now(), late: SignedDuration::from_mins(2), rules: &rules };
        QueueView::of(&listed, sight, filter, look)
    }

    pub fn all() -> Vec<(&'static str, QueueView)> {
        let one = waiting(1, shown("shop"));
        let busy = Waiting { live: Some(live(HOSTILE, State::Unsure)), newer: 3, ..waiting(2, shown("billing")) };
        let old = Waiting { unread_since: Some(now()), trigger: None, ..waiting(3, shown("search")) };
        let hostile = |n| Waiting { live: Some(live(HOSTILE, State::Intent)), ..waiting(n, hostile_shown()) };
        let unswept = SourceSight { swept_at: None, ..sight() };
        let removed = SourceSight { configured: false, ..sight() };
        vec![
            ("no source", view(&[], &[], "")),
            ("first read", view(&[], &[unswept], "")),
            ("nothing waits", view(&[], &[sight()], "")),
            ("blind and empty", view(&[], &[blind()], "")),
            ("filtered to nothing", view(from_ref(&one), &[sight()], "nonesuch")),
            ("hostile filter", view(from_ref(&one), &[sight()], HOSTILE)),
            ("one", view(from_ref(&one), &[sight()], "")),
            ("many", view(&[one, busy, old], &[sight(), degraded(), blind(), deaf(), removed], "")),
            ("full", view(&(0..200).map(|n| waiting(n, shown("shop"))).collect::<Vec<_>>(), &[sight()], "")),
            ("longest", view(&(0..250).map(hostile).collect::<Vec<_>>(), &[sight()], "")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::approver::samples::{blind, deaf, degraded, now, shown, sight, waiting};
    use samples::{paged, view};

    #[test]
    fn the_filter_looks_through_pipeline_comment_commit_and_person_word_by_word() {
        let both = [waiting(1, shown("shop")), waiting(2, shown("billing"))];
        for (q, found) in [
            ("", 2),
            ("SHOP", 1),
            ("shop release", 1),
            ("gift cards", 2),
            ("3f1c0de5", 2),
            ("mia billing", 1),
            ("smoke shop nothing", 0),
            ("%", 0),
        ] {
            assert_eq!(view(&both, &[sight()], q).cards.len(), found, "{q}");
        }
        assert_eq!(view(&both, &[sight()], "shop").tally, "1 of 2 approvals match the filter.");
    }

    #[test]
    fn a_source_that_cannot_be_read_is_told_with_since_when_why_and_what_to_do() {
        let told = view(&[], &[sight(), blind(), degraded()], "").troubles;
        assert_eq!(told[0].headline, "Source prod (111122223333, eu-west-1) cannot be read.");
        assert!(told[0].why.as_deref().unwrap().starts_with("AWS does not allow codepipeline:ListPipelines"));
        assert!(told[0].so.contains("Tell the operator"));
        assert_eq!(told[1].headline, "Source prod (111122223333, eu-west-1) was last read completely 1 h ago.");
        assert_eq!(told[2].headline, "7 pipelines of source prod (111122223333, eu-west-1) cannot be read.");
        assert!(told[2].so.ends_with(", …."), "{}", told[2].so);
    }

    #[test]
    fn a_queue_that_cannot_be_relied_on_is_told_with_since_when_why_and_what_to_do_and_blinds_nobody() {
        let told = view(&[], &[deaf()], "").troubles;
        let [told] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!(told.headline, "What AWS announces of source prod (111122223333, eu-west-1) cannot be relied on.");
        assert!(told.since.is_some() && told.why.as_deref().unwrap().starts_with("AWS says there is no such queue."));
        assert!(told.so.contains("none is missed") && told.so.contains("tell the operator"));
        assert!(!told.is_total);
        assert_eq!(view(&[], &[deaf()], "").empty.unwrap().headline, "Nothing waits for a decision");
    }

    #[test]
    fn more_than_a_page_of_approvals_is_paged_and_the_filter_kept() {
        let many: Vec<_> = (0..230).map(|n| waiting(n, shown("shop"))).collect();
        let page = |page| paged(&many, &[sight()], Filter { page, ..Filter::default() });
        assert_eq!((page(0).cards.len(), page(5).cards.len(), page(99).cards.len()), (50, 30, 30));
        assert_eq!(page(99).previous, page(5).previous);
        assert_eq!((page(1).previous, page(5).next), (None, None));
        let found = |page| paged(&many, &[sight()], Filter { q: "shop".into(), page, ..Filter::default() });
        assert_eq!((found(0).cards.len(), found(5).cards.len(), found(99).cards.len()), (50, 30, 30));
        assert_eq!(found(2).next.as_deref(), Some("/?q=shop&source=&page=3"));
        assert_eq!(found(1).previous, None);
    }

    #[test]
    fn a_filter_says_so_when_it_did_not_look_through_everything() {
        let listed = Listed { waiting: vec![waiting(1, shown("shop"))], skipped: 0, all: 2_345 };
        let filter = Filter { q: "shop".into(), ..Filter::default() };
        let rules = Rules::default();
        let look = Look { now: now(), late: SignedDuration::from_mins(2), rules: &rules };
        let view = QueueView::of(&listed, &[sight()], filter, look);
        assert_eq!(
            view.tally,
            "1 of the first 2000 of 2,345 approvals match the filter; the others were not looked at."
        );
    }
}
