//! What a browser is, in a few words of our own.

/// "Firefox on Windows". Browsers claim to be each other, so the order matters; nothing depends on the answer.
#[must_use]
pub fn name_of(user_agent: &str) -> String {
    let first = |names: &[(&str, &'static str)]| {
        names.iter().find(|(mark, _)| user_agent.contains(mark)).map_or("another", |(_, name)| *name)
    };
    let browser = first(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        ("another", "another") => "A program of another kind".to_owned(),
        ("another", system) => format!("Another browser on {system}"),
        (browser, "another") => browser.to_owned(),
        (browser, system) => format!("{browser} on {system}"),
    }
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn browsers_are_named_in_a_few_words() {
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/156.0 Safari/537.36 Edg/156.0";
        let phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 20_0 like Mac OS X) AppleWebKit/605 Version/20.0 Safari/604.1";
        assert_eq!(name_of(edge), "Edge on Windows");
        assert_eq!(name_of(phone), "Safari on iPhone");
        assert_eq!(name_of("curl/8.1"), "A program of another kind");
        assert_eq!(name_of("<script>"), "A program of another kind");
    }
}
