//! Addresses, networks and sockets of a server, from values of Python.

use std::os::fd::{FromRawFd, OwnedFd};

use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyString, PyTuple},
};

use super::{
    convert::{self, Host, Port},
    errors::{self, import_attr},
};
use crate::{Address, Networks};

/// The elements of an iterable. A single text stands for itself, and not for its characters.
pub(super) fn several<'py>(value: Option<&Bound<'py, PyAny>>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    match value {
        None => Ok(Vec::new()),
        Some(text) if text.is_instance_of::<PyString>() => Ok(vec![text.clone()]),
        Some(several) => several.try_iter()?.collect(),
    }
}

/// An address to listen on: "HOST:PORT", "unix:PATH", or (host, port).
pub(super) fn listening(value: &Bound<'_, PyAny>) -> PyResult<Address> {
    if value.is_instance_of::<PyString>() {
        return Ok(match value.extract()? {
            Host::Unix(path) => Address::Unix(path),
            Host::Name(text) => text.into(),
        });
    }
    let (host, port): (Host, Port) = value.extract()?;
    Ok(host.at(port))
}

pub(super) fn networks(allow: Option<&Bound<'_, PyAny>>, deny: Option<&Bound<'_, PyAny>>) -> PyResult<Networks> {
    let mut networks = Networks::new();
    for network in several(allow)? {
        networks.allow(network.extract()?).map_err(|error| errors::error(network.py(), error))?;
    }
    for network in several(deny)? {
        networks.deny(network.extract()?).map_err(|error| errors::error(network.py(), error))?;
    }
    Ok(networks)
}

pub(super) fn tuple<'py>(py: Python<'py>, addresses: &[Address]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, addresses.iter().map(|address| convert::peer(py, address)).collect::<PyResult<Vec<_>>>()?)
}

/// A listener from a socket of Python, on a duplicate of its file descriptor.
#[allow(unsafe_code)]
pub(super) fn adopt(sock: &Bound<'_, PyAny>, backlog: u32) -> PyResult<OwnedFd> {
    let py = sock.py();
    if !sock.is_instance(&import_attr(py, "socket", "socket")?)? {
        return Err(PyTypeError::new_err(format!("sock is a socket.socket, not {}", sock.get_type().name()?)));
    }
    let own = sock.call_method0("dup")?;
    own.call_method1("listen", (backlog,)).inspect_err(|_| drop(own.call_method0("close")))?;
    let descriptor: i32 = own.call_method0("detach")?.extract()?;
    // SAFETY: `dup` has just made this descriptor, and `detach` released it: it is open, and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
