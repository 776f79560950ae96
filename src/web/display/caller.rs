//! Who an ARN is, and what started a run, in words. The full ARN always goes along, so that nothing rests on the reading.

use askama::Template;
use askama::filters::HtmlSafe;

use crate::domain::caller;
use crate::domain::text::visible;

/// Somebody or something at AWS.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "parts/caller.html")]
pub struct Caller {
    /// `ana@example.com as role Admin (111122223333)`.
    pub name: String,
    /// The whole ARN where `name` is a reading of it.
    pub arn: Option<String>,
}

impl Caller {
    /// Reads the ARNs that CodePipeline reports; anything else stays as it is.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let text = visible(text);
        match caller::name_in(&text) {
            Some(name) => Self { name, arn: Some(text) },
            None => Self { name: text, arn: None },
        }
    }
}

impl HtmlSafe for Caller {}

/// What AWS said about a run's start.
#[derive(Debug, Clone, Copy)]
pub struct TriggerRead<'a> {
    pub kind: &'a str,
    pub detail: Option<&'a str>,
}

/// What or who started a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// `by hand`, `by a push`; a kind AWS invents later is shown as AWS writes it.
    pub how: String,
    pub by: Option<Caller>,
}

impl Started {
    #[must_use]
    pub fn read(trigger: TriggerRead<'_>) -> Self {
        let how = caller::start_in_words(trigger.kind).map_or_else(|| visible(trigger.kind), str::to_owned);
        Self { how, by: by(trigger) }
    }
}

fn by(trigger: TriggerRead<'_>) -> Option<Caller> {
    trigger.detail.filter(|detail| !detail.trim().is_empty()).map(Caller::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_read_as_people_and_keep_the_whole() {
        let cases = [
            (
                "arn:aws:sts::111122223333:assumed-role/Admin/ana@example.com",
                "ana@example.com as role Admin (111122223333)",
            ),
            ("arn:aws:iam::111122223333:user/team/bob", "user bob (111122223333)"),
            ("arn:aws:iam::111122223333:root", "the root user of 111122223333"),
            ("arn:aws-cn:iam::111122223333:role/deploy", "role deploy (111122223333)"),
            ("arn:aws:events:eu-west-1:111122223333:rule/nightly", "EventBridge rule nightly (111122223333)"),
            ("arn:aws:codepipeline:eu-west-1:111122223333:webhook:push", "webhook push (111122223333)"),
        ];
        for (arn, name) in cases {
            let caller = Caller::read(arn);
            assert_eq!(caller.name, name);
            assert_eq!(caller.arn.as_deref(), Some(arn));
        }
    }

    #[test]
    fn a_start_is_told_in_words_and_an_unknown_kind_as_aws_writes_it() {
        let read = |kind, detail| Started::read(TriggerRead { kind, detail });
        let by_hand = read("StartPipelineExecution", Some("arn:aws:iam::111122223333:user/ana"));
        assert_eq!(
            (by_hand.how.as_str(), by_hand.by.unwrap().name.as_str()),
            ("by hand or by a program", "user ana (111122223333)")
        );
        assert_eq!(read("QuantumHook", Some(" ")), Started { how: "QuantumHook".into(), by: None });
    }

    #[test]
    fn what_is_no_known_arn_stays_as_it_is_but_visible() {
        assert_eq!(Caller::read("arn:aws:sqs:eu-west-1:1:q").arn, None);
        assert_eq!(Caller::read("arn:aws:sts::1:assumed-role/only-role").arn, None);
        assert_eq!(Caller::read("\u{202e}bob").name, "⟨U+202E⟩bob");
    }
}
