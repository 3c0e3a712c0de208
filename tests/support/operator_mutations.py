"""The rules of what operators type and are told, as `make mutations` takes them out."""

from __future__ import annotations

CLAIMS = "host/birthkey_host/claims.py"
CLI_CLAIMS = "host/birthkey_host/cli/claims.py"
COMMON = "host/birthkey_host/cli/common.py"
SERVE = "host/birthkey_host/cli/server.py"
REGISTRY = "host/birthkey_host/registry.py"
MODES = "host/birthkey_host/modes.py"
CERTIFICATES = "host/birthkey_host/certificates.py"

INIT = "tests/host/cli/test_init.py"
REMOVE = "tests/host/cli/test_claims.py -k Remove"
WHO_ELSE = "tests/host/test_modes.py"
SIGNALS = "tests/host/cli/test_serve_signals.py"
LIMITS = "tests/host/test_certificates.py -k NameConstraints"

MUTATIONS = [
    (
        "operator: a part of the messages does not pass for all",
        "host/birthkey_host/cli/messages.py",
        "        if not follow:\n            fail(",
        "        if False:\n            fail(",
        "tests/host/cli/test_messages.py",
    ),
    (
        "operator: a date to come is one device's alone",
        "host/birthkey_host/cli/life.py",
        "    if until > now and device is None:\n",
        "    if False:\n",
        "tests/host/cli/test_life.py -k Prune",
    ),
    (
        "operator: commands in the server's log name the home",
        SERVE,
        "OneLine(place.hint)",
        "OneLine()",
        "tests/host/cli/test_server.py -k reserve",
    ),
    (
        "operator: a reserve beyond the disk is said at the start",
        SERVE,
        "        pipeline.begin()\n",
        "",
        "tests/host/cli/test_server.py -k reserve",
    ),
    (
        "operator: no registry is offered in the place of one that was lost",
        COMMON,
        "            if os.path.lexists(self.key_path):\n",
        "            if False:\n",
        INIT,
    ),
    (
        "operator: no registry is made beside what is left of another",
        REGISTRY,
        "            if (left := left_of_a_missing(path)) is not None:\n",
        "            if False:\n",
        INIT,
    ),
    (
        "operator: nothing is left of a registry that could not be made",
        REGISTRY,
        "                remove(path)\n",
        "",
        INIT,
    ),
    (
        "operator: a claim code that could not be printed is withdrawn",
        CLI_CLAIMS,
        "            _withdraw(registry, codes)\n",
        "",
        "tests/host/cli/test_output.py -k ClaimCodes",
    ),
    (
        "operator: a spent claim code stays on the list",
        CLAIMS,
        "        if claim.spent is not None:\n",
        "        if False:\n",
        REMOVE,
    ),
    (
        "operator: claim codes that boards have spent are not removed with others",
        CLAIMS,
        "Claim.spent.is_(None), which",
        "which",
        REMOVE,
    ),
    (
        "operator: removing claim codes is an event",
        CLAIMS,
        "    if count:\n        fact",
        "    if False:\n        fact",
        REMOVE,
    ),
    (
        "operator: a registry that has lost its key gets none by itself",
        SERVE,
        "        if had_registry and not new_key:",
        "        if False:",
        INIT,
    ),
    (
        "operator: a database's password is not repeated",
        COMMON,
        '"URL" if _is_secret(self.registry_url) else self.registry_url',
        "self.registry_url",
        INIT,
    ),
    (
        "operator: nothing that everyone may write is trusted",
        MODES,
        "    if mode & stat.S_IWOTH:",
        "    if False:",
        WHO_ELSE,
    ),
    (
        "operator: nothing that another group may write is trusted",
        MODES,
        "        if status.st_gid not in user.groups:",
        "        if False:",
        WHO_ELSE,
    ),
    (
        "operator: both folders of a link count",
        MODES,
        "dict.fromkeys((path.parent, path.resolve().parent))",
        "(path.parent,)",
        WHO_ELSE,
    ),
    (
        "operator: the server looks who else may write",
        SERVE,
        "modes.check([place.key_path, *database], place.home)",
        "()",
        "tests/host/cli/test_server.py -k WhoElse",
    ),
    (
        "operator: a lost terminal does not end the server",
        SERVE,
        "    loop.add_signal_handler(signal.SIGHUP, _hung_up, [each for _, _, each in listeners])\n",
        "",
        SIGNALS,
    ),
    (
        "operator: refusals on a serial port are summed up at the end",
        SERVE,
        "    finally:\n        pipeline.lines.sum_up()",
        "    finally:\n        pass",
        SIGNALS,
    ),
    (
        "operator: refusals on a serial port are summed up meanwhile",
        SERVE,
        "        pipeline.lines.sum_up(every=LIMITS.summaries)\n",
        "",
        SIGNALS,
    ),
    (
        "TLS: what a CA signs is for servers alone",
        CERTIFICATES,
        "        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),"
        " critical=False)\n    )\n    if allowed:",
        "    )\n    if allowed:",
        "tests/host/test_certificates.py -k TestAuthority",
    ),
    (
        "TLS: a CA that is limited to names signs for no others",
        CERTIFICATES,
        "if limits and not _is_within(name, limits)]",
        "if False]",
        LIMITS,
    ),
    (
        "TLS: a CA's limits leave out the other kinds of names",
        CERTIFICATES,
        "x509.NameConstraints(list(allowed), excluded or None)",
        "x509.NameConstraints(list(allowed), None)",
        LIMITS,
    ),
    (
        "TLS: boards can read a CA that is limited to names",
        CERTIFICATES,
        "_constraints(allowed), critical=False)",
        "_constraints(allowed), critical=True)",
        "tests/host/test_ca_tls.py -k names_that_the_ca",
    ),
]
