"""The rules of commands and of the time, as `make mutations` takes them out."""

from __future__ import annotations

CONVERSATION = "firmware/birthkey/conversation.py"
COMMAND = "firmware/birthkey/command.py"
SESSION = "firmware/birthkey/session.py"
COMMANDS = "host/birthkey_host/commands.py"
RECORDING = "host/birthkey_host/recording.py"

MUTATIONS = [
    (
        "command: its id is on flash before it is done",
        COMMAND,
        "            self._store.write(self._records[0], head)\n        except",
        "            pass\n        except",
        "tests/faults/test_power_cut.py",
    ),
    (
        "command: an id is not done twice",
        COMMAND,
        "            if number <= last:",
        "            if False:",
        "tests/firmware/test_command.py",
    ),
    (
        "command: another one under the same id has no result",
        COMMAND,
        "(number < last or record[:_HEAD] == head)",
        "True",
        "tests/firmware/test_command.py",
    ),
    (
        "command: a handler that raises stops nothing",
        COMMAND,
        "        return result\n    except Exception as error:",
        "        return result\n    except KeystoreError as error:",
        "tests/firmware/test_command.py",
    ),
    (
        "command: only behind an acknowledgement, once",
        SESSION,
        "            if not sent.answered or sent.commanded:",
        "            if False:",
        "tests/attacks/test_commands.py",
    ),
    (
        "command: nothing is waited for that was not announced",
        CONVERSATION,
        "            self._announced = 1 in body\n",
        "            self._announced = True\n",
        "tests/firmware/test_device_commands.py",
    ),
    (
        "command: its acknowledgement announces it",
        "host/birthkey_host/verifier.py",
        "        elif verdict.command is not None:\n",
        "        elif False:\n",
        "tests/host/server/test_commands.py",
    ),
    (
        "command: none is taken while a result waits",
        CONVERSATION,
        "        if self._result is None:",
        "        if True:",
        "tests/firmware/test_device_commands.py",
    ),
    (
        "command: one is outstanding at a time",
        COMMANDS,
        "    row = rows[0]\n",
        "    row = rows[-1]\n",
        "tests/host/test_commands.py",
    ),
    (
        "command: an expired one is closed for every server",
        COMMANDS,
        "        if row.expires <= now:\n            _close",
        "        if False:\n            _close",
        "tests/host/test_commands.py",
    ),
    (
        "command: a result counts for what was sent from here",
        COMMANDS,
        "row.sent is not None and not",
        "not",
        "tests/host/test_commands.py",
    ),
    (
        "command: a status closes all up to its id",
        COMMANDS,
        "StoredCommand.id <= last",
        "StoredCommand.id == last",
        "tests/host/test_commands.py",
    ),
    (
        "command: ids go on above the board's last",
        COMMANDS,
        "    device.command_id = max(device.command_id, last)\n",
        "",
        "tests/host/test_commands.py",
    ),
    (
        "command: none behind an enrol or the time",
        RECORDING,
        "    if asks_time or outcome.enrol is not None:",
        "    if False:",
        "tests/host/test_commands.py",
    ),
    (
        "command: for active devices only",
        COMMANDS,
        "    if device.state is not State.ACTIVE:",
        "    if False:",
        "tests/host/test_commands.py",
    ),
    (
        "time: an answer is believed for ten seconds",
        SESSION,
        "                _check_age(sent, now, _TIME_AGE)",
        "                pass",
        "tests/firmware/test_device_time.py",
    ),
    (
        "time: only in answer to the question",
        CONVERSATION,
        "        if kind == message.TIME and item is self._question:",
        "        if kind == message.TIME:",
        "tests/firmware/test_device_time.py",
    ),
    (
        "time: one that cannot be is not believed",
        CONVERSATION,
        "            if not _EARLIEST <= body[1] < _LATEST:",
        "            if False:",
        "tests/firmware/test_device_time.py",
    ),
    (
        "time: each question is asked once",
        CONVERSATION,
        "                self._question = None  # each is asked once\n",
        "                pass\n",
        "tests/firmware/test_device_time.py",
    ),
    (
        "command: none is taken when nobody has counted since its frame was sealed",
        SESSION,
        "    if sent.aged or ticks_diff",
        "    if ticks_diff",
        "tests/firmware/test_session.py",
    ),
    (
        "command: one that a call has left is not begun by the next",
        CONVERSATION,
        "                self.commands.forget()",
        "                pass",
        "tests/firmware/test_device_calls.py",
    ),
    (
        "device: a full outbox is delivered before it is refused",
        "firmware/birthkey/device.py",
        "            yield from self._until(lambda: len(self._outbox) < waiting, timer, False)",
        "            raise",
        "tests/firmware/test_device_calls.py",
    ),
]
