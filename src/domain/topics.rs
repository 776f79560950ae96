//! SNS topics by their ARN, and what follows from one: where SNS is for it, and by which names SNS signs.

use std::fmt;

use serde::Deserialize;

/// The ARN of a standard topic, in a partition whose SNS is known.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct TopicArn {
    text: String,
    partition: Partition,
    region: String,
    account: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Partition {
    Aws,
    China,
    GovCloud,
}

/// Why a text is no topic that can be listened to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} {problem}")]
pub struct BadTopic {
    text: String,
    problem: &'static str,
}

impl TopicArn {
    /// # Errors
    /// [`BadTopic`], which says what an ARN of a topic looks like.
    pub fn parse(text: impl Into<String>) -> Result<Self, BadTopic> {
        let text = text.into();
        let read = read(&text).map(|(partition, region, account)| (partition, region.to_owned(), account.to_owned()));
        match read {
            Ok((partition, region, account)) => Ok(Self { text, partition, region, account }),
            Err(problem) => Err(BadTopic { text: text.chars().take(300).collect(), problem }),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn region(&self) -> &str {
        &self.region
    }

    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Where SNS is for this topic: the one host that its certificates come from and that its calls go to.
    #[must_use]
    pub fn host(&self) -> String {
        format!("sns.{}.{}", self.region, self.suffix())
    }

    /// The names of which a certificate must have one for SNS to have signed with it. Not the host's: most regions sign as
    /// `sns.amazonaws.com`, the newer ones as `sns-signing.<region>.amazonaws.com`, GovCloud and China by names of their own
    /// (AWS SDK for Java 2.x, `SnsHostProvider`; certificates of us-west-2 and af-south-1 of 2026).
    #[must_use]
    pub fn signing_names(&self) -> Vec<String> {
        let (region, suffix) = (&self.region, self.suffix());
        let of_partition = match self.partition {
            Partition::Aws => format!("sns.{suffix}"),
            Partition::China => format!("sns-{region}.{suffix}"),
            // Both of its regions.
            Partition::GovCloud => format!("sns-us-gov-west-1.{suffix}"),
        };
        vec![of_partition, format!("sns-signing.{region}.{suffix}"), self.host()]
    }

    fn suffix(&self) -> &'static str {
        match self.partition {
            Partition::Aws | Partition::GovCloud => "amazonaws.com",
            Partition::China => "amazonaws.com.cn",
        }
    }
}

type Place<'a> = (Partition, &'a str, &'a str);

fn read(text: &str) -> Result<Place<'_>, &'static str> {
    let example = "must look like arn:aws:sns:eu-west-1:111122223333:approvals";
    let parts: Vec<&str> = text.split(':').collect();
    let ["arn", partition, "sns", region, account, name] = parts.as_slice() else { return Err(example) };
    let partition = match *partition {
        "aws" => Partition::Aws,
        "aws-cn" => Partition::China,
        "aws-us-gov" => Partition::GovCloud,
        _ => return Err("is in a partition other than aws, aws-us-gov and aws-cn, whose SNS is not known here"),
    };
    let of_region = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let of_name = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !(3..=32).contains(&region.len()) || !region.bytes().all(of_region) {
        return Err(example);
    }
    if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
        return Err(example);
    }
    if name.ends_with(".fifo") {
        return Err("is a FIFO topic, which SNS does not deliver over HTTPS");
    }
    if !(1..=256).contains(&name.len()) || !name.bytes().all(of_name) {
        return Err(example);
    }
    Ok((partition, region, account))
}

impl TryFrom<String> for TopicArn {
    type Error = BadTopic;
    fn try_from(text: String) -> Result<Self, BadTopic> {
        Self::parse(text)
    }
}

impl fmt::Display for TopicArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(text: &str) -> TopicArn {
        TopicArn::parse(text).unwrap()
    }

    #[test]
    fn a_topic_says_where_its_sns_is_and_by_which_names_it_signs() {
        let ireland = topic("arn:aws:sns:eu-west-1:111122223333:approvals");
        assert_eq!((ireland.region(), ireland.account()), ("eu-west-1", "111122223333"));
        assert_eq!(ireland.host(), "sns.eu-west-1.amazonaws.com");
        let names = ["sns.amazonaws.com", "sns-signing.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com"];
        assert_eq!(ireland.signing_names(), names);
        let beijing = topic("arn:aws-cn:sns:cn-north-1:111122223333:a");
        assert_eq!(beijing.host(), "sns.cn-north-1.amazonaws.com.cn");
        assert_eq!(beijing.signing_names()[0], "sns-cn-north-1.amazonaws.com.cn");
        let gov = topic("arn:aws-us-gov:sns:us-gov-east-1:111122223333:a");
        assert_eq!(gov.host(), "sns.us-gov-east-1.amazonaws.com");
        assert_eq!(gov.signing_names()[0], "sns-us-gov-west-1.amazonaws.com");
    }

    #[test]
    fn what_is_no_topic_is_refused_and_told_what_one_looks_like() {
        for text in [
            "",
            "approvals",
            "arn:aws:sqs:eu-west-1:111122223333:q",
            "arn:aws:sns:eu-west-1:111122223333",
            "arn:aws:sns:eu-west-1:111122223333:a:subscription",
            "arn:aws:sns:eu.evil.example/:111122223333:a",
            "arn:aws:sns:EU-WEST-1:111122223333:a",
            "arn:aws:sns::111122223333:a",
            "arn:aws:sns:eu-west-1:1111:a",
            "arn:aws:sns:eu-west-1:11112222333x:a",
            "arn:aws:sns:eu-west-1:111122223333:",
            "arn:aws:sns:eu-west-1:111122223333:a b",
            "arn:aws:sns:eu-west-1:111122223333:a\n",
        ] {
            let error = TopicArn::parse(text).unwrap_err().to_string();
            assert!(error.contains("arn:aws:sns:eu-west-1:111122223333:approvals"), "{error}");
        }
        let error = |text: &str| TopicArn::parse(text).unwrap_err().to_string();
        assert!(error("arn:aws:sns:eu-west-1:111122223333:a.fifo").contains("FIFO"));
        assert!(error("arn:aws-iso:sns:us-iso-east-1:111122223333:a").contains("partition"));
    }
}
