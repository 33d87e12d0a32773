"""Events of a server in the log, on a thread of their own."""

import logging
import threading
from collections.abc import Iterable

from daytime._vocabulary import AcceptPaused, CommandFailed, CommandServed, Event

_LEVELS: dict[type, int] = {
    CommandServed: logging.DEBUG,
    CommandFailed: logging.WARNING,
    AcceptPaused: logging.WARNING,
}


def start(events: Iterable[Event], logger: logging.Logger | None) -> threading.Thread:
    """Returns the thread that logs the events."""
    target = logging.getLogger("daytime") if logger is None else logger
    if not callable(getattr(target, "log", None)):
        raise TypeError(f"a logger is a logging.Logger or None, not {type(target).__name__}")
    thread = threading.Thread(target=_log, args=(events, target), name="daytime-log", daemon=True)
    thread.start()
    return thread


def _log(events: Iterable[Event], logger: logging.Logger) -> None:
    for event in events:
        logger.log(_LEVELS.get(type(event), logging.INFO), "%s", event, extra={"event": event})
