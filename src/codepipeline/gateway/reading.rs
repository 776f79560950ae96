//! One read: its turn, its repetition, and the pages of a list.

use std::future::Future;
use std::sync::PoisonError;
use std::time::Duration;

use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::config::http::HttpResponse;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use tokio::time::Instant;

use super::{Gateway, MOST_PAGES, Page};
use crate::codepipeline::credentials::Connection;
use crate::codepipeline::error::read_error;
use crate::codepipeline::observed::ReadError;
use crate::codepipeline::pace::Pace;

/// How often a read is tried in all (D-05).
const ATTEMPTS: u32 = 3;
/// How often a read of the sweep is throttled before it is given up. More than [`ATTEMPTS`]: AWS has not looked at a
/// throttled read, and while the pace is being found, many in a row are throttled that only came too early.
const THROTTLED: u32 = 6;
/// Credentials are not loaded afresh more often than this.
const RENEW_EVERY: Duration = Duration::from_secs(5);

impl Gateway {
    /// Loads the credentials again, from wherever the configuration says. False if that was done a moment ago.
    pub(in crate::codepipeline) async fn renew_credentials(&self) -> bool {
        {
            let mut renewed = self.shared.renewed.lock().unwrap_or_else(PoisonError::into_inner);
            if renewed.elapsed() < RENEW_EVERY {
                return false;
            }
            *renewed = Instant::now();
        }
        match Box::pin(Connection::open(&self.shared.source, &self.shared.settings)).await {
            Ok(connection) => {
                *self.shared.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
                true
            }
            Err(_) => false,
        }
    }

    fn pace(&self) -> &Pace {
        if self.urgent { &self.shared.urgent } else { &self.shared.sweeps }
    }

    pub(super) async fn read<T, E, F>(&self, action: &'static str, call: impl Fn(Client) -> F) -> Result<T, ReadError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let mut spent = Duration::ZERO;
        let (mut tried, mut throttled) = (0, 0);
        loop {
            self.pace().turn().await;
            let started = Instant::now();
            let left = self.shared.settings.attempt.saturating_sub(spent);
            // The SDK's futures are large, and everything that reads holds one.
            let calling = Box::pin(call(self.connection().reads));
            let error = match tokio::time::timeout(left, calling).await {
                Ok(Ok(output)) => {
                    self.pace().answered();
                    return Ok(output);
                }
                Ok(Err(failure)) => read_error(action, &failure),
                Err(_) => ReadError::Unreachable("it did not answer in time".into()),
            };
            spent += started.elapsed();
            if error == ReadError::Throttled {
                self.slow_down();
                throttled += 1;
                if !self.urgent && throttled < THROTTLED {
                    self.wait(1).await;
                    continue;
                }
            }
            tried += 1;
            let again = match &error {
                ReadError::Credentials(_) => tried == 1 && self.renew_credentials().await,
                error => error.is_passing(),
            };
            if !again || tried.max(throttled) >= ATTEMPTS || spent >= self.shared.settings.attempt {
                return Err(error);
            }
            self.wait(tried).await;
        }
    }

    /// The limit is the account's: the sweep makes room for what a person waits for. Not the other way round, or the sweep,
    /// which probes for the limit, would slow people down.
    fn slow_down(&self) {
        self.shared.sweeps.throttled();
        if self.urgent {
            self.shared.urgent.throttled();
        }
    }

    /// Full jitter: somewhere between nothing and a wait that doubles with each try.
    async fn wait(&self, tried: u32) {
        let most = self.shared.settings.first_wait * 2_u32.saturating_pow(tried);
        tokio::time::sleep(most.mul_f64(self.shared.random.fraction())).await;
    }
}

/// Reads page after page, at most `most` of them.
pub(super) async fn all_pages<T, F>(page: impl Fn(Option<String>) -> F, most: usize) -> Result<Vec<T>, ReadError>
where
    F: Future<Output = Result<Page<T>, ReadError>>,
{
    let mut all = Vec::new();
    let mut token = None;
    for _ in 0..most {
        let got = page(token.clone()).await?;
        all.extend(got.items);
        if got.next.is_none() {
            return Ok(all);
        }
        if got.next == token {
            return Err(ReadError::Broken("a list whose next page is the same page again".into()));
        }
        token = got.next;
    }
    // A caller that wants only the newest pages asked for no more; an endless list ends here for everybody.
    if most >= MOST_PAGES {
        return Err(ReadError::Broken(format!("a list of more than {MOST_PAGES} pages")));
    }
    Ok(all)
}
