//! Addresses: where a server listens, where a client connects, and those of peers.

use std::{
    ffi::OsString,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use socket2::SockAddr;

use crate::{Error, escape::escape};

/// The default port, which is that of the original classroom program.
pub const DEFAULT_PORT: u16 = 9990;

/// An address to listen on or to connect to, or a peer's.
///
/// `From<&str>` never fails, and the text is checked by the call that uses it; `parse` checks at once. Accepted forms:
///
/// - `HOST:PORT` or `HOST`: `localhost:0`, `192.0.2.1`, `[::1]:9990`. The default port is [`DEFAULT_PORT`], or that of
///   the protocol of the listener. An IPv6 address with a port needs brackets.
/// - `unix:PATH`, a Unix socket, or `unix:@NAME`, one in Linux's abstract namespace (unix(7)). The path, or `@` and the
///   name, have at most 107 bytes.
///
/// A [`SocketAddr`], an IP address or a host name with its port, and a [`Path`] are addresses too.
///
/// ```
/// use std::{net::Ipv6Addr, path::Path};
/// use daytime::Address;
///
/// assert_eq!("unix:/run/daytime.sock".parse::<Address>()?, Address::Unix("/run/daytime.sock".into()));
/// assert_eq!(Address::from(Path::new("/run/daytime.sock")), "unix:/run/daytime.sock".into());
/// assert_eq!(Address::from((Ipv6Addr::LOCALHOST, 9990)), "[::1]:9990".into());
/// assert_eq!(Address::from(("localhost", 9990)), "localhost:9990".into());
/// assert!(matches!(Address::from("localhost:9990"), Address::Name(_)));
/// assert!("localhost:port".parse::<Address>().is_err());
/// # Ok::<(), daytime::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port. Bound TCP listeners and TCP peers always have this kind.
    Tcp(SocketAddr),
    /// A host name, or an IP address without a port. It stands for all addresses that it resolves to.
    Name(String),
    /// The path of a Unix socket, or `@` and its abstract name. It is empty for most peers, which bind no path.
    Unix(PathBuf),
}

/// The largest size of a Unix socket's path, without its NUL (unix(7)).
const UNIX_MAX: usize = 107;

impl Address {
    /// Says what is wrong with the address, as far as that is known without resolving it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Address::Tcp(_) => Ok(()),
            Address::Name(name) => split(name).map(drop),
            Address::Unix(path) => unix(path).map(drop),
        }
    }

    /// The IP address and the port; `None` for a name and for a Unix socket.
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        match self {
            Address::Tcp(address) => Some(*address),
            Address::Name(_) | Address::Unix(_) => None,
        }
    }

    /// The port, if the address has one by itself.
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Address::Tcp(address) => Some(address.port()),
            Address::Name(name) => split(name).ok()?.1,
            Address::Unix(_) => None,
        }
    }

    /// The error of a Unix socket in place of a host.
    pub(crate) fn not_for_udp(&self) -> Error {
        Error::Invalid(format!("the address \"{self}\" is a Unix socket; expected a host, for UDP"))
    }

    /// From the system's form of a Unix socket's address. The path is empty for an unbound socket.
    pub(crate) fn of_unix(address: &SockAddr) -> Self {
        match address.as_abstract_namespace() {
            Some(name) => Address::Unix(OsString::from_vec([b"@", name].concat()).into()),
            None => Address::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned()),
        }
    }

    /// The IP addresses that this address stands for, each once, in the resolver's order. It is empty for a Unix socket.
    /// `port` is the default port. Blocks while a name is resolved.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the text is not an address, [`Error::Io`] if a name cannot be resolved.
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
        if addresses.is_empty() {
            Err(Error::Invalid(format!("{name} does not resolve to an address")))
        } else {
            Ok(addresses)
        }
    }
}

/// Splits a name into host and port.
fn split(name: &str) -> Result<(&str, Option<u16>), Error> {
    let reject = |reason: &str| Err(Error::Invalid(format!("the address {name:?} {reason}")));
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    if bare.parse::<IpAddr>().is_ok() {
        return Ok((bare, None));
    }
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            match port.parse() {
                Ok(port) => (host, Some(port)),
                Err(_) => return reject("has a port above 65,535"),
            }
        }
        Some(_) => return reject("does not have a port number after its colon"),
        None => (name, None),
    };
    if host.is_empty() || host.len() > 253 {
        return reject("does not have a host name");
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "[]:/".contains(c)) {
        return reject("has an invalid host name");
    }
    Ok((host, port))
}

/// The system's form of a Unix socket's address, in which an abstract name starts with a NUL.
pub(crate) fn unix(path: &Path) -> Result<SockAddr, Error> {
    let shown = Address::Unix(path.to_owned());
    let reject = |reason: &str| Err(Error::Invalid(format!("the address \"{shown}\" {reason}")));
    let mut bytes = path.as_os_str().as_bytes().to_vec();
    if matches!(&bytes[..], b"" | b"@") {
        return reject("does not have a path");
    }
    if bytes.len() > UNIX_MAX {
        return reject("is too long: the path of a Unix socket has at most 107 bytes");
    }
    if bytes.contains(&0) {
        return reject("has a NUL");
    }
    if bytes[0] == b'@' {
        if cfg!(not(any(target_os = "linux", target_os = "android"))) {
            return reject("is abstract, which this system does not support");
        }
        bytes[0] = 0;
    }
    SockAddr::unix(OsString::from_vec(bytes)).map_err(Error::io(format!("use {shown}")))
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

impl From<&String> for Address {
    fn from(text: &String) -> Self {
        Address::from(text.as_str())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Tcp(address)
    }
}

impl From<(&str, u16)> for Address {
    /// An IP address, without brackets, or a host name, and its port.
    fn from((host, port): (&str, u16)) -> Self {
        match host.parse::<IpAddr>() {
            Ok(ip) => Address::Tcp((ip, port).into()),
            Err(_) => Address::Name(format!("{host}:{port}")),
        }
    }
}

impl From<(String, u16)> for Address {
    fn from((host, port): (String, u16)) -> Self {
        Address::from((host.as_str(), port))
    }
}

macro_rules! from_ip_and_port {
    ($($ip:ty)*) => {$(
        impl From<($ip, u16)> for Address {
            fn from(address: ($ip, u16)) -> Self {
                Address::Tcp(address.into())
            }
        }
    )*};
}
from_ip_and_port!(IpAddr Ipv4Addr Ipv6Addr);

impl From<&Path> for Address {
    /// The path of a Unix socket.
    fn from(path: &Path) -> Self {
        Address::Unix(path.to_owned())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Self {
        Address::Unix(path)
    }
}

impl From<&PathBuf> for Address {
    fn from(path: &PathBuf) -> Self {
        Address::Unix(path.clone())
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
    /// [`Error::Invalid`] if the text is not an address. A name is not resolved here.
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
            // A path can have any byte but NUL. What would break or hide a line of a log is escaped.
            Address::Unix(path) => write!(f, "unix:{}", escape(&path.to_string_lossy())),
        }
    }
}
