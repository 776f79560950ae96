//! A message as Slack takes it. What is not ours stands in `plain_text`, which has no marks and no links, with Slack's three
//! characters escaped all the same; no word calls a whole channel. There are no buttons, because a message of an incoming webhook
//! cannot be taken back: what became of an approval is another message.

use serde_json::{Value, json};

use super::message::{Item, Message};

/// The most characters of a section, as it is sent. Slack takes 3,000.
const SECTION: usize = 2_900;
/// Words that call everybody.
const CALLS: [&str; 3] = ["channel", "here", "everyone"];

pub(super) fn body(message: &Message) -> Value {
    let mut blocks = Vec::new();
    if message.items.len() != 1 || message.more > 0 {
        blocks.push(section(&message.title));
    }
    for item in &message.items {
        blocks.push(section(&of_item(item)));
        let (label, address) = &item.link;
        let link = json!({ "type": "mrkdwn", "verbatim": true, "text": format!("<{address}|{label}>") });
        blocks.push(json!({ "type": "context", "elements": [link] }));
    }
    if message.more > 0 {
        blocks.push(section(&format!("And {} more.", message.more)));
    }
    json!({ "text": escaped(&message.title), "mrkdwn": false, "unfurl_links": false, "unfurl_media": false, "blocks": blocks })
}

fn of_item(item: &Item) -> String {
    let lines: Vec<&str> = std::iter::once(&item.title).chain(&item.lines).map(String::as_str).collect();
    lines.join("\n")
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "plain_text", "emoji": false, "text": escaped(text) } })
}

/// <https://docs.slack.dev/messaging/formatting-message-text/#escaping>; and a word that would call everybody calls nobody. What is too
/// long with that is cut, never within what stands for one character.
fn escaped(text: &str) -> String {
    let (mut out, mut length) = (String::new(), 0);
    for (at, c) in text.char_indices() {
        let calls = |word: &&str| text[at + 1..].get(..word.len()).is_some_and(|it| it.eq_ignore_ascii_case(word));
        let mut one = [0; 4];
        let written = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '@' if CALLS.iter().any(calls) => "@\u{2060}",
            other => other.encode_utf8(&mut one),
        };
        length += written.chars().count();
        if length >= SECTION {
            out.push('…');
            break;
        }
        out.push_str(written);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_aws_is_a_mark_a_link_or_a_call_to_everybody() {
        let hostile = "<!channel> <!here|x> <https://evil.example|Approve> *@channel* @Here @everyone & <@U1>";
        let link = ("Open the approval", "https://portal.example/approvals/1".to_owned());
        let item = Item { title: hostile.to_owned(), lines: vec![hostile.to_owned()], link };
        let message = Message { title: hostile.to_owned(), items: vec![item.clone(), item], more: 1 };
        let body = body(&message);
        let mut texts = vec![body["text"].as_str().unwrap()];
        for block in body["blocks"].as_array().unwrap() {
            match block["type"].as_str().unwrap() {
                "section" => {
                    assert_eq!(block["text"]["type"], "plain_text");
                    texts.push(block["text"]["text"].as_str().unwrap());
                }
                "context" => {
                    let text = &block["elements"][0]["text"];
                    assert_eq!(text, "<https://portal.example/approvals/1|Open the approval>");
                }
                other => panic!("{other} is no block of ours"),
            }
        }
        for text in texts {
            assert!(!text.contains(['<', '>']) && !text.contains("@channel") && !text.contains("@Here"), "{text}");
        }
    }

    #[test]
    fn a_section_is_never_longer_than_slack_takes_as_it_is_sent() {
        for text in ["&", "<", "@here", "ü", "&a"] {
            let sent = escaped(&text.repeat(SECTION));
            assert!(sent.chars().count() <= SECTION && sent.ends_with('…'), "{text}: {}", sent.chars().count());
            assert!(
                sent.trim_end_matches('…')
                    .rsplit('&')
                    .next()
                    .is_none_or(|last| !sent.contains('&') || last.contains(';'))
            );
        }
        assert_eq!(escaped("ana@example.com"), "ana@example.com");
    }
}
