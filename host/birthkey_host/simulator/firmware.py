"""Releases of the modem's firmware, as far as they differ to a board."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Firmware:
    """One release. Sizes are in bytes."""

    version: tuple[str, ...]  # what AT+GMR says
    receive_command: str | None  # CIPRECVTYPE or CIPRECVMODE; None: no passive mode at all
    data_header: str  # of CIPRECVDATA; {} is the length
    prompt: bytes  # follows OK; no line end comes after it
    join_failure: str
    send_limit: int  # of one CIPSEND
    push_limit: int  # of one pushed +IPD
    receive_buffer: int  # of one connection in passive mode
    sysstore: bool  # whether AT+SYSSTORE says what is kept in flash, or else the suffix _CUR
    line_limit: int = 256  # of a command, its CR LF included
    links: int = 5


ESP_AT_3_3 = Firmware(
    version=("AT version:3.3.0.0(simulator)", "SDK version:none", "Bin version:v3.3.0.0"),
    receive_command="CIPRECVTYPE",
    data_header="+CIPRECVDATA:{},",
    prompt=b"\r\n>",
    join_failure="ERROR",
    send_limit=8192,
    push_limit=2920,
    receive_buffer=5760,
    sysstore=True,
)
ESP_AT_2 = replace(
    ESP_AT_3_3,
    version=("AT version:2.2.0.0(simulator)", "SDK version:none", "Bin version:2.2.0"),
    receive_command="CIPRECVMODE",
    send_limit=2048,
)
NONOS_1_7 = replace(
    ESP_AT_2,
    version=("AT version:1.7.4.0(simulator)", "SDK version:none", "Bin version:1.7.4"),
    data_header="+CIPRECVDATA,{}:",  # not what its manual says, but what drivers met
    prompt=b"> ",
    join_failure="FAIL",
    push_limit=1460,
    receive_buffer=2920,
    sysstore=False,
)
FIRMWARES = {"esp-at-3.3": ESP_AT_3_3, "esp-at-2": ESP_AT_2, "nonos-1.7": NONOS_1_7}
