"""Decoders by the name that `format` has in the config: messages of one partition become columns."""

from __future__ import annotations

from collections.abc import Callable

from monitor.decode.kserve import KServeDecoder
from monitor.decode.native import NativeDecoder
from monitor.decode.settings import DecodeSettings
from monitor.events import Decoder

DECODERS: dict[str, Callable[[DecodeSettings], Decoder]] = {"native": NativeDecoder, "kserve": KServeDecoder}
