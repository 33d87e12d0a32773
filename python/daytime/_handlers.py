"""The threads that run the handlers of custom commands.

The loop is Python code, so that there is no Rust frame below a handler. The interpreter can then end a daemon thread in
the middle of a handler.
"""

import threading

from daytime._daytime import Calls


def start(calls: Calls) -> None:
    """Starts another thread."""
    threading.Thread(target=_answer, args=(calls,), name="daytime-handler", daemon=True).start()


def _answer(calls: Calls) -> None:
    while (call := calls.take()) is not None:
        try:
            reply = call.handler(call.request)
        except BaseException as error:
            call.fail(error)
        else:
            call.settle(reply)
            del reply
        # The thread keeps no object alive while it waits for the next call.
        del call
