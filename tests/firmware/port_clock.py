"""A port's modules `machine` and `time`, for the test of the clock; runs on the device."""

import sys
import time as _time

import birthkey._port  # noqa: F401

_port = sys.modules["birthkey._port"]


class _Rtc:
    said = []

    def datetime(self, fields):
        self.said.append(fields)


class _Machine:
    RTC = _Rtc


class _Time:
    """The time of a port that counts from this many seconds after 1970, in 32 bits."""

    def __init__(self, epoch):
        self._epoch = epoch

    def gmtime(self, seconds):
        if not -(1 << 31) <= seconds < 1 << 31:
            raise OverflowError("overflow converting long int to machine word")
        return _time.gmtime(seconds + self._epoch)


def set_clock(seconds, epoch, with_rtc):
    """What the RTC was set to, None if it was not."""
    before = sys.modules.get("machine")
    _Rtc.said.clear()
    _port.time = _Time(epoch)
    sys.modules["machine"] = _Machine if with_rtc else object()
    try:
        done = _port.set_clock(seconds)
    finally:
        _port.time = _time
        del sys.modules["machine"]
        if before is not None:
            sys.modules["machine"] = before
    if done != bool(_Rtc.said):
        raise ValueError("it says otherwise")
    return _Rtc.said[0] if done else None
