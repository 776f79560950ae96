//! A mail about a release, with a real mail server in between that is not ours: first a scanner opens its link in a real
//! browser, runs the page's scripts and sends every form it finds; then its person reads it and decides, on a desk and on a
//! phone, with and without script (F-38, L-01, L-02).

use countersign::accounts::By;
use countersign::domain::access::{GateFields, OptionKind};
use countersign::domain::people::Role;
use jiff::SignedDuration;

use crate::chrome::{Chrome, DESKTOP, Device, PHONE};
use crate::harness::Portal;
use crate::narrow_enough;
use crate::people::deliver;
use crate::support::mail_server::MailServer;

/// Sends the forms of the page, one after the other, each with every button it has and filled in as scanners do.
const SEND_EVERYTHING: &str = "
    const done = arguments[arguments.length - 1];
    const forms = Array.from(document.forms).filter(form => form.method === 'post');
    const told = [];
    (async () => {
        for (const form of forms) {
            for (const guess of ['', 'test', 'on', '1']) {
                const fields = new URLSearchParams(new FormData(form));
                for (const field of form.querySelectorAll('input, textarea')) {
                    if (field.type === 'radio') fields.set(field.name, field.value);
                    else if (field.type !== 'hidden') fields.set(field.name, guess);
                }
                told.push((await fetch(form.action, { method: 'POST', body: fields })).status);
            }
        }
        done(told);
    })();";

async fn scan(portal: &Portal, link: &str) {
    let chrome = Chrome::start(DESKTOP).await;
    for _ in 0..3 {
        chrome.open(&format!("http://{}{link}", portal.address())).await;
        chrome.read("This mail is for ana").await;
        assert!(chrome.path().await.starts_with("/link/"), "no code stays in the address");
        let told = chrome.driver.execute_async(SEND_EVERYTHING, vec![]).await.unwrap();
        assert_eq!(
            told.json(),
            &serde_json::json!([422, 422, 422, 422]),
            "they were looked at, and refused for want of a code"
        );
    }
    chrome.quit().await;
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    assert!(portal.records_of("decision.intended").await.is_empty());
}

async fn decide_by_mail(portal: &Portal, mail: &MailServer, device: Device, verdict: &str, summary: &str) {
    portal.advance(SignedDuration::from_mins(2));
    portal.waiting("shop").await;
    for _ in 0..2 {
        while portal.state.notices.step().await.unwrap() > 0 {}
        portal.advance(SignedDuration::from_secs(10));
    }
    deliver(portal).await;
    let asking = mail.mail_for("ana@example.com", "/l/").await;
    let text = asking.text();
    let code = text.split("typing this code there: ").nth(1).expect("the mail has a code")[..7].to_owned();
    let link = asking.link("/l/");
    scan(portal, &link).await;

    let chrome = Chrome::start(device).await;
    chrome.open(&format!("http://{}{link}", portal.address())).await;
    chrome.read("This mail is for ana").await;
    narrow_enough(&chrome, device).await;
    chrome.fill("Summary", summary).await;
    // The Enter key in a field chooses nothing.
    chrome.fill("Code from the mail", &format!("{code}\u{e007}")).await;
    chrome.read("This mail is for ana").await;
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0, "nothing was chosen");
    chrome.choose(verdict).await;
    chrome.fill("Code from the mail", "00").await;
    chrome.click("button", "Send my decision").await;
    chrome.read("Type the six digits from the mail's text.").await;
    narrow_enough(&chrome, device).await;
    assert_eq!(chrome.typed("Summary").await, summary, "what was typed is kept");
    chrome.fill("Code from the mail", &code).await;
    chrome.click("button", "Send my decision").await;
    let told = chrome.read("at AWS").await;
    assert!(told.contains(summary), "{told}");
    assert!(chrome.path().await.ends_with("/result"));
    narrow_enough(&chrome, device).await;
    chrome.open(&format!("http://{}{link}", portal.address())).await;
    chrome.read("This link does not work, or does so no longer").await;
    chrome.quit().await;
    let intended = portal.records_of("decision.intended").await.pop().unwrap().payload;
    assert_eq!((&intended["channel"], &intended["mail"]["factor"]), (&"link".into(), &"mail".into()));
    assert_eq!((&intended["name"], &intended["summary"]), (&"ana".into(), &summary.into()));
}

async fn start() -> (MailServer, Portal) {
    let mail = MailServer::start();
    let portal = Portal::start_with(&mail.config()).await;
    portal.create_account("ana", &[Role::Approver]).await;
    let gates = GateFields { pipeline: "shop".into(), ..GateFields::default() };
    let chosen = portal.state.access.check_option(OptionKind::DecideByMail, &gates, "60", "").unwrap().unwrap();
    portal.state.access.set_option(&By::Operator, &chosen).await.unwrap();
    (mail, portal)
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_scanner_a_person_decides_from_their_mail_on_a_desk() {
    let (mail, portal) = start().await;
    decide_by_mail(&portal, &mail, DESKTOP, "Approve", "Read at the desk").await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_every_scanner_a_person_decides_from_their_mail_on_a_phone_without_script() {
    let (mail, portal) = start().await;
    decide_by_mail(&portal, &mail, PHONE.without_script(), "Reject", "Not from the train").await;
    portal.finish().await;
}
