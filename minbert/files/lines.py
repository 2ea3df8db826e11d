"""Bytes -> lines: packed or not, UTF-8, with the number and the reason of each bad line."""

import difflib
import gzip
import zlib
from contextlib import contextmanager

from minbert.errors import UserError

GZIP, ZIP, BOM = b"\x1f\x8b", b"PK\3\4", b"\xef\xbb\xbf"  # how such files begin
UTF16 = b"\xff\xfe", b"\xfe\xff"


def load(path):
    """The bytes of a file, unpacked if it is gzipped."""
    with file_errors(path):
        data = path.read_bytes()
        return gzip.decompress(data) if data[:2] == GZIP else data


@contextmanager
def file_errors(path):
    """A context in which whatever goes wrong with a file becomes a UserError."""
    try:
        yield
    except IsADirectoryError:
        raise UserError(f"{path} is a folder, not a file of examples") from None
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise UserError(f"there is no file {path}, nor a folder {path.parent}") from None
        close = difflib.get_close_matches(path.name, [file.name for file in path.parent.iterdir()], n=1)
        hint = f"; did you mean {path.with_name(close[0])}?" if close else ""
        raise UserError(f"there is no file {path}{hint}") from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def check_beginning(path, data):
    """Raise UserError for what begins as a file does that can be no table or text."""
    if data[:2] in UTF16:
        raise UserError(f"{path}: the file is UTF-16; save it as UTF-8")
    if data[:4] == ZIP:
        raise UserError(f"{path}: is a zip archive, as Excel's files are: save the table as CSV UTF-8")


def decode(data):
    """Bytes -> lines without their ends, and {number of a bad line: reason}.

    A bad line keeps its place and its quotes, which may be part of a longer row; what is wrong in it becomes U+FFFD.
    Only \\n ends a line (\\r in a file from an old Mac): tweets hold characters at which str.splitlines would cut.
    """
    data = data.removeprefix(BOM)
    if data.count(b"\r") > 2 * data.count(b"\n"):
        data = data.replace(b"\r", b"\n")
    lines, bad = [], {}
    for number, raw in enumerate(data.removesuffix(b"\n").split(b"\n"), start=1):
        line, reason = decode_line(raw)
        if reason:
            bad[number] = reason
        lines.append(line)
    return lines, bad


def decode_line(raw):
    """Bytes of a line -> the line without its end, and what is wrong with it, or None; as in `decode`."""
    raw, reason = raw.removesuffix(b"\r"), None
    try:
        line = raw.decode()
    except UnicodeDecodeError as error:
        column = len(raw[: error.start].decode()) + 1
        reason = f"not UTF-8 (byte 0x{raw[error.start]:02x} in column {column}); is the file Latin-1?"
        line = raw.decode(errors="replace")
    if "\0" in line:
        reason = f"NUL character in column {line.index(chr(0)) + 1}"
    return line.replace("\0", "\ufffd"), reason
