"""The rules by which readers and operators lose nothing, as `make mutations` takes them out."""

from __future__ import annotations

BACKUP = "host/birthkey_host/backup.py"
DATABASE = "host/birthkey_host/database.py"
ERASING = "host/birthkey_host/erasing.py"
LIFE = "host/birthkey_host/life.py"
LOG = "host/birthkey_host/log.py"
MESSAGES = "host/birthkey_host/cli/messages.py"
RECORDING = "host/birthkey_host/recording.py"
SCHEMA = "host/birthkey_host/schema.py"
VERSIONS = "host/birthkey_host/versions.py"

MUTATIONS = [
    (
        "registry: no position in the log comes again",
        RECORDING,
        "                number=_position(session),\n",
        "",
        "tests/host/test_positions.py",
    ),
    (
        "registry: who asks for a position that was never reached is told",
        MESSAGES,
        "    if last < after:",
        "    if False:",
        "tests/host/cli/test_messages.py",
    ),
    (
        "registry: a file that is removed or replaced is noticed before the commit",
        DATABASE,
        "        if opened != _identities(path):",
        "        if False:",
        "tests/host/test_lost_file.py",
    ),
    (
        "registry: SQLite's log counts as well as its file",
        DATABASE,
        'SUFFIXES = ("", "-wal", "-shm")',
        'SUFFIXES = ("",)',
        "tests/host/test_lost_file.py",
    ),
    (
        "registry: no empty file is made where the registry was",
        DATABASE,
        "        if path is not None and before is None:",
        "        if False:",
        "tests/host/test_lost_file.py",
    ),
    (
        "registry: the log of a replaced file is not mixed into the other",
        DATABASE,
        "self.path.is_file() and not _left_over(self.path, self._opened)",
        "self.path.is_file()",
        "tests/host/test_lost_file.py",
    ),
    (
        "registry: SQLite's log does not stay large",
        DATABASE,
        '            f"journal_size_limit = {WAL_LIMIT}",\n',
        "",
        "tests/host/test_erasing.py",
    ),
    (
        "erasing: what is erased stays old",
        ERASING,
        "        made = _raise_floors(session, highest)\n",
        "        made: Counter[bytes] = Counter()\n",
        "tests/host/test_erasing.py",
    ),
    (
        "erasing: it goes on in pieces",
        ERASING,
        "rows.limit(PIECE)",
        "rows",
        "tests/host/test_erasing.py",
    ),
    (
        "erasing: a device that was let in again keeps what it sends",
        ERASING,
        "        if self.before is None:\n            rows = rows",
        "        if False:\n            rows = rows",
        "tests/host/test_erasing.py",
    ),
    (
        "erasing: a device is not let in before it is wholly deleted",
        LIFE,
        "        if device.deleted is not None and erasing.is_left(session, device_id):",
        "        if False:",
        "tests/host/test_erasing.py",
    ),
    (
        "erasing: a deletion that was interrupted goes on",
        LIFE,
        "        if not erasing.is_left(session, device_id):",
        "        if True:",
        "tests/host/test_erasing.py",
    ),
    (
        "erasing: SQLite finds pairs by an index",
        ERASING,
        "        device_id.in_({each for each, _ in chosen}),\n",
        "",
        "tests/host/cli/test_queries.py",
    ),
    (
        "log: messages of a device are found in order by an index",
        SCHEMA,
        '        Index("messages_by_device", "device_id", "number"),\n',
        "",
        "tests/host/cli/test_queries.py",
    ),
    (
        "log: a page is no more than that",
        LOG,
        "PAGE if limit is None else min(PAGE, limit)",
        "limit",
        "tests/host/test_positions.py",
    ),
    (
        "backup: it does not begin anew with each commit",
        BACKUP,
        "        connection.execute(select(Meta.version)).all()\n",
        "",
        "tests/host/test_backup.py",
    ),
    (
        "backup: it is checked",
        BACKUP,
        "            _check(temporary)\n",
        "",
        "tests/host/test_backup.py",
    ),
    (
        "backup: the registry itself is no target",
        BACKUP,
        "        if _is_among(target, [",
        "        if False and _is_among(target, [",
        "tests/host/test_backup.py",
    ),
    (
        "backup: what belongs to the home is no target",
        BACKUP,
        "        if _is_among(target, kept):",
        "        if False:",
        "tests/host/cli/test_keeping.py",
    ),
    (
        "backup: nothing but a registry is replaced",
        BACKUP,
        "    if not _is_registry(target):",
        "    if False:",
        "tests/host/test_backup.py",
    ),
    (
        "backup: what comes meanwhile is not replaced",
        BACKUP,
        "            if replace:\n",
        "            if False:\n",
        "tests/host/test_backup.py",
    ),
    (
        "upgrade: nobody else has the registry open",
        VERSIONS,
        "                _be_alone(connection)\n",
        "                pass\n",
        "tests/host/test_versions.py",
    ),
]
