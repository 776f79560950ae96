//! What the pages are made of: everything escaped, nothing inline, every job without script.

use std::path::{Path, PathBuf};

use countersign::domain::people::Role;

use crate::harness::{Page, Portal};

fn templates() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push((path.clone(), std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"), &mut found);
    assert!(found.len() > 8);
    found
}

#[test]
fn no_template_turns_escaping_off() {
    // U-02
    for (path, text) in templates() {
        for filter in ["|safe", "| safe", "|escape(", "{% autoescape", "{%- autoescape"] {
            assert!(!text.contains(filter), "{} uses {filter:?}", path.display());
        }
    }
}

#[test]
fn no_template_has_script_style_or_handlers_inline() {
    // S-41
    for (path, text) in templates() {
        assert!(!text.contains(" style="), "{}", path.display());
        assert!(!text.contains("<style"), "{}", path.display());
        assert!(!text.contains("javascript:"), "{}", path.display());
        for script in text.split("<script").skip(1) {
            assert!(script.starts_with(" src=\"{{ shell.asset("), "{}: <script{}", path.display(), &script[..40]);
        }
        let lower = text.to_lowercase();
        for handler in [" onclick", " onload", " onsubmit", " onchange", " oninput", " onerror", " onfocus"] {
            assert!(!lower.contains(handler), "{}: {handler}", path.display());
        }
    }
}

#[test]
fn every_form_that_posts_carries_its_token() {
    // S-38
    for (path, text) in templates() {
        for form in
            text.split("<form").skip(1).filter(|form| form.split('>').next().unwrap().contains("method=\"post\""))
        {
            let form = form.split("</form>").next().unwrap();
            assert!(form.contains("name=\"csrf\" value=\"{{ shell.csrf }}\""), "{}: <form{form}", path.display());
        }
    }
}

/// What every page must be for a keyboard and a screen reader.
fn assert_page_is_sound(page: &Page) {
    let body = &page.body;
    let what = format!("{} {}", page.status, page.path);
    assert!(body.starts_with("<!doctype html>\n<html lang=\"en\">"), "{what}");
    assert_eq!(body.matches("<h1").count(), 1, "{what} has one main heading");
    assert_eq!(body.matches("<main").count(), 1, "{what}");
    assert!(body.contains("href=\"#main\""), "{what} can be skipped to its content");
    assert!(body.contains("name=\"viewport\""), "{what} fits a phone");
    assert!(!body.contains("{{") && !body.contains("{%"), "{what}");
    let ids: Vec<_> = body.split(" id=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len(), "{what} uses an id twice: {ids:?}");
    for reference in ["aria-describedby=\"", "aria-labelledby=\"", " for=\""] {
        for names in body.split(reference).skip(1).filter_map(|rest| rest.split('"').next()) {
            for name in names.split(' ') {
                assert!(ids.contains(&name), "{what}: {reference}{name} names nothing");
            }
        }
    }
    assert!(body.len() < 200 * 1024, "{what} is {} bytes", body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_sound_for_keyboards_phones_and_screen_readers() {
    let portal = Portal::start().await;
    let nobody = portal.anonymous();
    assert_page_is_sound(&nobody.open("/sign-in").await);
    assert_page_is_sound(&nobody.open("/nothing").await);
    assert_page_is_sound(&nobody.open("/setup").await);
    assert_page_is_sound(&nobody.open("/forgot").await);
    assert_page_is_sound(&nobody.open("/invite/nothing").await);
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let ana = portal.as_person("ana", &[Role::Approver, Role::Auditor]).await;
    let approval = format!("/approvals/{}", portal.approval_id("shop").await);
    for path in ["/", "/?q=nothing", &approval, "/history", "/history/1", "/me", "/me/tokens", "/me/access"] {
        let page = ana.open(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_page_is_sound(&page);
    }
    let page = ana.open("/me/tokens").await;
    let made = [("label", "report"), ("scope", "read"), ("expires", "30d")];
    assert_page_is_sound(&ana.submit(&page, "/me/tokens", &made).await);
    let empty = [("label", ""), ("scope", "x"), ("expires", "x")];
    assert_page_is_sound(&ana.submit(&page, "/me/tokens", &empty).await);
    assert_page_is_sound(&ana.open("/me/tokens").await);
    portal.create_account("adam", &[Role::Admin]).await;
    let adam = portal.as_admin().await;
    assert_page_is_sound(&adam.open("/me/factors").await);
    assert_page_is_sound(&adam.open("/step-up").await);
    let page = adam.open("/me/factors").await;
    assert_page_is_sound(&adam.submit(&page, "/me/factors/recovery", &[]).await);
    let begun = adam.submit(&page, "/me/factors/totp", &[]).await;
    let page = adam.follow(&begun).await;
    assert!(page.body.contains("<svg class=\"qr\"") && !page.body.contains(" style="), "the code is drawn in place");
    assert_page_is_sound(&page);
    portal.finish().await;
}
