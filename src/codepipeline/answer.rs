//! What became of one attempt to answer an approval. [`ROWS`] is the one table from AWS's error codes to what a sender may
//! conclude (D-06): a code without a row leaves the outcome unknown, never "it did not happen".

use aws_sdk_codepipeline::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_codepipeline::operation::put_approval_result::{PutApprovalResultError, PutApprovalResultOutput};
use jiff::Timestamp;

use super::convert;
use super::error::{clip, never_left};
use crate::domain::text::Clipped;

type Failure = SdkError<PutApprovalResultError, aws_sdk_codepipeline::config::http::HttpResponse>;

/// The end of exactly one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// AWS took it.
    Accepted { approved_at: Option<Timestamp> },
    /// It surely had no effect and may be sent again.
    NotApplied { why: NotApplied, code: String, message: String },
    /// It surely had no effect, and sending it again would not help.
    Refused { code: String, message: String },
    /// The request is no longer open. Who answered it, or why it is gone, has to be read back.
    TooLate { code: String, message: String },
    /// It may or may not have had an effect. Nothing may be sent until that is settled.
    Unknown { doubt: Doubt, code: Option<String>, message: String },
}

/// Why an attempt surely had no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotApplied {
    Throttled,
    /// AWS did not accept the credentials, which are read again before the next attempt.
    Credentials,
    /// The request was never written: name resolution, connecting, TLS, or fetching credentials failed.
    NeverLeft,
}

/// Why an attempt's effect is unknown. Decides how long to wait before believing an approval that still looks open (D-07).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doubt {
    /// A server error came back.
    Answered,
    /// Nothing came back: a timeout, or the connection broke.
    Unanswered,
    /// Success came back, without the time that proves it.
    Empty,
    /// An error came back whose meaning this program does not know.
    UnknownCode,
}

/// What a code means for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    NotApplied(NotApplied),
    Refused,
    TooLate,
    Unknown(Doubt),
}

/// Code → meaning. Where a code was seen: the service model's errors of `PutApprovalResult`; the common errors of the AWS
/// JSON protocol; the query-protocol spellings that proxies and other implementations send.
const ROWS: &[(&str, Row)] = &[
    ("InvalidApprovalTokenException", Row::TooLate),
    ("ApprovalAlreadyCompletedException", Row::TooLate),
    ("PipelineNotFoundException", Row::TooLate),
    ("StageNotFoundException", Row::TooLate),
    ("ActionNotFoundException", Row::TooLate),
    ("ValidationException", Row::Refused),
    ("AccessDeniedException", Row::Refused),
    ("AccessDenied", Row::Refused),
    ("NotAuthorized", Row::Refused),
    ("UnknownOperationException", Row::Refused),
    ("SerializationException", Row::Refused),
    ("ThrottlingException", Row::NotApplied(NotApplied::Throttled)),
    ("Throttling", Row::NotApplied(NotApplied::Throttled)),
    ("ThrottledException", Row::NotApplied(NotApplied::Throttled)),
    ("RequestThrottledException", Row::NotApplied(NotApplied::Throttled)),
    ("TooManyRequestsException", Row::NotApplied(NotApplied::Throttled)),
    ("RequestLimitExceeded", Row::NotApplied(NotApplied::Throttled)),
    ("UnrecognizedClientException", Row::NotApplied(NotApplied::Credentials)),
    ("ExpiredTokenException", Row::NotApplied(NotApplied::Credentials)),
    ("ExpiredToken", Row::NotApplied(NotApplied::Credentials)),
    ("RequestExpired", Row::NotApplied(NotApplied::Credentials)),
    ("RequestTimeTooSkewed", Row::NotApplied(NotApplied::Credentials)),
    ("InvalidSignatureException", Row::NotApplied(NotApplied::Credentials)),
    ("SignatureDoesNotMatch", Row::NotApplied(NotApplied::Credentials)),
    ("IncompleteSignatureException", Row::NotApplied(NotApplied::Credentials)),
    ("IncompleteSignature", Row::NotApplied(NotApplied::Credentials)),
    ("MissingAuthenticationTokenException", Row::NotApplied(NotApplied::Credentials)),
    ("MissingAuthenticationToken", Row::NotApplied(NotApplied::Credentials)),
    ("InvalidClientTokenId", Row::NotApplied(NotApplied::Credentials)),
    ("InternalFailure", Row::Unknown(Doubt::Answered)),
    ("InternalServerException", Row::Unknown(Doubt::Answered)),
    ("InternalServerError", Row::Unknown(Doubt::Answered)),
    ("ServiceUnavailableException", Row::Unknown(Doubt::Answered)),
    ("ServiceUnavailable", Row::Unknown(Doubt::Answered)),
    // Modelled for other operations. If one of them ever answers a decision, nobody knows what it did.
    ("ConflictException", Row::Unknown(Doubt::UnknownCode)),
    ("ConcurrentModificationException", Row::Unknown(Doubt::UnknownCode)),
    ("ConcurrentPipelineExecutionsLimitExceededException", Row::Unknown(Doubt::UnknownCode)),
    ("ConditionNotOverridableException", Row::Unknown(Doubt::UnknownCode)),
    ("DuplicatedStopRequestException", Row::Unknown(Doubt::UnknownCode)),
    ("PipelineExecutionNotStoppableException", Row::Unknown(Doubt::UnknownCode)),
    ("PipelineExecutionOutdatedException", Row::Unknown(Doubt::UnknownCode)),
    ("UnableToRollbackStageException", Row::Unknown(Doubt::UnknownCode)),
];

