//! Listening Unix sockets, and their files.
//!
//! A file outlives a server that was killed. It is replaced only if no server answers on it. A file that is not a socket
//! stays, and so does a socket with a listener, or one that this process may not connect to. If two servers start on one
//! path within microseconds, the second can mistake the first for dead, since it does not listen yet. Only a lock file
//! would prevent that.

use std::{
    fs::{self, Metadata, Permissions},
    io::{self, ErrorKind},
    os::{
        fd::OwnedFd,
        unix::{
            ffi::OsStrExt,
            fs::{FileTypeExt, MetadataExt, PermissionsExt},
            net::UnixListener,
        },
    },
    path::{self, Path, PathBuf},
    process,
};

use nix::errno::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::{Address, Error, address};

/// The file of a socket that was bound here. Dropping it removes the file, if the path still has the same file and this
/// is still the same process.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
    process: u32,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.process == process::id() {
            let _ = remove(&self.path, self.identity);
        }
    }
}

/// Binds and listens. An abstract name does not have a file.
pub(super) fn bind(path: &Path, backlog: i32, mode: Option<u32>) -> Result<(UnixListener, Option<SocketFile>), Error> {
    let address = address::unix(path)?;
    let shown = Address::Unix(path.to_owned());
    let context = || Error::io(format!("bind {shown}"));
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(context())?;
    let has_file = !path.as_os_str().as_bytes().starts_with(b"@");
    match socket.bind(&address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && has_file => {
            match remove_stale(path, &address) {
                // Its owner has removed it in the meantime.
                Err(Error::Io(error, _)) if error.kind() == ErrorKind::NotFound => {}
                removed => removed?,
            }
            socket.bind(&address).map_err(context())?;
        }
        bound => bound.map_err(context())?,
    }
    let file = if has_file { Some(claim(path).map_err(context())?) } else { None };
    // No client can connect before the socket listens, so that no client sees another mode.
    if let (Some(mode), true) = (mode, has_file) {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(context())?;
    }
    socket.listen(backlog).and_then(|()| socket.set_nonblocking(true)).map_err(context())?;
    Ok((OwnedFd::from(socket).into(), file))
}

fn claim(path: &Path) -> io::Result<SocketFile> {
    let identity = identity(&fs::symlink_metadata(path)?);
    // The embedder may change the working directory.
    Ok(SocketFile { path: path::absolute(path)?, identity, process: process::id() })
}

/// Removes the file of a server that was killed. [`Error::Invalid`] if it is not a socket.
fn remove_stale(path: &Path, address: &SockAddr) -> Result<(), Error> {
    let shown = Address::Unix(path.to_owned());
    let context = || Error::io(format!("bind {shown}"));
    let found = fs::symlink_metadata(path).map_err(context())?;
    if !found.file_type().is_socket() {
        return Err(Error::Invalid(format!("cannot bind {shown}: the file exists and is not a socket")));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(context())?;
    // A full queue proves a listener: do not wait for room in it.
    probe.set_nonblocking(true).map_err(context())?;
    match probe.connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => remove(path, identity(&found)).map_err(context()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(context()(error)),
        // With its errno, which embedders check.
        _ => Err(context()(Errno::EADDRINUSE.into())),
    }
}

/// Removes a file if it is still the expected one.
fn remove(path: &Path, expected: (u64, u64)) -> io::Result<()> {
    if identity(&fs::symlink_metadata(path)?) == expected { fs::remove_file(path) } else { Ok(()) }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forked_child_removes_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("child");
        let (_socket, file) = bind(&path, 1, None).unwrap();
        let file = file.unwrap();
        // A child has a copy with the id of another process.
        drop(SocketFile { path: path.clone(), process: process::id() + 1, ..file });
        assert!(path.exists());
        drop(file);
        assert!(!path.exists());
    }
}
