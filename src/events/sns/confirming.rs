//! Confirming that the portal wants what a listed topic delivers: by a call of SNS's own, signed with the credentials of the
//! source that has the topic's account and region, at SNS's own address. The address in the message would do without a
//! signature; it is never fetched (U-07). Where there is no such source, or it may not, the operator is told the command.

use reqwest::StatusCode;

use super::{Inner, add};
use crate::codepipeline::Gateway;
use crate::domain::topics::TopicArn;

impl Inner {
    /// False: SNS could not be asked, and sends the message again.
    pub(super) async fn confirm(&self, topic: TopicArn, token: &str) -> bool {
        let Some(gateway) = self.gateway_of(&topic).await else {
            by_hand(&topic, token, "no source has the topic's account and region");
            return true;
        };
        let source = gateway.source().name.clone();
        let signed = match gateway.sign_confirmation(&topic, token, self.now()).await {
            Ok(signed) => signed,
            Err(why) => {
                by_hand(&topic, token, &format!("the credentials of the source {source} cannot be loaded: {why}"));
                return true;
            }
        };
        match self.certificates.wire.ask(signed).await {
            Ok((StatusCode::OK, _)) => {
                add(&self.counts.confirmed);
                tracing::info!(%topic, %source, "SNS delivers this topic here from now on");
                true
            }
            Ok((status, _)) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                tracing::warn!(%topic, status = status.as_u16(), "the subscription could not be confirmed; SNS asks again");
                false
            }
            Ok((status, _)) => {
                let why = format!("SNS refused with {status}; allow sns:ConfirmSubscription to the source {source}");
                by_hand(&topic, token, &why);
                true
            }
            Err(why) => {
                tracing::warn!(%topic, %why, "the subscription could not be confirmed; SNS asks again");
                false
            }
        }
    }

    async fn gateway_of(&self, topic: &TopicArn) -> Option<&Gateway> {
        for gateway in self.house.gateways.iter().filter(|gateway| gateway.region() == topic.region()) {
            let account = match &gateway.source().account {
                Some(account) => Some(account.clone()),
                None => gateway.identify().await.map(|identity| identity.account),
            };
            if account.as_deref() == Some(topic.account()) {
                return Some(gateway);
            }
        }
        None
    }
}

/// The token is no secret worth keeping from the log: it does one thing, which the operator wants done, for two days.
fn by_hand(topic: &TopicArn, token: &str, why: &str) {
    tracing::warn!(
        why,
        "SNS asks whether this portal wants what {topic} delivers. Confirm it with: aws sns confirm-subscription --region {} \
         --topic-arn {topic} --authenticate-on-unsubscribe true --token {token}",
        topic.region()
    );
}
