//! Time zones by their names in the IANA database. The database is the one inside this program, whatever the machine has, so
//! that every replica knows the same zones by the same rules.

use std::sync::LazyLock;

use jiff::tz::{TimeZone, TimeZoneDatabase};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// What people choose from: places, and UTC. The database's other names are older names of the same, or fixed offsets.
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let regions = [
        "Africa/",
        "America/",
        "Antarctica/",
        "Arctic/",
        "Asia/",
        "Atlantic/",
        "Australia/",
        "Europe/",
        "Indian/",
        "Pacific/",
    ];
    let places = DATABASE.available().map(|name| name.as_str().to_owned());
    let mut names: Vec<String> = places.filter(|name| regions.iter().any(|region| name.starts_with(region))).collect();
    names.sort_unstable();
    names.insert(0, "UTC".to_owned());
    names
});

/// The names to choose from: UTC, then the places by name.
#[must_use]
pub fn list_names() -> &'static [String] {
    &NAMES
}

/// The zone of one of these names.
///
/// # Errors
/// A sentence for the field.
pub fn parse(name: &str) -> Result<TimeZone, String> {
    let is_known = NAMES.iter().any(|known| known == name);
    is_known.then(|| DATABASE.get(name).ok()).flatten().ok_or_else(|| {
        "There is no time zone of this name. Choose one from the list, for example Europe/Berlin.".to_owned()
    })
}

/// The zone of a name that was kept; UTC where this release does not know it.
#[must_use]
pub fn find_or_utc(name: &str) -> TimeZone {
    parse(name).unwrap_or(TimeZone::UTC)
}

/// What a zone is called.
#[must_use]
pub fn name_of(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_to_choose_is_a_zone_and_fits_its_column() {
        assert!(list_names().len() > 300 && list_names()[0] == "UTC");
        for name in list_names() {
            assert_eq!(name_of(&parse(name).unwrap()), name);
            assert!(name.len() <= 64 && name.is_ascii());
        }
    }

    #[test]
    fn what_is_no_zone_is_told_and_reads_as_utc() {
        for name in ["", "utc", "europe/berlin", "Europe/Atlantis", "Etc/GMT+5", "../etc/passwd", "Local"] {
            assert!(parse(name).unwrap_err().contains("Europe/Berlin"), "{name}");
            assert_eq!(find_or_utc(name), TimeZone::UTC);
        }
    }

    #[test]
    fn a_zone_knows_its_summer() {
        let berlin = parse("Europe/Berlin").unwrap();
        let offset = |at: &str| berlin.to_offset(at.parse().unwrap()).seconds() / 3600;
        assert_eq!((offset("2026-11-21T12:00:00Z"), offset("2026-07-21T12:00:00Z")), (1, 2));
    }
}
