"""The threads on which handlers of custom commands run.

Their loop is Python code, so that a handler has no Rust frame below it when the interpreter ends a daemon thread.
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
        # Drop the call before waiting for the next one.
        del call
