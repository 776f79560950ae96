//! How large an answer may be. AWS's largest real answers are a few hundred kilobytes.

use aws_sdk_codepipeline::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_codepipeline::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_codepipeline::error::BoxError;

/// The most bytes of an answer of CodePipeline's that are read.
pub(super) const LARGEST_ANSWER: u64 = 8 << 20;

/// Refuses to read an answer that says it has more bytes than this, more than any real one (U-04). An endless one ends with the attempt's time.
#[derive(Debug)]
pub(super) struct BodyLimit(pub u64);

impl Intercept for BodyLimit {
    fn name(&self) -> &'static str {
        "BodyLimit"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let length = context.response().headers().get("content-length").and_then(|text| text.parse::<u64>().ok());
        match length {
            Some(length) if length > self.0 => Err(format!("the answer has {length} bytes").into()),
            _ => Ok(()),
        }
    }
}
