"""Datetimes and timedeltas as whole seconds, rounded down as a clock shows them."""

import datetime as dt

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND = dt.timedelta(seconds=1)


def whole_seconds(span: dt.timedelta) -> int:
    """The seconds of a timedelta."""
    return span // _SECOND


def unix_seconds(moment: dt.datetime, timezone: str | None) -> int:
    """The seconds since the epoch of a datetime. A naive datetime is read in the time zone of the server."""
    if moment.utcoffset() is None:
        moment = moment.replace(tzinfo=None)
        moment = moment.astimezone() if timezone is None else moment.replace(tzinfo=_zone(timezone))
    return (moment - _EPOCH) // _SECOND


def _zone(name: str) -> dt.tzinfo | None:
    if name.upper() in ("UTC", "Z"):
        return dt.UTC
    if name[0] in "+-":
        # The server has accepted this offset, and strptime(3) accepts the same forms.
        return dt.datetime.strptime(name, "%z").tzinfo
    import zoneinfo

    return zoneinfo.ZoneInfo(name)
