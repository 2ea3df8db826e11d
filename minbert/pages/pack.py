"""Bytes -> text that may stand in a page, and back: deflated (RFC 1951), then base64, which has no "<"."""

import base64
import zlib


def pack(data: bytes) -> str:
    """Bytes as text. A browser reads it with DecompressionStream("deflate-raw")."""
    compressor = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
    return base64.b64encode(compressor.compress(data) + compressor.flush()).decode("ascii")


def unpack(text: str) -> bytes:
    """The bytes that `pack` was given. Raises ValueError or zlib.error for other texts."""
    return zlib.decompress(base64.b64decode(text, validate=True), wbits=-zlib.MAX_WBITS)
