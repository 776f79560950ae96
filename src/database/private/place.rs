//! Where a private Postgres lives: the directories, who they belong to, the lock that keeps a second portal out, and the
//! socket's path. It never touches what is inside the cluster; only the guard, as the database user, does.
//!
//! ```text
//! <data dir>/countersign.lock     held by the portal that runs the server; says its process id
//! <data dir>/postgres/            0700, the database user's
//!     cluster/                    what initdb made
//!     socket/                     0700; elsewhere when the path would be too long
//!     server.log
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid, User};

use super::PrivateError;

/// The longest socket path every system takes: Linux has 107 bytes, macOS 103.
const LONGEST_SOCKET_PATH: usize = 103;

/// The port in the socket's name. Nothing listens on a network, so it never collides.
pub const PORT: u16 = 5432;

/// The directories of one private Postgres, made and checked.
#[derive(Debug)]
pub struct Place {
    /// The data directory, absolute.
    pub data_dir: PathBuf,
    /// `<data dir>/postgres`.
    pub root: PathBuf,
    /// Whom the server runs as; `None` as an ordinary user, who runs it as themselves.
    pub run_as: Option<User>,
}

impl Place {
    /// Makes what is missing of the directories.
    pub fn prepare(data_dir: &Path) -> Result<Self, PrivateError> {
        let data_dir = prepare_data_dir(data_dir)?;
        let root = data_dir.join("postgres");
        make_dir(&root, 0o700)?;
        let owner = fs::metadata(&root).map_err(|error| PrivateError::path(&root, &error))?.uid();
        let run_as = if Uid::effective().is_root() { Some(take_over(&root, owner)?) } else { None };
        if run_as.is_none() && owner != Uid::effective().as_raw() {
            return Err(PrivateError::SomebodyElses { path: root, owner: name_of(owner) });
        }
        Ok(Self { data_dir, root, run_as })
    }

    pub fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }

    /// The version of the cluster, when there is one.
    pub fn find_cluster_major(&self) -> Option<u16> {
        fs::read_to_string(self.cluster().join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// The directory for the socket: beside the cluster, or a short private one when that path is too long to use.
    pub fn socket_dir(&self) -> Result<PathBuf, PrivateError> {
        let name = format!("countersign-{}", short_name(&self.root));
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| self.run_as.is_none()).map(PathBuf::from);
        let runtime = runtime.filter(|dir| dir.is_absolute() && dir.is_dir());
        let places =
            [Some(self.root.join("socket")), runtime.map(|dir| dir.join(&name)), Some(Path::new("/tmp").join(&name))];
        let fits = |dir: &PathBuf| dir.as_os_str().len() + "/.s.PGSQL.5432".len() <= LONGEST_SOCKET_PATH;
        places.into_iter().flatten().find(fits).ok_or_else(|| PrivateError::SocketPath(self.root.clone()))
    }

    /// Takes the data directory for this process, or says who has it.
    pub fn lock(&self) -> Result<File, PrivateError> {
        let path = self.data_dir.join("countersign.lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = opened.map_err(|error| PrivateError::path(&path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut process = String::new();
                file.read_to_string(&mut process).ok();
                return Err(PrivateError::InUse {
                    data_dir: self.data_dir.clone(),
                    process: process.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(error)) => return Err(PrivateError::path(&path, &error)),
        }
        let written =
            file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(|error| PrivateError::path(&path, &error))?;
        Ok(file)
    }
}

/// Makes the data directory and answers its absolute path. As root it lets other users pass through (0711), because the
/// server runs as one of them; what must stay private in it has to be 0600. Otherwise it is 0700.
pub fn prepare_data_dir(path: &Path) -> Result<PathBuf, PrivateError> {
    let mode = if Uid::effective().is_root() { 0o711 } else { 0o700 };
    let existed = path.exists();
    make_dir(path, mode)?;
    if !existed {
        // Again, because the umask may have closed it.
        let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
        set.map_err(|error| PrivateError::path(path, &error))?;
    }
    path.canonicalize().map_err(|error| PrivateError::path(path, &error))
}

fn make_dir(path: &Path, mode: u32) -> Result<(), PrivateError> {
    match fs::DirBuilder::new().recursive(true).mode(mode).create(path) {
        Ok(()) => Ok(()),
        Err(error) if path.exists() && !path.is_dir() => {
            Err(PrivateError::Path { path: path.to_owned(), reason: format!("is not a directory ({error})") })
        }
        Err(error) => Err(PrivateError::path(path, &error)),
    }
}

/// As root: decides whom the server runs as and gives them the directory. A cluster that an ordinary user made before
/// stays theirs.
fn take_over(root: &Path, owner: u32) -> Result<User, PrivateError> {
    if owner != 0 {
        let user = User::from_uid(Uid::from_raw(owner)).ok().flatten();
        return user.ok_or_else(|| PrivateError::SomebodyElses { path: root.to_owned(), owner: name_of(owner) });
    }
    let named = ["postgres", "nobody"].into_iter().find_map(|name| User::from_name(name).ok().flatten());
    let user = named.filter(|user| !user.uid.is_root()).ok_or(PrivateError::NoUser)?;
    let given = nix::unistd::chown(root, Some(user.uid), Some(Gid::from_raw(user.gid.as_raw())));
    given.map_err(|error| PrivateError::path(root, &error.into()))?;
    Ok(user)
}

fn name_of(uid: u32) -> String {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| format!("user {uid}"), |user| user.name)
}

/// The same directory has the same short name, so that a second process finds the socket of the first.
fn short_name(path: &Path) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, path.as_os_str().as_bytes());
    hex::encode(&digest.as_ref()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(root: &str) -> Place {
        Place { data_dir: PathBuf::from("/d"), root: PathBuf::from(root), run_as: None }
    }

    #[test]
    fn the_socket_lives_beside_the_cluster_unless_the_path_is_too_long() {
        assert_eq!(
            place("/var/lib/countersign/postgres").socket_dir().unwrap(),
            Path::new("/var/lib/countersign/postgres/socket")
        );
        let long = format!("/{}/postgres", "deep/".repeat(30));
        let short = place(&long).socket_dir().unwrap();
        assert!(
            short.as_os_str().len() < 60 && short.to_string_lossy().contains("countersign-"),
            "{}",
            short.display()
        );
        assert_eq!(short, place(&long).socket_dir().unwrap());
        assert_ne!(short, place(&long.replace("deep", "deeq")).socket_dir().unwrap());
    }

    #[test]
    fn a_second_portal_is_told_who_has_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::prepare(dir.path()).unwrap();
        let held = place.lock().unwrap();
        let said = place.lock().unwrap_err().to_string();
        assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
        drop(held);
        place.lock().unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("data");
        fs::write(&file, "x").unwrap();
        let said = prepare_data_dir(&file).unwrap_err().to_string();
        assert!(said.contains("data") && said.contains("is not a directory"), "{said}");
    }
}
