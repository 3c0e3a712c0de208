"""The rules of what strangers and devices may take, as `make mutations` takes them out."""

from __future__ import annotations

LIMITS = "tests/host/server/test_limits.py"
NEWCOMERS = "host/birthkey_host/server/newcomers.py"
QUOTA = "host/birthkey_host/server/quota.py"
RECORDING = "host/birthkey_host/recording.py"
WAITING = "host/birthkey_host/waiting.py"

MUTATIONS = [
    (
        "a device sends no more than its quota",
        QUOTA,
        "self._limits.messages, now) >= 1:",
        "self._limits.messages, now) >= 0:",
        LIMITS,
    ),
    (
        "a device starts no more often than its quota",
        QUOTA,
        "        if boot > account.newest and",
        "        if False and",
        LIMITS,
    ),
    (
        "a quota is forgotten when it is full again, and not before",
        QUOTA,
        "            if not full or not account.boots.is_full(self._limits.boots, now):",
        "            if False:",
        "tests/host/server/test_quota.py",
    ),
    (
        "a device keeps no more bytes than its quota",
        RECORDING,
        "    if size and device.size + size > limits.size:",
        "    if False:",
        "tests/host/test_registry_replay.py",
    ),
    (
        "what is pruned is no longer counted",
        "host/birthkey_host/erasing.py",
        "size=case((size > 0, size), else_=0),",
        "",
        "tests/host/test_prune.py",
    ),
    (
        "what stays of what was pruned is counted",
        "host/birthkey_host/erasing.py",
        "{device_id: -sizes.FLOOR * count for device_id, count in made.items()}",
        "",
        "tests/host/test_prune.py",
    ),
    (
        "those who wait for approval are capped",
        WAITING,
        "    if _count(session) < limit:\n        return None",
        "    if True:\n        return None",
        "tests/host/test_enrolment.py",
    ),
    (
        "one address has a share of those who wait for approval",
        WAITING,
        "        if _count(session, there) < share:",
        "        if True:",
        "tests/host/test_waiting.py",
    ),
    (
        "who waits and never asked again goes first",
        WAITING,
        "    if found is not None:\n        return _drop(",
        "    if False:\n        return _drop(",
        "tests/host/test_waiting.py",
    ),
    (
        "who asks again keeps a place among those of one address",
        WAITING,
        "_drop(session, now, there, _silent(now))",
        "_drop(session, now, there)",
        "tests/host/test_waiting.py",
    ),
    (
        "who waits has to ask every day",
        WAITING,
        "or_(Device.asked.is_(None), Device.asked < now - SILENT)",
        "Device.asked.is_(None)",
        "tests/host/test_waiting.py",
    ),
    (
        "a full list makes room for whom it holds less of",
        WAITING,
        "    if found is None or found.held <= own + 1:",
        "    if found is None:",
        "tests/host/test_waiting.py",
    ),
    (
        "few new devices come from one address",
        NEWCOMERS,
        "            if found is not None and found[0].now(found[1], now) < 1:",
        "            if False:",
        LIMITS,
    ),
    (
        "few new devices come from all addresses",
        NEWCOMERS,
        "if self._total.now(self._all, now) < 1 else None",
        "if False else None",
        LIMITS,
    ),
    (
        "whoever was approved or has a code is no stranger",
        RECORDING,
        "        stranger = not claimed or admitted is not State.ACTIVE",
        "        stranger = True",
        LIMITS,
    ),
    (
        "a disk that is nearly full takes no strangers",
        "host/birthkey_host/server/pipeline.py",
        "no_strangers = reserve.no_strangers or self",
        "no_strangers = self",
        LIMITS,
    ),
    (
        "a disk that is fuller takes nothing new",
        RECORDING,
        "    if size and terms.no_growth is not None:",
        "    if False:",
        LIMITS,
    ),
    (
        "a claim code that cannot be spent lets no stranger in",
        RECORDING,
        "    if terms.no_growth is not None:  # before a code lets it in that its message would spend",
        "    if False:",
        LIMITS,
    ),
    (
        "a claim code that cannot be spent lets nobody in who waits",
        RECORDING,
        "    if enrol is not None and terms.no_growth is None:",
        "    if enrol is not None:",
        LIMITS,
    ),
    (
        "room in the file is none for the log",
        "host/birthkey_host/server/reserve.py",
        "        if room is not None and room.disk < limits.log:",
        "        if False:",
        "tests/host/server/test_reserve.py",
    ),
]
