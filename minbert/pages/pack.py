"""What a page stores: bytes as text, deflated (RFC 1951), then base64, which has no "<"; probabilities as bytes."""

import base64
import zlib

import numpy as np

LINEAR, ROOTS = 2**16 - 1, 31  # steps of a stored probability: even ones of p, or of its square root


def pack(data: bytes) -> str:
    """Bytes as text. A browser reads it with DecompressionStream("deflate-raw")."""
    compressor = zlib.compressobj(6, wbits=-zlib.MAX_WBITS)
    return base64.b64encode(compressor.compress(data) + compressor.flush()).decode("ascii")


def unpack(text: str) -> bytes:
    """The bytes that `pack` was given. Raises ValueError or zlib.error for other texts."""
    return zlib.decompress(base64.b64decode(text, validate=True), wbits=-zlib.MAX_WBITS)


def quantise(p: np.ndarray, steps: int) -> np.ndarray:
    """Probabilities as whole numbers up to steps: uint16 in even steps of p for LINEAR, else uint8 of its root."""
    if steps == LINEAR:
        return np.rint(p * steps).astype("<u2")
    return np.rint(np.sqrt(p) * steps).astype(np.uint8)


def restore(codes: np.ndarray, steps: int) -> np.ndarray:
    """What `quantise` has made of probabilities, as probabilities again."""
    return codes / steps if steps == LINEAR else (codes / steps) ** 2
