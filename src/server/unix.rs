//! Unix sockets that listen, and the files that they are found by.
//!
//! A file outlives a server that was killed. It is replaced only where nobody answers on it: what is no socket stays, and
//! so does a socket that somebody listens on, or that this process may not ask. Of two servers that begin on one path
//! within microseconds the second may take the first for dead, as that has not listened yet: only a lock file would tell.

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

/// The file of a socket that was bound here, removed when this is dropped: if it is still the same file, and this
/// still the same process.
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

/// Binds and listens. An abstract name has no file.
pub(super) fn bind(path: &Path, backlog: i32, mode: Option<u32>) -> Result<(UnixListener, Option<SocketFile>), Error> {
    let address = address::unix(path)?;
    let shown = Address::Unix(path.to_owned());
    let doing = || Error::io(format!("bind {shown}"));
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(doing())?;
    let has_file = !path.as_os_str().as_bytes().starts_with(b"@");
    match socket.bind(&address) {
        Err(error) if error.kind() == ErrorKind::AddrInUse && has_file => {
            match remove_stale(path, &address) {
                // Whoever had it has removed it meanwhile.
                Err(Error::Io(error, _)) if error.kind() == ErrorKind::NotFound => {}
                removed => removed?,
            }
            socket.bind(&address).map_err(doing())?;
        }
        bound => bound.map_err(doing())?,
    }
    let file = if has_file { Some(claim(path).map_err(doing())?) } else { None };
    // Nobody can connect before it listens: there is no moment with another mode.
    if let (Some(mode), true) = (mode, has_file) {
        fs::set_permissions(path, Permissions::from_mode(mode)).map_err(doing())?;
    }
    socket.listen(backlog).and_then(|()| socket.set_nonblocking(true)).map_err(doing())?;
    Ok((OwnedFd::from(socket).into(), file))
}

fn claim(path: &Path) -> io::Result<SocketFile> {
    let identity = identity(&fs::symlink_metadata(path)?);
    // The host may change its working directory.
    Ok(SocketFile { path: path::absolute(path)?, identity, process: process::id() })
}

/// Removes what a server that was killed has left; [`Error::Invalid`] where that is no socket.
fn remove_stale(path: &Path, address: &SockAddr) -> Result<(), Error> {
    let shown = Address::Unix(path.to_owned());
    let doing = || Error::io(format!("bind {shown}"));
    let found = fs::symlink_metadata(path).map_err(doing())?;
    if !found.file_type().is_socket() {
        return Err(Error::Invalid(format!("cannot bind {shown}: the file there is no socket")));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(doing())?;
    // A full backlog is an answer, too: nothing here waits.
    probe.set_nonblocking(true).map_err(doing())?;
    match probe.connect(address) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => remove(path, identity(&found)).map_err(doing()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(doing()(error)),
        // With its number, which hosts look at.
        _ => Err(doing()(Errno::EADDRINUSE.into())),
    }
}

/// Removes a file if it is still that one.
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
        let path = std::env::temp_dir().join(format!("daytime-{}-child", process::id()));
        let (_socket, file) = bind(&path, 1, None).unwrap();
        let file = file.unwrap();
        // What a child has is a copy; it sees another process's number in it.
        drop(SocketFile { path: path.clone(), process: process::id() + 1, ..file });
        assert!(path.exists());
        drop(file);
        assert!(!path.exists());
    }
}
