"""`make dist`: what `mip` installs, on a board that runs MicroPython of its own."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from birthkey_host.repl import Repl
from boards.build import dist, native, sources
from boards.build.cache import BuildError
from boards.emulated.unix_port import micropython
from stock_board import StockBoard

# Everything but what needs a board.
_MODULES = sorted(
    name.removesuffix(".mpy").removesuffix("/__init__").replace("/", ".")
    for name in dist.modules()
    if name.endswith(".mpy")
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return dist.build(tmp_path / "dist")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that no test changes."""
    return dist.build(tmp_path_factory.mktemp("shared") / "dist")


@pytest.fixture
def index(out: Path) -> Iterator[str]:
    """The URL of the folder, served over HTTP."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(out))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def mip(port: str, *arguments: str) -> str:
    """`mpremote connect PORT mip install …`, as a person types it."""
    command = [sys.executable, "-m", "mpremote", "connect", port, "mip", "install", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_sources_give_the_same_bytes(out: Path, tmp_path: Path) -> None:
    again = dist.build(tmp_path / "elsewhere" / "dist")
    assert contents(out) == contents(again)
    assert contents(dist.build(out)) == contents(again)


def test_bytecode_names_no_folder_of_this_machine(out: Path) -> None:
    for path in out.rglob("*.mpy"):
        assert str(dist.ROOT).encode() not in path.read_bytes()
        assert path.read_bytes()[:2] == b"M\x06"


def test_package_lists_what_is_there(out: Path) -> None:
    package = json.loads((out / "package.json").read_text())
    assert package["version"] == dist.version()
    assert package["deps"] == []  # no index is asked: the folder is all that is needed
    listed = {url for _, url in package["urls"]}
    assert listed == {name for name in contents(out) if name.startswith("mpy6/")}
    for target, url in package["urls"]:
        assert url == f"mpy6/{target}"
    targets = {target for target, _ in package["urls"]}
    assert {"birthkey/device.mpy", "birthkey/crypto/p256.mpy", "senml/__init__.mpy"} <= targets


@pytest.mark.parametrize("backend", native.BACKENDS)
def test_package_for_one_architecture_has_its_native_code_too(out: Path, backend: str) -> None:
    everywhere = json.loads((out / "package.json").read_text())
    package = json.loads((out / f"package-{backend}.json").read_text())
    name = f"birthkey_p256_{backend}.mpy"
    assert package.pop("urls") == [*everywhere.pop("urls"), [name, f"mpy6-{backend}/{name}"]]
    assert package == everywhere
    header = (out / f"mpy6-{backend}" / name).read_bytes()[:4]
    assert header[:2] == b"M\x06"
    # The architecture of the file: what firmware without floating point loads, too.
    assert header[2] >> 2 == {"armv6m": 4, "armv7m": 5, "armv7em": 5}[backend]


def test_native_code_is_the_same_wherever_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = native.module("armv7m")
    found = sources.sources()
    monkeypatch.setattr(native, "sources", lambda: dataclasses.replace(found, key=""))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    again = native.module("armv7m")
    assert again == made
    assert str(tmp_path).encode() not in again


def test_native_code_that_does_not_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(native._P256, tmp_path / "p256")
    (tmp_path / "p256" / "words.c").write_text("#error no\n")
    found = sources.sources()
    monkeypatch.setattr(native, "sources", lambda: dataclasses.replace(found, key=""))
    monkeypatch.setattr(native, "_P256", tmp_path / "p256")
    with pytest.raises(BuildError, match=r"(?s)^make .* failed:.*words\.c.*#error no"):
        native.module("armv6m")


@pytest.mark.parametrize(
    ("arch", "backends"),
    [
        ("armv6m", ("armv6m",)),
        ("armv7m", ("armv7m",)),
        ("armv7em", ("armv7m", "armv7em")),
        ("armv7emsp", ("armv7em",)),
        ("armv7emdp", ("armv7em",)),
        ("xtensawin", ()),
        ("-", ()),
    ],
)
def test_native_code_for_an_architecture(arch: str, backends: tuple[str, ...]) -> None:
    assert native.backends(arch) == backends


@pytest.mark.parametrize("module", _MODULES)
def test_bytecode_loads(module: str, shared: Path) -> None:
    code = (
        "import sys\n"
        "from birthkey import cbor\n"
        "sys.modules['cbor2'] = cbor\n"
        f"import {module}\n"
        f"assert sys.modules[{module!r}].__file__.endswith('.mpy')\n"
    )
    ran = subprocess.run(
        [micropython(), "-c", code],
        env={"MICROPYPATH": f"{shared / dist.BYTECODE}:.frozen"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_module_with_native_parts_is_left_to_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code is made for the processor that it runs on, by the compiler on the board."""
    package = tmp_path / "birthkey"
    package.mkdir()
    fast = b"import micropython\n\n\n@micropython.viper\ndef one() -> int:\n    return 1\n"
    (package / "fast.py").write_bytes(fast)
    (package / "plain.py").write_text('"""Not @micropython.viper, but about it."""\n')
    monkeypatch.setattr(dist, "_PACKAGES", ((tmp_path, "birthkey"),))
    modules = dist.modules()
    assert modules["birthkey/fast.py"] == fast
    assert sorted(modules) == ["birthkey/fast.py", "birthkey/plain.mpy"]


