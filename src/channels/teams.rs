//! A message as a workflow of Teams takes it: an Adaptive Card. What is not ours stands in `TextRun`s, which know no Markdown where
//! a `TextBlock` does. There is nothing on it that decides, and nothing that goes stale: links to our own pages alone.

use serde_json::{Value, json};

use super::message::Message;

pub(super) fn body(message: &Message) -> Value {
    let mut parts = Vec::new();
    if message.items.len() != 1 || message.more > 0 {
        parts.push(line(&json!({ "type": "TextRun", "text": message.title, "weight": "Bolder", "size": "Medium" })));
    }
    for item in &message.items {
        parts.push(line(&json!({ "type": "TextRun", "text": item.title, "weight": "Bolder" })));
        for text in &item.lines {
            parts.push(line(&json!({ "type": "TextRun", "text": text })));
        }
        let (label, address) = &item.link;
        let opens = json!({ "type": "Action.OpenUrl", "url": address });
        parts.push(line(&json!({ "type": "TextRun", "text": label, "color": "Accent", "selectAction": opens })));
    }
    if message.more > 0 {
        parts.push(line(&json!({ "type": "TextRun", "text": format!("And {} more.", message.more) })));
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
        "fallbackText": "Something waits for a decision, or waits no longer. This card cannot be shown here.", "body": parts,
    });
    let attachment =
        json!({ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card });
    json!({ "type": "message", "attachments": [attachment] })
}

fn line(run: &Value) -> Value {
    json!({ "type": "RichTextBlock", "inlines": [run] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channels::message::Item;

    #[test]
    fn nothing_from_aws_stands_where_markdown_is_read() {
        let hostile = "[Approve](https://evil.example) **now** <at>everyone</at>";
        let link = ("Open the approval", "https://portal.example/approvals/1".to_owned());
        let item = Item { title: hostile.to_owned(), lines: vec![hostile.to_owned()], link };
        let message = Message { title: hostile.to_owned(), items: vec![item.clone(), item], more: 1 };
        let body = body(&message);
        let card = &body["attachments"][0]["content"];
        for part in card["body"].as_array().unwrap() {
            assert_eq!(part["type"], "RichTextBlock");
            let run = &part["inlines"][0];
            assert_eq!(run["type"], "TextRun");
            if let Some(opens) = run.get("selectAction") {
                assert_eq!(opens["url"], "https://portal.example/approvals/1");
            }
        }
        // Without entities, nobody is mentioned.
        assert!(card.get("msteams").is_none() && card.get("actions").is_none());
    }
}
