//! The handlers of a server, its hooks, and the states of its clients.
//!
//! The Python object of the server owns them: it shows them to the garbage collector and clears them. The engine knows a
//! handler by its number and a state by its client, so that no Rust thread owns a Python object.

use std::{
    collections::HashMap,
    mem,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

use pyo3::{PyTraverseError, PyVisit, prelude::*, types::PyString};

use super::interpreter::ForkGeneration;
use crate::{ClientId, Handle};

pub(super) struct Handlers {
    pub(super) generation: ForkGeneration,
    /// Set by the first handler thread.
    pub(super) handle: OnceLock<Handle>,
    /// Locked only while attached, and never during a call into Python.
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// In the order of registration, as in the engine.
    commands: Vec<Command>,
    hooks: Hooks,
    states: HashMap<ClientId, Py<PyAny>>,
    /// The tasks of `async def` handlers, once there is such a handler.
    tasks: Option<Py<PyAny>>,
    released: bool,
}

struct Command {
    /// In lower case.
    name: Py<PyString>,
    handler: Py<PyAny>,
    kind: Kind,
}

/// How the reply of a handler comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Returned,
    Deferred,
}

#[derive(Default)]
pub(super) struct Hooks {
    pub(super) on_connect: Option<Py<PyAny>>,
    pub(super) on_disconnect: Option<Py<PyAny>>,
}

/// What a handler thread needs to call a handler.
pub(super) struct Callee {
    pub(super) handler: Py<PyAny>,
    pub(super) name: Py<PyString>,
    pub(super) kind: Kind,
    /// None without one.
    pub(super) state: Py<PyAny>,
}

impl Handlers {
    pub(super) fn new() -> Self {
        Handlers { generation: ForkGeneration::current(), handle: OnceLock::new(), table: Mutex::default() }
    }

    pub(super) fn add(&self, py: Python<'_>, name: &str, handler: Py<PyAny>, kind: Kind) {
        let name = PyString::new(py, &name.to_ascii_lowercase()).unbind();
        self.table().commands.push(Command { name, handler, kind });
    }

    /// Sets a hook. Returns the one before.
    pub(super) fn set_hook(
        &self,
        which: fn(&mut Hooks) -> &mut Option<Py<PyAny>>,
        hook: Py<PyAny>,
    ) -> Option<Py<PyAny>> {
        which(&mut self.table().hooks).replace(hook)
    }

    /// None if the server was released.
    pub(super) fn callee(&self, py: Python<'_>, index: usize, client: ClientId) -> Option<Callee> {
        let table = self.table();
        let command = table.commands.get(index)?;
        let state = if table.states.is_empty() { None } else { table.states.get(&client) };
        Some(Callee {
            handler: command.handler.clone_ref(py),
            name: command.name.clone_ref(py),
            kind: command.kind,
            state: state.map_or_else(|| py.None(), |state| state.clone_ref(py)),
        })
    }

    /// A handler, for the report of its exception.
    pub(super) fn handler(&self, py: Python<'_>, index: usize) -> Option<Py<PyAny>> {
        self.table().commands.get(index).map(|command| command.handler.clone_ref(py))
    }

    pub(super) fn hook(&self, py: Python<'_>, which: fn(&mut Hooks) -> &mut Option<Py<PyAny>>) -> Option<Py<PyAny>> {
        which(&mut self.table().hooks).as_ref().map(|hook| hook.clone_ref(py))
    }

    /// Keeps the state of a client until [`take_state`](Self::take_state). Returns it if the server was released.
    pub(super) fn keep_state(&self, client: ClientId, state: Py<PyAny>) -> Option<Py<PyAny>> {
        let mut table = self.table();
        if table.released {
            return Some(state);
        }
        table.states.insert(client, state)
    }

    pub(super) fn take_state(&self, client: ClientId) -> Option<Py<PyAny>> {
        self.table().states.remove(&client)
    }

    pub(super) fn tasks(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.table().tasks.as_ref().map(|tasks| tasks.clone_ref(py))
    }

    pub(super) fn set_tasks(&self, tasks: Py<PyAny>) {
        let before = self.table().tasks.replace(tasks);
        drop(before);
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Ok(table) = self.table.try_lock() else { return Ok(()) };
        for command in &table.commands {
            visit.call(&command.handler)?;
        }
        visit.call(&table.tasks)?;
        visit.call(&table.hooks.on_connect)?;
        visit.call(&table.hooks.on_disconnect)?;
        table.states.values().try_for_each(|state| visit.call(state))
    }

    /// Drops everything, without the lock while Python code may run.
    pub(super) fn release(&self) {
        let released = Table { released: true, ..Table::default() };
        let table = mem::replace(&mut *self.table(), released);
        drop(table);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