fn row(code: Option<&str>, status: u16) -> Row {
    let known = code.and_then(|code| ROWS.iter().find(|(name, _)| *name == code));
    match known {
        Some((_, row)) => *row,
        // A code wins over the status; without one, the status says whether a server failed on the way.
        None if status >= 500 => Row::Unknown(Doubt::Answered),
        None if status == 429 && code.is_none() => Row::NotApplied(NotApplied::Throttled),
        None => Row::Unknown(Doubt::UnknownCode),
    }
}

impl Answer {
    pub(super) fn from_result(result: Result<PutApprovalResultOutput, Failure>) -> Self {
        match result {
            Ok(output) => match output.approved_at.as_ref().and_then(convert::time) {
                Some(at) => Self::Accepted { approved_at: Some(at) },
                None => Self::Unknown {
                    doubt: Doubt::Empty,
                    code: None,
                    message: "AWS answered with success, but without the time of the approval".into(),
                },
            },
            Err(failure) => Self::from_failure(&failure),
        }
    }

    fn from_failure(failure: &Failure) -> Self {
        let unknown = |doubt, message: &str| Self::Unknown { doubt, code: None, message: clip(message) };
        match failure {
            SdkError::ServiceError(error) => {
                Self::from_code(error.err().code(), error.err().message(), error.raw().status().as_u16())
            }
            SdkError::ResponseError(error) if error.raw().status().is_success() => {
                unknown(Doubt::Empty, "AWS answered with success, but the answer could not be read")
            }
            SdkError::ResponseError(error) => Self::from_code(None, None, error.raw().status().as_u16()),
            SdkError::TimeoutError(_) => unknown(Doubt::Unanswered, "AWS did not answer in time"),
            SdkError::DispatchFailure(error) if error.as_connector_error().is_none_or(|error| !never_left(error)) => {
                unknown(Doubt::Unanswered, &format!("the connection to AWS broke: {}", DisplayErrorContext(failure)))
            }
            SdkError::DispatchFailure(_) | SdkError::ConstructionFailure(_) => {
                Self::never_left(&DisplayErrorContext(failure).to_string())
            }
            _ => unknown(Doubt::Unanswered, &DisplayErrorContext(failure).to_string()),
        }
    }

    pub(super) fn never_left(message: &str) -> Self {
        Self::NotApplied { why: NotApplied::NeverLeft, code: String::new(), message: clip(message) }
    }

    fn from_code(code: Option<&str>, message: Option<&str>, status: u16) -> Self {
        let row = row(code, status);
        let message = clip(message.unwrap_or(&format!("AWS answered with HTTP status {status}")));
        let code = code.map(|code| Clipped::new(code, 100).text);
        match row {
            Row::NotApplied(why) => Self::NotApplied { why, code: code.unwrap_or_default(), message },
            Row::Refused => Self::Refused { code: code.unwrap_or_default(), message },
            Row::TooLate => Self::TooLate { code: code.unwrap_or_default(), message },
            Row::Unknown(doubt) => Self::Unknown { doubt, code, message },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every code that AWS is known to send, and one it does not, with what a sender may conclude (D-06).
    #[test]
    fn every_code_has_its_row_and_an_unknown_one_is_unsure() {
        let expected: &[(&[&str], Row)] = &[
            (&["InvalidApprovalTokenException", "ApprovalAlreadyCompletedException"], Row::TooLate),
            (&["PipelineNotFoundException", "StageNotFoundException", "ActionNotFoundException"], Row::TooLate),
            (&["ValidationException", "AccessDeniedException"], Row::Refused),
            (&["UnknownOperationException", "SerializationException"], Row::Refused),
            (&["ThrottlingException"], Row::NotApplied(NotApplied::Throttled)),
            (
                &[
                    "UnrecognizedClientException",
                    "ExpiredTokenException",
                    "InvalidSignatureException",
                    "MissingAuthenticationTokenException",
                    "IncompleteSignatureException",
                ],
                Row::NotApplied(NotApplied::Credentials),
            ),
            (&["InternalFailure", "ServiceUnavailableException"], Row::Unknown(Doubt::Answered)),
            (
                &[
                    "ConflictException",
                    "ConcurrentPipelineExecutionsLimitExceededException",
                    "ConditionNotOverridableException",
                    "DuplicatedStopRequestException",
                    "PipelineExecutionNotStoppableException",
                    "PipelineExecutionOutdatedException",
                    "UnableToRollbackStageException",
                    "SomethingAwsHasNotInventedYetException",
                ],
                Row::Unknown(Doubt::UnknownCode),
            ),
        ];
        for (codes, expected) in expected {
            for code in *codes {
                assert_eq!(row(Some(code), 400), *expected, "{code}");
            }
        }
    }

    #[test]
    fn no_code_has_two_rows() {
        let mut codes: Vec<_> = ROWS.iter().map(|(code, _)| code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ROWS.len());
    }

    #[test]
    fn without_a_code_the_status_decides() {
        assert_eq!(row(None, 503), Row::Unknown(Doubt::Answered));
        assert_eq!(row(Some("NewServerTrouble"), 500), Row::Unknown(Doubt::Answered));
        assert_eq!(row(None, 429), Row::NotApplied(NotApplied::Throttled));
        assert_eq!(row(None, 400), Row::Unknown(Doubt::UnknownCode));
    }
}
