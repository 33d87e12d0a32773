//! The argument of a handler.

use std::sync::Arc;

use pyo3::{
    PyTraverseError, PyVisit,
    prelude::*,
    types::{PyString, PyTuple, PyType},
};

use super::{convert, handlers::Handlers};
use crate::{Address, ClientId};

/// A custom command of a client, for its handler.
///
/// command: the name in lower case. argument: the rest of the line without the blanks around it; may be empty. peer: the
/// Address of the client. client: its id. state: what the hook on_connect returned for it, or None.
///
/// A test of a handler can make one: Request(command, argument, peer, client, state=None).
#[pyclass(frozen, module = "daytime")]
pub(super) struct Request {
    /// The name of the command in lower case.
    #[pyo3(get)]
    command: Py<PyString>,
    /// The rest of the line without the blanks around it; may be empty.
    #[pyo3(get)]
    argument: Py<PyString>,
    peer: Peer,
    client: u64,
    /// What the hook on_connect returned for the client, or None.
    #[pyo3(get)]
    state: Py<PyAny>,
    /// None in one that Python code made.
    handlers: Option<Arc<Handlers>>,
}

/// Most handlers do not look at the address, so it is converted late.
enum Peer {
    Engine(Address),
    Python(Py<PyAny>),
}

impl Request {
    pub(super) fn new(
        command: Py<PyString>,
        argument: Py<PyString>,
        peer: Address,
        client: ClientId,
        state: Py<PyAny>,
        handlers: Arc<Handlers>,
    ) -> Self {
        Request { command, argument, peer: Peer::Engine(peer), client: client.into(), state, handlers: Some(handlers) }
    }
}

#[pymethods]
impl Request {
    #[new]
    #[pyo3(signature = (command, argument, peer, client, state=None))]
    fn make(
        py: Python<'_>,
        command: Py<PyString>,
        argument: Py<PyString>,
        peer: Py<PyAny>,
        client: u64,
        state: Option<Py<PyAny>>,
    ) -> Self {
        let state = state.unwrap_or_else(|| py.None());
        Request { command, argument, peer: Peer::Python(peer), client, state, handlers: None }
    }

    #[classattr]
    fn __match_args__() -> (&'static str, &'static str, &'static str, &'static str) {
        ("command", "argument", "peer", "client")
    }

    /// The Address of the client.
    #[getter]
    fn peer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match &self.peer {
            Peer::Engine(address) => convert::peer(py, address),
            Peer::Python(peer) => Ok(peer.bind(py).clone()),
        }
    }

    /// The id of the client.
    #[getter]
    fn client(&self) -> u64 {
        self.client
    }

    /// Whether nobody waits for the reply any more: the client has left, or the server has stopped. A long handler can
    /// ask from time to time, and give up.
    #[getter]
    fn is_cancelled(&self, py: Python<'_>) -> PyResult<bool> {
        let Some(handlers) = &self.handlers else { return Ok(false) };
        handlers.generation.check(py, "request")?;
        Ok(handlers.handle.get().is_some_and(|handle| handle.is_cancelled(self.client.into())))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (command, argument, peer) = (self.command.bind(py).repr()?, self.argument.bind(py).repr()?, self.peer(py)?);
        Ok(format!("Request(command={command}, argument={argument}, peer={}, client={})", peer.repr()?, self.client))
    }

    /// A copy without the state, which belongs to this process.
    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        let fields = (self.command.bind(py), self.argument.bind(py), self.peer(py)?, self.client);
        Ok((py.get_type::<Request>(), fields.into_pyobject(py)?))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Peer::Python(peer) = &self.peer {
            visit.call(peer)?;
        }
        visit.call(&self.state)
    }
}
