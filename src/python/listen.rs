//! Arguments that say where a server listens and which clients it accepts.

use std::os::fd::{FromRawFd, OwnedFd};

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyString, PyTuple},
};

use super::{
    convert::{self, Host, Port},
    errors::import_attr,
};
use crate::{Address, Service};

/// The items of an iterable. None has no items. A str is one item, since its characters are not addresses.
pub(super) fn items<'py>(value: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if value.is_none() {
        return Ok(Vec::new());
    }
    if value.is_instance_of::<PyString>() {
        return Ok(vec![value.clone()]);
    }
    value.try_iter()?.collect()
}

/// An address to listen on: "HOST:PORT", "unix:PATH", or (host, port).
pub(super) fn address(value: &Bound<'_, PyAny>) -> PyResult<Address> {
    if value.is_instance_of::<PyString>() {
        // A path may have bytes that are not UTF-8.
        return match convert::unix(value)? {
            Some(path) => Ok(Address::Unix(path)),
            None => Ok(value.extract::<String>()?.into()),
        };
    }
    let (host, port): (Host, Port) = value.extract()?;
    Ok(host.with_port(port))
}

/// A service by its name.
pub(super) fn service(name: &str) -> PyResult<Service> {
    let invalid = || {
        let names = Service::ALL.iter().map(|service| service.name()).collect::<Vec<_>>().join(", ");
        PyValueError::new_err(format!("{name:?} is not a service; expected one of {names}"))
    };
    Service::ALL.iter().copied().find(|service| service.name() == name).ok_or_else(invalid)
}

pub(super) fn addresses<'py>(py: Python<'py>, addresses: &[Address]) -> PyResult<Bound<'py, PyTuple>> {
    PyTuple::new(py, addresses.iter().map(|address| convert::peer(py, address)).collect::<PyResult<Vec<_>>>()?)
}

/// A listener from a socket of Python, on a duplicate of its descriptor. Without a backlog, listen(2) chooses the
/// system's maximum.
#[allow(unsafe_code)]
pub(super) fn adopt(sock: &Bound<'_, PyAny>, backlog: Option<u32>) -> PyResult<OwnedFd> {
    let py = sock.py();
    if !sock.is_instance(&import_attr(py, "socket", "socket")?)? {
        let given = sock.get_type().name()?;
        return Err(PyTypeError::new_err(format!("sock must be a socket.socket, not {given}")));
    }
    let duplicate = sock.call_method0("dup")?;
    let backlog = backlog.unwrap_or(i32::MAX.unsigned_abs());
    duplicate.call_method1("listen", (backlog,)).inspect_err(|_| drop(duplicate.call_method0("close")))?;
    let descriptor: i32 = duplicate.call_method0("detach")?.extract()?;
    // SAFETY: `dup` has opened this descriptor, and `detach` has released it. It is open and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}
