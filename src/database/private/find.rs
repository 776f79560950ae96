//! Finds installed Postgres server programs. Owns the list of places where distributions put them, and the words that
//! say how to get them. It never downloads anything and never runs more than `--version` and `pg_config --bindir`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::PrivateError;

/// The versions a private Postgres may have.
pub const MAJORS: std::ops::RangeInclusive<u16> = 14..=18;

/// Where distributions put the programs; `{}` stands for the major version.
const PLACES: [&str; 9] = [
    "/usr/lib/postgresql/{}/bin",
    "/usr/pgsql-{}/bin",
    "/opt/homebrew/opt/postgresql@{}/bin",
    "/usr/local/opt/postgresql@{}/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@{}/bin",
    "/Applications/Postgres.app/Contents/Versions/{}/bin",
    "/usr/libexec/postgresql{}",
    "/usr/local/pgsql/bin",
    "/opt/local/lib/postgresql{}/bin",
];

/// A directory with `postgres` and `initdb` side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Programs {
    pub bin: PathBuf,
    pub major: u16,
}

/// Finds the programs. An explicit directory is the only one looked at. An existing cluster's version (`wanted`) decides;
/// otherwise the newest usable version does.
pub fn find_programs(explicit: Option<&Path>, wanted: Option<u16>) -> Result<Programs, PrivateError> {
    if let Some(bin) = explicit {
        let programs = inspect(bin).ok_or_else(|| PrivateError::NotABinDir(bin.to_owned()))?;
        return choose(vec![programs], wanted);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<Programs> = candidates(&path).iter().filter_map(|bin| inspect(bin)).collect();
    found.retain(|programs| MAJORS.contains(&programs.major));
    choose(found, wanted)
}

/// The newest, or the one an existing cluster needs.
fn choose(mut found: Vec<Programs>, wanted: Option<u16>) -> Result<Programs, PrivateError> {
    // Stable: of the same version, the one found first stays first.
    found.sort_by_key(|programs| std::cmp::Reverse(programs.major));
    let seen: Vec<u16> = found.iter().map(|programs| programs.major).collect();
    let fits = |programs: &Programs| match wanted {
        Some(major) => programs.major == major,
        None => MAJORS.contains(&programs.major),
    };
    match (found.into_iter().find(fits), wanted) {
        (Some(programs), _) => Ok(programs),
        (None, Some(wanted)) => Err(PrivateError::WrongMajor { wanted, found: list_majors(&seen), how: how_to_get() }),
        (None, None) if seen.is_empty() => Err(PrivateError::NoPrograms { how: how_to_get() }),
        (None, None) => Err(PrivateError::UnusableMajor { found: list_majors(&seen), how: how_to_get() }),
    }
}

fn list_majors(seen: &[u16]) -> String {
    if seen.is_empty() {
        return "none".to_owned();
    }
    let mut words: Vec<String> = seen.iter().map(u16::to_string).collect();
    words.dedup();
    words.join(", ")
}

fn candidates(path: &OsStr) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = std::env::split_paths(path).filter(|place| place.is_absolute()).collect();
    places.extend(ask_pg_config());
    for major in MAJORS.rev() {
        places.extend(PLACES.iter().map(|place| PathBuf::from(place.replace("{}", &major.to_string()))));
    }
    let mut seen = std::collections::HashSet::new();
    places.retain(|place| seen.insert(place.clone()));
    places
}

fn ask_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let bin = String::from_utf8(output.stdout).ok()?;
    Some(PathBuf::from(bin.trim())).filter(|bin| bin.is_absolute())
}

/// The programs in `bin`, when both are there and say their version.
fn inspect(bin: &Path) -> Option<Programs> {
    if !bin.join("initdb").is_file() || !bin.join("postgres").is_file() {
        return None;
    }
    let output =
        Command::new(bin.join("postgres")).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    Some(Programs { bin: bin.to_owned(), major: read_major(&String::from_utf8_lossy(&output.stdout))? })
}

/// `postgres (PostgreSQL) 15.18 (Debian …)`, `17beta1`, `18rc1`.
fn read_major(said: &str) -> Option<u16> {
    let version = said.strip_prefix("postgres (PostgreSQL) ")?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    version[..digits].parse().ok()
}

fn how_to_get() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let command = if cfg!(target_os = "macos") { "brew install postgresql@17" } else { install_command(&release) };
    format!("{command}. Or set DATABASE_URL to a Postgres you have")
}

fn install_command(os_release: &str) -> &'static str {
    let words = os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace());
    for word in words {
        match word {
            "debian" | "ubuntu" => return "sudo apt-get install postgresql",
            "fedora" | "rhel" | "centos" => return "sudo dnf install postgresql-server",
            "alpine" => return "apk add postgresql",
            "arch" => return "sudo pacman -S postgresql",
            "suse" | "opensuse" => return "sudo zypper install postgresql-server",
            _ => {}
        }
    }
    "install the server programs of PostgreSQL 14 to 18 (postgres and initdb) and put them on the PATH"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A directory with programs that say they are of `version`.
    fn install(root: &Path, name: &str, version: &str) -> PathBuf {
        let bin = root.join(name);
        std::fs::create_dir_all(&bin).unwrap();
        for program in ["postgres", "initdb"] {
            let script = format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n");
            std::fs::write(bin.join(program), script).unwrap();
            std::fs::set_permissions(bin.join(program), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        bin
    }

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        assert_eq!(read_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(read_major("postgres (PostgreSQL) 17beta1\n"), Some(17));
        assert_eq!(read_major("psql (PostgreSQL) 17.1\n"), None);
    }

    #[test]
    fn an_explicit_directory_is_the_only_one_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let bin = install(root.path(), "here", "16.3");
        assert_eq!(find_programs(Some(&bin), None).unwrap(), Programs { bin, major: 16 });
        let said = find_programs(Some(root.path()), None).unwrap_err().to_string();
        assert!(said.contains("has no postgres and initdb side by side"), "{said}");
    }

    #[test]
    fn the_newest_wins_unless_a_cluster_is_older() {
        let programs = |major| Programs { bin: PathBuf::from(format!("/pg/{major}")), major };
        let found = || vec![programs(14), programs(17), programs(15)];
        assert_eq!(choose(found(), None).unwrap().major, 17);
        assert_eq!(choose(found(), Some(15)).unwrap().major, 15);
        let said = choose(found(), Some(16)).unwrap_err().to_string();
        assert!(said.contains("made by PostgreSQL 16") && said.contains("17, 15, 14"), "{said}");
        assert!(said.contains("pg_upgrade"), "{said}");
    }

    #[test]
    fn without_programs_the_words_say_how_to_get_them() {
        let said = choose(Vec::new(), None).unwrap_err().to_string();
        assert!(said.contains("DATABASE_URL"), "{said}");
        assert_eq!(install_command("ID=ubuntu\nID_LIKE=debian\n"), "sudo apt-get install postgresql");
        assert_eq!(
            install_command("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"),
            "sudo dnf install postgresql-server"
        );
        assert!(install_command("ID=plan9\n").contains("14 to 18"));
    }

    #[test]
    fn a_server_that_is_too_old_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let bin = install(root.path(), "old", "13.9");
        let said = find_programs(Some(&bin), None).unwrap_err().to_string();
        assert!(said.contains("14 to 18") && said.contains("13"), "{said}");
    }
}
