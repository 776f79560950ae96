//! ListTagsForResource: what a pipeline is tagged with. AWS takes the paging members and says that it does not page; a caller
//! that asks for small pages gets them here, so that nobody relies on that.

use serde_json::{Map, Value, json};

use super::{Request, put};
use crate::simulator::wire::ApiError;

pub fn list(request: &Request<'_>) -> Result<Value, ApiError> {
    let arn = request.text("resourceArn");
    let (region, account) = {
        let world = request.world();
        (world.settings.region.clone(), world.settings.account.clone())
    };
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, "codepipeline", place, owner, name] = parts[..] else { return Err(invalid(arn)) };
    if place != region || owner != account || name.is_empty() {
        return Err(invalid(arn));
    }
    let pipeline = request.world().find_pipeline(name, request.as_of);
    let Some(pipeline) = pipeline else { return Err(ApiError::new("ResourceNotFoundException", "")) };
    let tags: Vec<(String, String)> = pipeline.tags.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let page = request.page("ListTagsForResource", tags, |(key, _)| key.clone())?;
    let tags: Vec<Value> = page.items.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    let mut answer = Map::new();
    answer.insert("tags".to_owned(), tags.into());
    put(&mut answer, "nextToken", page.next);
    Ok(answer.into())
}

fn invalid(arn: &str) -> ApiError {
    ApiError::new("InvalidArnException", format!("The ARN {arn} is invalid."))
}
