//! The queue that a source's announcements arrive in (SQS), read with the source's own credentials. What it holds is text from
//! outside, which nobody here reads. Nothing is repeated here: whoever receives goes on receiving.

use std::fmt;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_codepipeline::config::http::HttpResponse;
use aws_sdk_codepipeline::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::config::timeout::TimeoutConfig;
use aws_sdk_sqs::config::{Builder, Region};
use aws_sdk_sqs::types::DeleteMessageBatchRequestEntry;
use url::Url;

use super::body_limit::BodyLimit;
use super::error::{clip, read_error};
use super::gateway::Gateway;
use super::observed::{Missing, ReadError};
use crate::config::SourceConfig;

/// The most that SQS gives at once, and deletes at once.
pub const BATCH: usize = 10;
/// How long a message that was received is kept from others. Longer than the work it causes takes on a bad day.
pub const HIDDEN: Duration = Duration::from_secs(120);
/// The longest that SQS lets anybody wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Ten messages of a megabyte each, written as JSON.
const LARGEST_ANSWER: u64 = 24 << 20;
/// Ids are SQS's own and shorter.
const MAX_ID: usize = 100;

/// The connection to one queue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queue {
    gateway: Gateway,
    url: Url,
}

/// A message as it was received. Its body never prints.
pub struct Message {
    pub id: String,
    pub body: String,
    pub receipt: Receipt,
}

/// What a message is deleted with.
#[derive(Clone, PartialEq, Eq)]
pub struct Receipt(String);

impl Receipt {
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl Gateway {
    /// The source's queue, if it has one.
    #[must_use]
    pub fn queue(&self) -> Option<Queue> {
        let url = self.source().queue_url.clone()?;
        Some(Queue { gateway: self.clone(), url })
    }
}

impl Queue {
    /// Receives up to ten messages, waiting up to `wait` (at most [`LONGEST_WAIT`]) for the first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn receive(&self, wait: Duration) -> Result<Vec<Message>, ReadError> {
        let seconds = |time: Duration| i32::try_from(time.as_secs()).unwrap_or(i32::MAX);
        let call = self.client()?.receive_message().queue_url(self.url.as_str());
        let call = call.max_number_of_messages(10).wait_time_seconds(seconds(wait.min(LONGEST_WAIT)));
        let output = call.visibility_timeout(seconds(HIDDEN)).send();
        let output = self.sort("sqs:ReceiveMessage", Box::pin(output).await).await?;
        Ok(output.messages.unwrap_or_default().into_iter().filter_map(message).collect())
    }

    /// Deletes messages. How many of them were not: they come again.
    ///
    /// # Errors
    /// [`ReadError`]: it is not known which were.
    pub async fn delete(&self, receipts: &[Receipt]) -> Result<usize, ReadError> {
        let mut failed = 0;
        for batch in receipts.chunks(BATCH) {
            let entries = batch.iter().enumerate().map(|(number, receipt)| {
                let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string());
                entry.receipt_handle(&receipt.0).build().expect("both members that the model requires are set")
            });
            let call = self.client()?.delete_message_batch().queue_url(self.url.as_str());
            let output = Box::pin(call.set_entries(Some(entries.collect())).send());
            let Ok(output) = tokio::time::timeout(self.gateway.settings().attempt, output).await else {
                return Err(ReadError::Unreachable("it did not answer in time".into()));
            };
            failed += self.sort("sqs:DeleteMessage", output).await?.failed.len();
        }
        Ok(failed)
    }

    fn client(&self) -> Result<Client, ReadError> {
        self.gateway.connection().queue.ok_or(ReadError::Gone(Missing::Queue))
    }

    /// Sorts an answer. Credentials that do not work are loaded again, for the next time.
    async fn sort<T, E>(
        &self,
        action: &'static str,
        answer: Result<T, SdkError<E, HttpResponse>>,
    ) -> Result<T, ReadError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let error = match answer {
            Ok(output) => return Ok(output),
            Err(failure) => read_error(action, &failure),
        };
        if matches!(error, ReadError::Credentials(_)) {
            self.gateway.renew_credentials().await;
        }
        Err(error)
    }
}

/// The client for a source's queue, if it has one. `sdk` acts as the source does.
pub(super) fn client(source: &SourceConfig, sdk: &SdkConfig, attempt: Duration) -> Option<Client> {
    let url = source.queue_url.as_ref()?;
    let timeouts = sdk.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder);
    let mut config = Builder::from(sdk)
        .interceptor(BodyLimit(LARGEST_ANSWER))
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.operation_timeout(attempt + LONGEST_WAIT).build());
    let region = region_of(url);
    if let Some(region) = region {
        config = config.region(Region::new(region.to_owned()));
    }
    // What stands in for CodePipeline does not stand in for SQS; AWS_ENDPOINT_URL_SQS does.
    if region.is_none() || source.endpoint_url.is_some() {
        config = config.endpoint_url(url.origin().ascii_serialization());
    }
    Some(Client::from_conf(config.build()))
}

/// The region in AWS's own address of a queue: `sqs.eu-west-1.amazonaws.com`, or a VPC endpoint's.
fn region_of(url: &Url) -> Option<&str> {
    let host = url.host_str()?;
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let labels: Vec<&str> = host.strip_suffix(".amazonaws.com")?.split('.').collect();
    match labels.as_slice() {
        ["sqs" | "sqs-fips", region] | [region, "queue"] => Some(region),
        _ => None,
    }
}

fn message(told: aws_sdk_sqs::types::Message) -> Option<Message> {
    let id: String = told.message_id?.chars().filter(char::is_ascii_graphic).take(MAX_ID).collect();
    Some(Message { id, body: told.body.unwrap_or_default(), receipt: Receipt::new(told.receipt_handle?) })
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({}, {} bytes)", clip(&self.id), self.body.len())
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receipt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_is_the_queues_own_where_its_address_is_awss() {
        let region = |text: &str| region_of(&Url::parse(text).unwrap()).map(str::to_owned);
        assert_eq!(region("https://sqs.eu-west-1.amazonaws.com/111122223333/q").as_deref(), Some("eu-west-1"));
        assert_eq!(region("https://sqs.cn-north-1.amazonaws.com.cn/1/q").as_deref(), Some("cn-north-1"));
        assert_eq!(region("https://eu-west-1.queue.amazonaws.com/1/q").as_deref(), Some("eu-west-1"));
        assert_eq!(region("https://vpce-1-2.sqs.eu-west-1.vpce.amazonaws.com/1/q"), None, "asked by its own name");
        assert_eq!(region("http://127.0.0.1:5000/1/q"), None);
    }

    #[test]
    fn a_message_prints_neither_its_body_nor_its_receipt() {
        let message = Message { id: "m-1".into(), body: "secret".into(), receipt: Receipt::new("handle") };
        assert_eq!(format!("{message:?} {:?}", message.receipt), "Message(m-1, 6 bytes) Receipt");
    }
}
