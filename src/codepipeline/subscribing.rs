//! The one call of SNS's that the portal makes, signed with a source's credentials. Only signed here: whoever asks for it knows
//! the way. AWS's SDK for SNS would be a hundred operations for this one.

use std::time::SystemTime;

use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Method, Request};
use url::{Url, form_urlencoded};

use super::gateway::Gateway;
use crate::domain::topics::TopicArn;

/// Under which name it appears in CloudTrail when a role is assumed.
const SESSION: &str = "countersign-subscribe";
const FORM: &str = "application/x-www-form-urlencoded";

impl Gateway {
    /// `ConfirmSubscription` for a topic of this source's account and region, signed at `now`. Who removes the subscription must
    /// sign that too: without it every message would carry an address that does so for whoever fetches it.
    ///
    /// # Errors
    /// Why there are no credentials to sign with.
    pub async fn sign_confirmation(&self, topic: &TopicArn, token: &str, now: Timestamp) -> Result<Request, String> {
        let credentials = self.connection().credentials_for(self.source(), SESSION).await?;
        let url = Url::parse(&format!("https://{}/", topic.host())).map_err(|error| error.to_string())?;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", "ConfirmSubscription")
            .append_pair("Version", "2010-03-31")
            .append_pair("TopicArn", topic.as_str())
            .append_pair("Token", token)
            .append_pair("AuthenticateOnUnsubscribe", "true")
            .finish();
        let identity = credentials.into();
        let params = SigningParams::builder()
            .identity(&identity)
            .region(topic.region())
            .name("sns")
            .time(SystemTime::from(now))
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| error.to_string())?;
        let host = topic.host();
        let headers = [("host", host.as_str()), ("content-type", FORM)];
        let signable = SignableBody::Bytes(body.as_bytes());
        let signable = SignableRequest::new("POST", url.as_str(), headers.into_iter(), signable);
        let signed = signable.and_then(|request| sign(request, &params.into())).map_err(|error| error.to_string())?;
        let (added, _) = signed.into_parts();
        let mut request = Request::new(Method::POST, url);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
        for (name, value) in added.headers() {
            let mut value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            value.set_sensitive(true);
            request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).map_err(|e| e.to_string())?, value);
        }
        *request.body_mut() = Some(body.into());
        Ok(request)
    }
}
