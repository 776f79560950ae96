//! How large an answer may be. AWS's largest real answers are a few hundred kilobytes.

use aws_sdk_codepipeline::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_codepipeline::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_codepipeline::error::BoxError;

/// The most bytes of an answer that are read.
const LARGEST_ANSWER: u64 = 8 << 20;

/// Refuses to read an answer that says it is larger than any real one (U-04). An endless one ends with the attempt's time.
#[derive(Debug)]
pub(super) struct BodyLimit;

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
            Some(length) if length > LARGEST_ANSWER => Err(format!("the answer has {length} bytes").into()),
            _ => Ok(()),
        }
    }
}
