//! The two operations of STS that a client of several accounts needs: AssumeRole and GetCallerIdentity, in the query
//! protocol with XML answers.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    auth::{Caller, Credentials},
    faults::{FaultKind, Target},
    shared::Shared,
    wire::{ApiError, Outcome, Reply},
};

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Answers a request in STS's protocol. Of the faults it knows those that matter to who assumes a role: delays,
/// refusals, errors, resets.
pub async fn serve(shared: &Shared, caller: Result<Caller, ApiError>, body: &[u8]) -> Outcome {
    let operation = operation(body);
    shared.journal.received(&operation);
    let place = caller.as_ref().map(|caller| (caller.account.clone(), caller.region.clone())).unwrap_or_default();
    let target = Target { operation: &operation, pipeline: "", account: &place.0, region: &place.1 };
    let mut caller = caller;
    for (_, kind) in shared.faults.plan(target).hits {
        let refusal = match kind {
            FaultKind::Delay { ms } => {
                tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
                continue;
            }
            FaultKind::Reset { .. } => return Outcome::Reset,
            FaultKind::Throttle => ApiError::new("Throttling", "Rate exceeded"),
            FaultKind::Expired => ApiError::new("ExpiredTokenException", "The security token is expired"),
            FaultKind::Denied => ApiError { status: 403, ..ApiError::new("AccessDenied", "Access denied") },
            FaultKind::Error { status, code, message, .. } => ApiError { code, message, status },
            _ => continue,
        };
        caller = Err(refusal);
    }
    Outcome::Answer(answer(&shared.credentials, caller, body, shared.clock.now()))
}

fn operation(body: &[u8]) -> String {
    let found = url::form_urlencoded::parse(body).find(|(key, _)| key == "Action");
    found.map(|(_, value)| value.into_owned()).unwrap_or_default()
}

fn answer(credentials: &Credentials, caller: Result<Caller, ApiError>, body: &[u8], now: Timestamp) -> Reply {
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let action = operation(body);
    let done = caller.and_then(|caller| match &*action {
        "GetCallerIdentity" => Ok(identity(&caller)),
        "AssumeRole" => assume(credentials, &caller, &form, now),
        _ => Err(ApiError::new("InvalidAction", format!("Could not find operation {action} for version 2011-06-15"))),
    });
    let (status, inner) = match done {
        Ok(result) => (200, format!("<{action}Result>{result}</{action}Result>")),
        Err(error) => (error.status, failure(&error)),
    };
    let element = if status == 200 { format!("{action}Response") } else { "ErrorResponse".to_owned() };
    let request = "<RequestId>00000000-0000-4000-8000-000000000000</RequestId>";
    let request =
        if status == 200 { format!("<ResponseMetadata>{request}</ResponseMetadata>") } else { request.into() };
    let xml = format!("<{element} xmlns=\"{NAMESPACE}\">{inner}{request}</{element}>");
    Reply::bytes(status, "text/xml", xml)
}

fn failure(error: &ApiError) -> String {
    // The query protocol spells a few codes without the suffix that the JSON protocol gives them.
    let code = match &*error.code {
        "ExpiredTokenException" => "ExpiredToken",
        "UnrecognizedClientException" => "InvalidClientTokenId",
        "InvalidSignatureException" => "SignatureDoesNotMatch",
        "MissingAuthenticationTokenException" => "MissingAuthenticationToken",
        "IncompleteSignatureException" => "IncompleteSignature",
        other => other,
    };
    format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{}</Message></Error>", escape(&error.message))
}

fn identity(caller: &Caller) -> String {
    let (arn, account, key) = (escape(&caller.arn), &caller.account, &caller.access_key);
    format!("<Arn>{arn}</Arn><UserId>{key}</UserId><Account>{account}</Account>")
}

fn assume(
    credentials: &Credentials,
    caller: &Caller,
    form: &BTreeMap<String, String>,
    now: Timestamp,
) -> Result<String, ApiError> {
    let text = |key: &str| form.get(key).map(String::as_str).unwrap_or_default();
    let (role, name) = (text("RoleArn"), text("RoleSessionName"));
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if !(2..=64).contains(&name.chars().count()) || !name.chars().all(legal) {
        let message = format!(
            "1 validation error detected: Value '{name}' at 'roleSessionName' failed to satisfy constraint: Member must \
             satisfy regular expression pattern: [\\w+=,.@-]*"
        );
        return Err(ApiError::new("ValidationError", message));
    }
    let seconds = form.get("DurationSeconds").map_or(Ok(3600), |text| text.parse::<i64>());
    let seconds = seconds.ok().filter(|seconds| (900..=43_200).contains(seconds));
    let Some(seconds) = seconds else {
        return Err(ApiError::new("ValidationError", "DurationSeconds must be between 900 and 43200."));
    };
    let external = form.get("ExternalId").map(String::as_str);
    let session = credentials.assume(caller, (role, name), external, (SignedDuration::from_secs(seconds), now))?;
    Ok(format!(
        "<AssumedRoleUser><AssumedRoleId>AROASIMULATED:{name}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>\
         <Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey><SessionToken>{}</SessionToken>\
         <Expiration>{}</Expiration></Credentials>",
        escape(&session.arn),
        session.access_key,
        session.secret,
        session.token,
        session.expires
    ))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