def test_source_that_does_not_compile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "birthkey").mkdir()
    (tmp_path / "birthkey" / "bad.py").write_text("def :\n")
    monkeypatch.setattr(dist, "_PACKAGES", ((tmp_path, "birthkey"),))
    with pytest.raises(BuildError, match=r"(?s)mpy-cross refuses .*bad\.py:\n.*SyntaxError"):
        dist.modules()


def test_senml_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dist, "_PACKAGES", ((tmp_path, "senml"),))
    with pytest.raises(BuildError, match=r"there is no .*/senml"):
        dist.modules()


class TestMip:
    @pytest.fixture
    def board(self, tmp_path: Path) -> Iterator[StockBoard]:
        with StockBoard(tmp_path / "board", main=False) as board:
            yield board

    def test_from_a_server(self, board: StockBoard, index: str) -> None:
        said = mip(board.port, f"{index}/package.json")
        assert "Installing: /lib/birthkey/device.mpy" in said
        files = board.files()
        assert files == {f"/lib/{name}": data for name, data in dist.modules().items()}
        with Repl(board.port) as repl:
            assert repl.ask("import birthkey\nprint(repr(birthkey.__version__))") == dist.version()

    def test_from_the_folder(self, board: StockBoard, out: Path) -> None:
        mip(board.port, str(out / "package.json"))
        assert board.files() == {f"/lib/{name}": data for name, data in dist.modules().items()}

    def test_sources_from_a_checkout(self, board: StockBoard, index: str, out: Path) -> None:
        """firmware/package.json; what it depends on comes from an index, as micropython.org's."""
        version = out / "package" / "6" / "senml"
        version.mkdir(parents=True)
        senml = (out / "mpy6" / "senml" / "__init__.mpy").read_bytes()
        short = hashlib.sha256(senml).hexdigest()[:8]
        package = {"hashes": [["senml/__init__.mpy", short]], "deps": [], "version": "0.1.1"}
        (version / "0.1.1.json").write_text(json.dumps(package))
        file = out / "file" / short[:2] / short
        file.parent.mkdir(parents=True)
        file.write_bytes(senml)
        mip(board.port, "--index", index, str(dist.FIRMWARE / "package.json"))
        files = board.files()
        for source in (dist.FIRMWARE / "birthkey").rglob("*.py"):
            assert files[f"/lib/{source.relative_to(dist.FIRMWARE)}"] == source.read_bytes()
        assert files["/lib/senml/__init__.mpy"] == senml


def test_package_of_the_sources_is_up_to_date() -> None:
    present = json.loads((dist.FIRMWARE / "package.json").read_text())
    assert present == dist.source_package(), "`make dist` brings firmware/package.json up to date"
