//! What goes over the wire: answers, errors in AWS's forms, bodies that can break off. Knows HTTP and JSON, nothing of
//! pipelines.

use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::{
    Response, StatusCode,
    body::{Bytes, Frame},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::config::ErrorForm;

/// The body of an answer; it may end in an error on purpose.
pub type Body = BoxBody<Bytes, std::io::Error>;

/// An error in the service's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub code: String,
    pub message: String,
    pub status: u16,
}

impl ApiError {
    /// An error with the HTTP status AWS gives this code.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        let code = code.into();
        let status = match &*code {
            "ConflictException" => 409,
            "InternalFailure" => 500,
            "ServiceUnavailableException" => 503,
            _ => 400,
        };
        Self { code, message: message.into(), status }
    }

    /// The refusal of IAM, in its wording.
    pub fn denied(caller: &str, operation: &str, resource: &str) -> Self {
        let message =
            format!("User: {caller} is not authorized to perform: codepipeline:{operation} on resource: {resource}");
        Self::new("AccessDeniedException", message)
    }
}

/// An answer before it becomes bytes, so that faults can still spoil it.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub error_type: Option<String>,
    pub body: Vec<u8>,
    /// Promise the whole body and break off after this many bytes.
    pub break_off_at: Option<usize>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    Answer(Reply),
    /// The connection is torn down without an answer.
    Reset,
}

const AMZ_JSON: &str = "application/x-amz-json-1.1";

impl Reply {
    pub fn bytes(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, error_type: None, body: body.into(), break_off_at: None }
    }

    /// A successful answer of an operation; operations without output send an empty body.
    pub fn json(value: &Value) -> Self {
        Self::bytes(200, AMZ_JSON, if value.is_null() { Vec::new() } else { value.to_string().into_bytes() })
    }

    /// An error in the form the world asks for.
    pub fn error(error: &ApiError, form: ErrorForm) -> Self {
        // Access denied comes from another layer of AWS, which spells its member with a capital.
        let member = if error.code == "AccessDeniedException" { "Message" } else { "message" };
        let kind = match form {
            ErrorForm::Bare => Some(error.code.clone()),
            ErrorForm::Namespaced => Some(format!("com.amazonaws.codepipeline#{}", error.code)),
            ErrorForm::Header => None,
        };
        let mut body = json!({});
        if let Some(kind) = kind {
            body["__type"] = kind.into();
        }
        body[member] = error.message.clone().into();
        let error_type = match form {
            ErrorForm::Bare => None,
            ErrorForm::Namespaced => Some(error.code.clone()),
            ErrorForm::Header => {
                Some(format!("{}:http://internal.amazon.com/coral/com.amazonaws.codepipeline/", error.code))
            }
        };
        Self { error_type, ..Self::bytes(error.status, AMZ_JSON, body.to_string()) }
    }

    /// The HTTP response.
    pub fn into_response(self, request_id: &str) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::builder()
            .status(status)
            .header("content-type", self.content_type)
            .header("x-amzn-requestid", request_id);
        if let Some(kind) = self.error_type {
            response = response.header("x-amzn-errortype", kind);
        }
        let body = match self.break_off_at {
            None => Full::new(Bytes::from(self.body)).map_err(|never| match never {}).boxed(),
            Some(at) => {
                response = response.header("content-length", self.body.len());
                let mut sent = self.body;
                sent.truncate(at);
                let cut = std::io::Error::other("broken off on order");
                let first = stream::iter([Ok(Frame::data(Bytes::from(sent)))]);
                // The pause lets the first part go out; an error right away would take it along.
                let last = stream::once(async {
                    tokio::task::yield_now().await;
                    Err(cut)
                });
                BodyExt::boxed(StreamBody::new(first.chain(last)))
            }
        };
        response.body(body).expect("the headers are ours and valid")
    }
}

/// Epoch seconds with milliseconds, as AWS JSON writes instants.
pub fn seconds(at: Timestamp) -> Value {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era fit a double exactly")]
    let millis = at.as_millisecond() as f64;
    json!(millis / 1000.0)
}
