"""The threads that run the handlers of custom commands.

The loop is Python code, so that there is no Rust frame below a handler. The interpreter can then end a daemon thread in
the middle of a handler.
"""

from __future__ import annotations

import threading

from daytime._daytime import HandlerThread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CO_COROUTINE = 0x80


def start(thread: HandlerThread) -> None:
    """Starts another thread."""
    threading.Thread(target=_run, args=(thread,), name="daytime-handler", daemon=True).start()


def _run(thread: HandlerThread) -> None:
    while thread.wait():
        _work(thread)


def _work(thread: HandlerThread) -> None:
    """Calls handlers while there is work. Then it returns, so that the thread keeps no object alive while it waits."""
    take, fail = thread.next, thread.fail
    call = take(None)
    while call is not None:
        function, argument = call
        try:
            returned = function(argument)
        except BaseException as error:
            call = fail(error)
        else:
            call = take(returned)


def spread(call: tuple[Any, ...]) -> object:
    """Calls a function with several arguments."""
    return call[0](*call[1:])


def forget(state: object) -> None:
    """Does nothing: the caller drops the state of a client without a hook."""


def is_async(handler: Callable[..., object]) -> bool:
    """Whether a call returns a coroutine."""
    code = getattr(handler, "__code__", None)
    if code is not None and not hasattr(handler, "_is_coroutine_mark"):
        return bool(code.co_flags & _CO_COROUTINE)
    import inspect  # slow, and seldom needed

    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)
