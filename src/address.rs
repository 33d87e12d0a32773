//! Where a server listens and a client connects.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use crate::Error;

/// The port of the original, and of an address that names none.
pub const DEFAULT_PORT: u16 = 9990;

/// An address to listen on or to connect to, or a peer's.
///
/// Text becomes one by `From` where it is checked later, by the call that uses it, or by `parse`, which checks it at
/// once. It is `HOST:PORT` or `HOST`, the port being [`DEFAULT_PORT`] then; an IPv6 address with a port stands in
/// brackets: `localhost:0`, `192.0.2.1`, `[::1]:9990`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// An IP address and a port. Bound addresses and those of TCP peers are always of this kind.
    Tcp(SocketAddr),
    /// A host name, perhaps with a port: all the addresses that it resolves to.
    Name(String),
}

impl Address {
    /// Says what is wrong with it, as far as that can be said without resolving it.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Address::Tcp(_) => Ok(()),
            Address::Name(name) => split(name).map(drop),
        }
    }

    /// Every IP address that this stands for, each once, in the resolver's order. Blocks while a name is resolved.
    pub(crate) fn resolve(&self) -> Result<Vec<SocketAddr>, Error> {
        let name = match self {
            Address::Tcp(address) => return Ok(vec![*address]),
            Address::Name(name) => name,
        };
        let (host, port) = split(name)?;
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
fn split(name: &str) -> Result<(&str, u16), Error> {
    let refuse = |why: &str| Err(Error::Invalid(format!("the address {name:?} {why}")));
    let (host, port) = match name.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            match port.parse() {
                Ok(port) => (host, port),
                Err(_) => return refuse("has a port above 65535"),
            }
        }
        Some(_) => return refuse("has no port number after its colon"),
        None => (name, DEFAULT_PORT),
    };
    if host.is_empty() || host.len() > 253 {
        return refuse("has no host name");
    }
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "[]:/".contains(c)) {
        return refuse("has a host name that is none");
    }
    Ok((host, port))
}

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = text.parse() {
            Address::Tcp(address)
        } else if let Ok(ip) = bare.parse::<IpAddr>() {
            Address::Tcp((ip, DEFAULT_PORT).into())
        } else {
            Address::Name(text.to_owned())
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
        }
    }
}
