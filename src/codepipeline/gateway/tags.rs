//! What a pipeline is tagged with. A permission of its own, and asked for only where somebody's right to decide hangs on it.

use aws_sdk_codepipeline::Client;

use super::reading::all_pages;
use super::{Gateway, MOST_PAGES, Page};
use crate::codepipeline::convert;
use crate::codepipeline::observed::ReadError;
use crate::domain::access::Tags;
use crate::domain::ids::PipelineName;

impl Gateway {
    /// Every tag of a pipeline of this account.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn list_tags(&self, account: &str, name: &PipelineName) -> Result<Tags, ReadError> {
        let region = self.region();
        let arn = &format!("arn:{}:codepipeline:{region}:{account}:{name}", partition(&region));
        let page = |token: Option<String>| async move {
            let call = |c: Client| {
                let request = c.list_tags_for_resource().resource_arn(arn);
                request.max_results(100).set_next_token(token.clone()).send()
            };
            let output = self.read("codepipeline:ListTagsForResource", call).await?;
            let tags = output.tags.ok_or_else(|| convert::missing("tags"))?;
            let items = tags.into_iter().map(|tag| (convert::clean(&tag.key), convert::clean(&tag.value)));
            Ok(Page { items: items.collect(), next: convert::text(output.next_token.as_deref()) })
        };
        Ok(all_pages(page, MOST_PAGES).await?.into_iter().collect())
    }
}

/// The first part of an ARN there.
fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_of_one_partition() {
        let found = ["eu-west-1", "cn-north-1", "us-gov-west-1"].map(partition);
        assert_eq!(found, ["aws", "aws-cn", "aws-us-gov"]);
    }
}
