//! From the SDK's errors to ours, by code first and by status second. The texts are for people: what was wrong and what to
//! do about it.

use std::error::Error;

use aws_sdk_codepipeline::config::http::HttpResponse;
use aws_sdk_codepipeline::error::{ConnectorError, DisplayErrorContext, ProvideErrorMetadata, SdkError};

use super::observed::{Missing, ReadError};
use crate::domain::text::Clipped;

/// Keeps a message of AWS's or of a library short enough to store and to show.
pub(super) fn clip(text: &str) -> String {
    Clipped::new(text, 1000).text
}

/// Whether the request was surely not written: no connection was made. `is_io` alone does not say so: a connection that
/// was reset after the request had left is an IO error too.
pub(super) fn never_left(error: &ConnectorError) -> bool {
    // The gateway sets no read timeout, so a timeout of the connector is the connect timeout.
    if error.is_timeout() || error.is_user() {
        return true;
    }
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    while let Some(current) = source {
        if let Some(error) = current.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        source = current.source();
    }
    false
}

/// What an error and its causes say, one after the other, each once. Never their inner state, which may hold anything a
/// server sent.
fn told(error: &(dyn Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    let mut current = Some(error);
    while let Some(error) = current {
        let text = error.to_string();
        if !said.iter().any(|before| before.contains(&text)) {
            said.push(text);
        }
        current = error.source();
    }
    clip(&said.join(": "))
}

/// Sorts a failed read. `action` is the IAM action that was used.
pub(super) fn read_error<E>(action: &'static str, failure: &SdkError<E, HttpResponse>) -> ReadError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let status = failure.raw_response().map(|response| response.status().as_u16());
    let context = || told(failure);
    match failure {
        SdkError::ServiceError(error) => by_code(action, error.err().code(), error.err().message(), status),
        SdkError::ResponseError(_) => match status {
            Some(429) => ReadError::Throttled,
            Some(status) if status < 500 => ReadError::Broken(context()),
            Some(status) => ReadError::Unreachable(format!("it answered with HTTP status {status}")),
            None => ReadError::Broken(context()),
        },
        SdkError::TimeoutError(_) => ReadError::Unreachable("it did not answer in time".into()),
        SdkError::DispatchFailure(error) if error.as_connector_error().is_none_or(ConnectorError::is_other) => {
            // Credentials that cannot be loaded surface here as well, as an error that is not of the connection.
            // Only the SDK's own notes name them; those are for telling the two apart, not for people.
            let notes = DisplayErrorContext(failure).to_string().to_lowercase();
            if notes.contains("credential") {
                ReadError::Credentials(context())
            } else {
                ReadError::Unreachable(context())
            }
        }
        SdkError::ConstructionFailure(_) => ReadError::Credentials(context()),
        _ => ReadError::Unreachable(context()),
    }
}

fn by_code(action: &'static str, code: Option<&str>, message: Option<&str>, status: Option<u16>) -> ReadError {
    let message = || clip(message.unwrap_or("AWS gave no reason"));
    match code.unwrap_or_default() {
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" => ReadError::Denied { action, message: message() },
        "ThrottlingException"
        | "Throttling"
        | "ThrottledException"
        | "RequestThrottledException"
        | "RequestThrottled"
        | "TooManyRequestsException"
        | "RequestLimitExceeded" => ReadError::Throttled,
        "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "RequestExpired"
        | "RequestTimeTooSkewed"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignatureException"
        | "IncompleteSignature"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "InvalidClientTokenId" => ReadError::Credentials(message()),
        "PipelineNotFoundException" | "PipelineVersionNotFoundException" | "ResourceNotFoundException" => {
            ReadError::Gone(Missing::Pipeline)
        }
        "QueueDoesNotExist" | "AWS.SimpleQueueService.NonExistentQueue" => ReadError::Gone(Missing::Queue),
        "PipelineExecutionNotFoundException" => ReadError::Gone(Missing::Execution),
        _ if status == Some(429) => ReadError::Throttled,
        _ if status.is_some_and(|status| status >= 500) => ReadError::Unreachable(message()),
        other => ReadError::Broken(clip(&format!("{other}: {}", message()))),
    }
}

impl ReadError {
    /// Whether the same read may work a moment later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Throttled | Self::Unreachable(_))
    }

    /// What was wrong and what to do, for the page that shows a source or a pipeline as unreadable.
    #[must_use]
    pub fn explain(&self) -> String {
        match self {
            Self::Denied { action, message } => {
                let parallel = "codepipeline:ListActionExecutions";
                let more = if *action == parallel {
                    " Approvals of PARALLEL pipelines cannot be found without it."
                } else {
                    ""
                };
                format!("{message}. Allow {action} in the policy of the role or user that this source uses.{more}")
            }
            Self::Throttled => {
                "AWS asks to slow down; reading goes on more slowly. If this lasts, lower max_reads_per_second: other \
                 tools share the account's limit."
                    .into()
            }
            // AWS takes a signature for about five minutes around its own time (F-34).
            Self::Credentials(message)
                if ["Signature expired", "not yet current", "too large"].iter().any(|it| message.contains(it)) =>
            {
                format!(
                    "This machine's clock is wrong, so AWS does not take what is signed here: {message}. Set the clock (NTP)."
                )
            }
            Self::Credentials(message) => {
                format!(
                    "The AWS credentials of this source do not work: {message}. Renew them, or check its profile, role and clock."
                )
            }
            Self::Gone(missing) => format!("AWS says there is no such {missing}."),
            Self::Unreachable(message) => format!(
                "AWS could not be reached: {message}. Check the network and the endpoint; reading is tried again by itself."
            ),
            Self::NotConfigured(name) => format!("The source {name} is no longer configured."),
            Self::Broken(message) => format!("AWS gave an answer that cannot be used: {message}."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denied_read_names_the_permission_to_add() {
        let error =
            by_code("codepipeline:GetPipelineState", Some("AccessDeniedException"), Some("User x may not"), None);
        assert_eq!(
            error.explain(),
            "User x may not. Allow codepipeline:GetPipelineState in the policy of the role or user that this source uses."
        );
    }

    #[test]
    fn an_unknown_error_is_not_mistaken_for_a_passing_one() {
        let error = by_code("codepipeline:GetPipeline", Some("BrandNewException"), None, Some(400));
        assert_eq!(error, ReadError::Broken("BrandNewException: AWS gave no reason".into()));
        assert!(!error.is_passing());
        assert!(by_code("codepipeline:GetPipeline", Some("BrandNewException"), None, Some(503)).is_passing());
    }
}
