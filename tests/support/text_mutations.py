"""The rules of strangers' text, as `make mutations` takes them out."""

from __future__ import annotations

LEGIBLE = "host/birthkey_host/legible.py"
OUTPUT = "host/birthkey_host/cli/printing.py"
COMMON = "host/birthkey_host/cli/common.py"
LOG = "host/birthkey_host/server/log_format.py"
REPL = "host/birthkey_host/repl.py"
LITERALS = "host/birthkey_host/literals.py"
HOSTILE = "tests/host/cli/test_hostile_text.py"

MUTATIONS = [
    (
        "text: a stranger's key is quoted and cut",
        "host/birthkey_host/message.py",
        "        name = quoted(key) if isinstance(key, str) else str(key)",
        "        name = str(key)",
        "tests/host/test_message.py",
    ),
    (
        "text: an error about a frame is legible and cut",
        "host/birthkey_host/errors.py",
        "        self.reason = excerpt(reason)",
        "        self.reason = reason",
        "tests/host/test_legible.py",
    ),
    (
        "text: a record of the log is one line",
        LOG,
        "        record.message = excerpt(self._hint(record.message), MESSAGE)\n",
        "",
        "tests/host/server/test_log_format.py",
    ),
    (
        "text: a trace stands behind a bar",
        LOG,
        "*(_BEHIND + excerpt(line, MESSAGE) for line in lines)",
        "*lines",
        "tests/host/server/test_log_format.py",
    ),
    (
        "text: the server's log is formatted so",
        "host/birthkey_host/cli/server.py",
        "    handler.setFormatter(OneLine(place.hint))",
        '    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))',
        "tests/host/cli/test_server.py -k forged",
    ),
    (
        "text: what is not seen is named",
        LEGIBLE,
        " or code in _INVISIBLE or",
        " or",
        "tests/host/test_legible.py",
    ),
    (
        "text: marks do not pile up",
        LEGIBLE,
        "                room -= 1\n",
        "",
        "tests/host/test_legible.py",
    ),
    (
        "text: a mark needs a letter",
        LEGIBLE,
        'MARKS if category[0] in "LN" or category == "So" else 0',
        "MARKS",
        "tests/host/test_legible.py",
    ),
    (
        "text: a table between tabs is legible",
        OUTPUT,
        "    shown = legible(text)\n",
        "    shown = text\n",
        HOSTILE,
    ),
    (
        "text: a cell is no formula",
        OUTPUT,
        '        return "\'" + shown\n',
        "        return shown\n",
        "tests/host/cli/test_printing.py",
    ),
    (
        "text: a number is no formula",
        OUTPUT,
        " and not _NUMBER.fullmatch(shown)",
        "",
        "tests/host/cli/test_printing.py",
    ),
    (
        "text: the command line guards its streams",
        "host/birthkey_host/cli/__init__.py",
        "    printing.guard()\n",
        "",
        "tests/host/cli/test_printing.py -k names",
    ),
    (
        "text: the guard names what is unsafe",
        OUTPUT,
        "        parts[::2] = map(legible, parts[::2])\n",
        "",
        "tests/host/cli/test_printing.py -k Guarded",
    ),
    (
        "text: the guard names what an encoding lacks",
        OUTPUT,
        'self.inner.write(fitting("".join(parts), self.encoding))',
        'self.inner.write("".join(parts))',
        "tests/host/cli/test_printing.py",
    ),
    (
        "text: a table names what an encoding lacks",
        COMMON,
        "[fitting(printable(text), console.encoding) for",
        "[printable(text) for",
        "tests/host/cli/test_printing.py",
    ),
    (
        "text: a label is legible",
        COMMON,
        " and text == legible(text))",
        " and text.isprintable())",
        "tests/host/cli/test_common.py",
    ),
    (
        "audit: nobody says himself who he is",
        COMMON,
        "        name = pwd.getpwuid(uid).pw_name",
        '        name = os.environ.get("LOGNAME") or pwd.getpwuid(uid).pw_name',
        "tests/host/cli/test_common.py",
    ),
    (
        "audit: who used sudo is named",
        COMMON,
        "    return _user(uid) + became",
        "    return _user(uid)",
        "tests/host/cli/test_common.py",
    ),
    (
        "bench: a board says so much and no more",
        REPL,
        "        if self._left < 0:",
        "        if False:",
        "tests/host/test_repl.py -k test_many_bytes_soon",
    ),
    (
        "bench: a board talks so long and no longer",
        REPL,
        "        if time.monotonic() > self._end:",
        "        if False:",
        "tests/host/test_repl.py -k drip",
    ),
    (
        "bench: what a board prints is not deep",
        LITERALS,
        "        if not 0 <= depth <= DEPTH:",
        "        if depth < 0:",
        "tests/host/test_literals.py",
    ),
    (
        "bench: what a board prints is no expression",
        LITERALS,
        '        if kind in ("open", "value") and ended:',
        "        if False:",
        "tests/host/test_literals.py",
    ),
]
