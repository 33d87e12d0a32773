"""The types that only annotations name."""

import datetime as dt
from collections.abc import Callable
from typing import TypeAlias

from daytime._vocabulary import Request

Clock: TypeAlias = dt.datetime | dt.timedelta
Handler: TypeAlias = Callable[[Request], str | None]
