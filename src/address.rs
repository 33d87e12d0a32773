//! Where a server listens and a client connects.

use std::{
    ffi::OsString,
    fmt::{self, Write},
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use socket2::SockAddr;

use crate::Error;

/// The port of the original, and of an address that names none.
pub const DEFAULT_PORT: u16 = 9990;

/// An address to listen on or to connect to, or a peer's.
///
/// Text becomes one by `From` where it is checked later, by the call that uses it, or by `parse`, which checks it at
/// once. It is one of
///
/// - `HOST:PORT` or `HOST`, whose port is [`DEFAULT_PORT`] then, or that of the protocol that is spoken there; an IPv6
///   address with a port stands in brackets: `localhost:0`, `192.0.2.1`, `[::1]:9990`;
/// - `unix:PATH`, a Unix socket, or `unix:@NAME`, one in Linux's abstract namespace (unix(7)), with at most 107 bytes
///   of path, or of `@` and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port. Those of bound TCP listeners and of TCP peers are always of this kind.
    Tcp(SocketAddr),
    /// A host name, or an IP address without a port: all the addresses that it resolves to.
    Name(String),
    /// A Unix socket's path, or `@` and its abstract name. That of a peer which has bound none, as most have, is empty.
    Unix(PathBuf),
}

/// The bytes of a Unix socket's path that the system takes, less a final NUL (unix(7)).
const UNIX_MAX: usize = 107;

impl Address {
    /// Says what is wrong with it, as far as that can be said without resolving it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Address::Tcp(_) => Ok(()),
            Address::Name(name) => split(name).map(drop),
            Address::Unix(path) => unix(path).map(drop),
        }
    }

    /// What the system tells of a Unix socket; an empty path where it is bound to none.
    pub(crate) fn of_unix(address: &SockAddr) -> Self {
        match address.as_abstract_namespace() {
            Some(name) => Address::Unix(OsString::from_vec([b"@", name].concat()).into()),
            None => Address::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()),
        }
    }

    /// Every IP address that this stands for, each once, in the resolver's order; a Unix socket has none. `port` is for
    /// text that has none. Blocks while a name is resolved.
    ///
    /// # Errors
    /// [`Error::Invalid`] says what is wrong with the text, [`Error::Io`] why a name could not be resolved.
    pub fn resolve(&self, port: u16) -> Result<Vec<SocketAddr>, Error> {
        let name = match self {
            Address::Tcp(address) => return Ok(vec![*address]),
            Address::Name(name) => name,
            Address::Unix(_) => return Ok(Vec::new()),
        };
        let (host, given) = split(name)?;
        let port = given.unwrap_or(port);
        let mut addresses = Vec::new();
        for address in (host, port).to_socket_addrs().map_err(Error::io(format!("resolve {name}")))? {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        if addresses.is_empty() { Err(Error::Invalid(format!("{name} has no address"))) } else { Ok(addresses) }
    }
}

/// A name's host and port.
fn split(name: &str) -> Result<(&str, Option<u16>), Error> {
    let refuse = |why: &str| Err(Error::Invalid(format!("the address {name:?} {why}")));
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if bare.parse::<IpAddr>().is_ok() {
        return Ok((bare, None));
    }
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => return refuse("has a port above 65535"),
            }
        }
        Some(_) => return refuse("has no port number after its colon"),
        None => (name, None),
    };
    if host.is_empty() || host.len() > 253 {
        return refuse("has no host name");
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "[]:/".contains(c)) {
        return refuse("has a host name that is none");
    }
    Ok((host, port))
}

/// A Unix socket's address as the system has it: an abstract name begins with a NUL there.
pub(crate) fn unix(path: &Path) -> Result<SockAddr, Error> {
    let refuse = |why: &str| Err(Error::Invalid(format!("the address \"{}\" {why}", Address::Unix(path.to_owned()))));
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    if matches!(&bytes[..], b"" | b"@") {
        return refuse("has no path");
    }
    if bytes.len() > UNIX_MAX {
        return refuse("is too long: a Unix socket's path has at most 107 bytes");
    }
    if bytes.contains(&0) {
        return refuse("has a NUL");
    }
    if bytes[0] == b'@' {
        if cfg!(not(any(target_os = "linux", target_os = "android"))) {
            return refuse("is abstract, which this system does not have");
        }
        bytes[0] = 0;
    }
    SockAddr::unix(OsString::from_vec(bytes)).map_err(Error::io(format!("use {}", Address::Unix(path.to_owned()))))
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        match (text.strip_prefix("unix:"), text.parse()) {
            (Some(path), _) => Address::Unix(path.into()),
            (None, Ok(address)) => Address::Tcp(address),
            (None, Err(_)) => Address::Name(text.to_owned()),
        }
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        Address::from(text.as_str())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address)
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

impl FromStr for Address {
    type Err = Error;

    /// # Errors
    /// [`Error::Invalid`] says what is wrong with the text. A name is not resolved here.
    fn from_str(text: &str) -> Result<Self, Error> {
        let address = Address::from(text);
        address.check()?;
        Ok(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(address) => address.fmt(f),
            Address::Name(name) => f.write_str(name),
            // Any byte but NUL may stand in a path; in a log each address is part of one line.
            Address::Unix(path) => {
                f.write_str("unix:")?;
                path.to_string_lossy().chars().try_for_each(|c| match c.is_control() {
                    true => write!(f, "{}", c.escape_default()),
                    false => f.write_char(c),
                })
            }
        }
    }
}
