"""nginx, as Debian ships it, in front of a server: it ends TLS and passes the bytes on.

    with front("127.0.0.1:7155", certificate) as nginx:
        socket.create_connection(("127.0.0.1", nginx.port))

It needs no rights, and all that it writes is in a folder of its own, which goes with it. As a
program, this module fetches nginx into the cache.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from boards.build.cache import BuildError
from boards.build.toolchain import environment
from sockets import listens, reserved_port

_PATIENCE = 10.0  # seconds for it to start, to reload and to end
_MODULE = "ngx_stream_module.so"
_CONFIGURATION = """\
daemon off;
{load_module}
pid nginx.pid;
error_log stderr notice;
events {{}}
stream {{
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate "{certificate}";
        ssl_certificate_key "{key}";
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_pass {server};
        {directives}
    }}
}}
"""


class Front:
    """nginx while it runs; `port` is that of 127.0.0.1 on which it speaks TLS."""

    def __init__(self, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
        self.port = port
        self._process = process
        self._log = log

    @property
    def log(self) -> str:
        """Its error log, from the level "notice" on."""
        return self._log.read_text()

    def reload(self) -> None:
        """Have it read configuration and certificates anew.

        When this returns they hold for every new connection; those that are open stay with the
        worker that has the former ones. Raises AssertionError with nginx's words if it refuses.
        """
        before = len(self.log)
        self._process.send_signal(signal.SIGHUP)
        # An old worker says so before it closes its listening socket, and accepts nothing between.
        self._wait(lambda: "gracefully shutting down" in self.log[before:], before)

    def started(self) -> None:
        """Wait until it listens. Raises AssertionError with nginx's words if it does not."""
        self._wait(lambda: listens(self.port), 0)

    def _wait(self, done: Callable[[], bool], before: int) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not done():
            said = self.log[before:]
            failed = self._process.poll() is not None or "[emerg]" in said
            assert not failed, f"nginx: {said}"
            assert time.monotonic() < deadline, f"nginx took too long: {said}"
            time.sleep(0.01)


@contextlib.contextmanager
def front(
    server: str, certificate: Path, key: Path | None = None, *directives: str
) -> Iterator[Front]:
    """nginx in front of the server at HOST:PORT, until the end of the block.

    `certificate` is a PEM file with the chain; the key is there too, or in `key`. `directives` are
    added to the block `server`. Raises BuildError when there is no nginx to be had.
    """
    program, load_module, variables = _find()
    with (
        tempfile.TemporaryDirectory(prefix="birthkey-nginx-") as name,
        reserved_port() as port,
    ):
        folder = Path(name)
        (folder / "nginx.conf").write_text(
            _CONFIGURATION.format(
                load_module=load_module,
                port=port,
                certificate=certificate.resolve(),
                key=(key or certificate).resolve(),
                server=server,
                directives="\n        ".join(directives),
            )
        )
        with (folder / "error.log").open("ab") as log:
            process = subprocess.Popen(
                # The first words: it ends when this process does, in whatever way.
                ["setpriv", "--pdeathsig", "TERM", program]
                + ["-p", name, "-c", f"{name}/nginx.conf", "-e", "stderr"],
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            nginx = Front(port, process, folder / "error.log")
            nginx.started()
            yield nginx
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it with its workers, and so with the connections that they have."""
    process.terminate()
    try:
        process.wait(_PATIENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _find() -> tuple[str, str, dict[str, str]]:
    """The program, the directive that loads the module `stream`, the environment to run it in."""
    variables = environment("nginx")
    program = shutil.which("nginx", path=variables["PATH"])
    assert program is not None
    said = subprocess.run(
        [program, "-V"], env=variables, capture_output=True, text=True, check=True
    ).stderr
    built = shlex.split(said.partition("configure arguments:")[2])
    if "--with-stream_ssl_module" in built and "--with-stream" in built:
        return program, "", variables
    if "--with-stream_ssl_module" in built and "--with-stream=dynamic" in built:
        folders = [Path(program).resolve().parents[1] / "lib/nginx/modules"]
        folders += [Path(word[15:]) for word in built if word.startswith("--modules-path=")]
        for module in (folder / _MODULE for folder in folders):
            if module.exists():
                return program, f'load_module "{module}";', variables
    raise BuildError(
        f"{program} has no module `stream` with TLS: install it"
        " (on Debian: apt install libnginx-mod-stream)"
    )


if __name__ == "__main__":
    print(f"nginx: {_find()[0]}")
