"""The threads on which handlers of own commands run.

A loop in Python, so that no other frame lies below a handler: a daemon thread may be ended with the interpreter.
"""

import threading

from daytime._daytime import Calls


def start(calls: Calls) -> None:
    """Starts one more thread."""
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
        # A call holds on to nothing while the next one is waited for.
        del call
