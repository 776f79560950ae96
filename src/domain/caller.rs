//! Who an ARN is, and what started a run, in words. A reading only: the whole ARN goes along wherever anything rests on it.

/// What started a run, by the kind that CodePipeline reports. None for a kind that AWS invents later.
#[must_use]
pub fn start_in_words(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "StartPipelineExecution" => "by hand or by a program",
        "CreatePipeline" => "by creating the pipeline",
        "PollForSourceChanges" => "by a change in the source",
        "Webhook" | "WebhookV2" => "by a webhook",
        "CloudWatchEvent" => "by an event",
        "PutActionRevision" => "by a custom source",
        "ManualRollback" => "by a rollback",
        "AutomatedRollback" => "by an automatic rollback",
        _ => return None,
    })
}

/// Who an ARN that CodePipeline reports is: `ana@example.com as role Admin (111122223333)`.
#[must_use]
pub fn name_in(arn: &str) -> Option<String> {
    let mut parts = arn.splitn(6, ':');
    (parts.next()? == "arn").then_some(())?;
    let (_partition, service, _region, account) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let resource = parts.next()?;
    let reading = match (service, resource.split_once('/')) {
        ("sts", Some(("assumed-role", rest))) => {
            let (role, session) = rest.split_once('/')?;
            format!("{session} as role {role} ({account})")
        }
        ("sts", Some(("federated-user", name))) => format!("federated user {name} ({account})"),
        // A path may stand before the name; the name alone is what people know.
        ("iam", Some(("user", name))) => format!("user {} ({account})", name.rsplit('/').next()?),
        ("iam", Some(("role", name))) => format!("role {} ({account})", name.rsplit('/').next()?),
        ("iam", None) if resource == "root" => format!("the root user of {account}"),
        ("events", Some(("rule", name))) => format!("EventBridge rule {name} ({account})"),
        ("codepipeline", _) => resource.strip_prefix("webhook:").map(|name| format!("webhook {name} ({account})"))?,
        ("codestar-connections" | "codeconnections", Some(_)) => format!("source connection ({account})"),
        _ => return None,
    };
    Some(reading)
}

/// The e-mail address that somebody goes by at AWS: as the name of their role session, which is what identity providers
/// make of it, or of their user. Whoever assumes a role chooses that name, so nobody may be let do anything by it.
#[must_use]
pub fn email_in(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    (parts.next()? == "arn").then_some(())?;
    let (_partition, service, _region, _account) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let resource = parts.next()?;
    let is_person = match service {
        "sts" => resource.starts_with("assumed-role/") || resource.starts_with("federated-user/"),
        "iam" => resource.starts_with("user/"),
        _ => false,
    };
    let name = resource.rsplit('/').next()?;
    (is_person && name.contains('@') && name.len() <= 254).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_who_goes_by_their_email_is_found_and_nobody_else() {
        let cases = [
            ("arn:aws:sts::111122223333:assumed-role/Admin/ana@example.com", Some("ana@example.com")),
            ("arn:aws:iam::111122223333:user/team/ben@example.com", Some("ben@example.com")),
            ("arn:aws:sts::111122223333:federated-user/cleo@example.com", Some("cleo@example.com")),
            ("arn:aws:sts::111122223333:assumed-role/Admin/session-1", None),
            ("arn:aws:iam::111122223333:role/ana@example.com", None),
            ("arn:aws:events:eu-west-1:111122223333:rule/ana@example.com", None),
            ("ana@example.com", None),
            ("", None),
        ];
        for (arn, email) in cases {
            assert_eq!(email_in(arn), email, "{arn}");
        }
    }
}
