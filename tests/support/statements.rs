//! What is asked of the database while something is done, as its client tells it to the log.

use std::cell::RefCell;
use std::fmt;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry;

/// What a pool asks of a connection that was idle for a while: by the time that passed, and not by what is done.
const PROOF: &str = "show transaction_read_only";

static LISTENING: Once = Once::new();

tokio::task_local! {
    static ASKED: RefCell<Vec<String>>;
}

/// Does it, and says by its first words each statement that was sent meanwhile, in their order.
pub async fn asked_by<T>(act: impl Future<Output = T>) -> (T, Vec<String>) {
    // For the whole program: a log of one thread alone would miss what another thread was first to find unlistened.
    LISTENING.call_once(|| {
        let statements = Statements.with_filter(filter_fn(|metadata| metadata.target() == "sqlx::query"));
        tracing::subscriber::set_global_default(registry().with(statements)).expect("nobody else listens");
    });
    let both = async { (act.await, ASKED.with(RefCell::take)) };
    ASKED.scope(RefCell::default(), both).await
}

struct Statements;

impl<S: Subscriber> Layer<S> for Statements {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        // What is done outside concerns nobody.
        let _ = ASKED.try_with(|asked| event.record(&mut Words(&mut asked.borrow_mut())));
    }
}

struct Words<'a>(&'a mut Vec<String>);

impl Visit for Words<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let statement = value.trim_end_matches(" …");
        if field.name() == "summary" && statement != PROOF {
            self.0.push(statement.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
