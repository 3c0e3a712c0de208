"""The program `openssl` as a second opinion on certificates."""

from __future__ import annotations

import subprocess
from pathlib import Path


def openssl(*arguments: object, password: str = "") -> subprocess.CompletedProcess[str]:
    """Run it; the environment has BIRTHKEY_TEST_PASSWORD for `-passin env:`."""
    return subprocess.run(
        ["openssl", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=20,
        env={"PATH": "/usr/bin:/bin", "BIRTHKEY_TEST_PASSWORD": password},
        check=False,
    )


def verifies(bundle: Path, certificate: Path, *options: object) -> bool:
    """Whether `openssl verify` believes a certificate, by the CAs in `bundle` and no others."""
    strict = ("-x509_strict", "-purpose", "sslserver", "-no-CApath", "-no-CAstore")
    result = openssl("verify", "-CAfile", bundle, *strict, *options, certificate)
    assert result.returncode in (0, 2), result
    return result.returncode == 0 and result.stdout == f"{certificate}: OK\n"
