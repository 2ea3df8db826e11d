"""Bytes -> lines: packed or not, in UTF-8 or another encoding, with the number and the reason of each bad line."""

import bz2
import codecs
import difflib
import gzip
import io
import lzma
import re
import sys
import zlib
from contextlib import contextmanager, nullcontext

from minbert.errors import UserError

BOM = codecs.BOM_UTF8
MARKS = {  # how a file in another encoding begins; of two marks that begin alike, the longer one first
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
PACKERS = {  # how packed files begin
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
PARQUET = b"PAR1"
BEGINNING = 4096  # bytes by which a file is recognised
AS_CSV = "save the table as CSV UTF-8"
TEXTUAL = {  # how a file of another form begins: what it is, and what to do. Of text, in lower case
    r"version https://git-lfs\.github\.com/": "is a pointer of Git LFS: fetch the file itself with git lfs pull",
    r"<!doctype html|<html|<head|<body|<table": "is HTML: download the file itself, or save the table as CSV",
    r"<\?xml|<!doctype": f"is XML: {AS_CSV}",
    r"\{\\rtf": f"is RTF: {AS_CSV}",
    r"@relation\s": f"is ARFF, as Weka's files are: {AS_CSV}",
    r"-docstart-": "is CoNLL, with a tag for each word, not for each text",
    r"\|[^\n]*\|\s*\n\|[\s:|-]+\|": f"is a Markdown table: {AS_CSV}",
    r"[-+]?\d+(\.\d+)?( \d+:-?[\d.]+)+\s*\n": "is LIBSVM, of numbers; minbert reads texts",
    r"\\documentclass": "is LaTeX: save the texts, one a line",
    r"(create table|insert into|-- mysql dump|-- postgresql)": f"is SQL: {AS_CSV}",
}
BINARY = {
    b"%PDF-": "is a PDF: save its text as a text file",
    b"SQLite format 3\0": f"is an SQLite database: {AS_CSV}",
    b"ARROW1": "is Arrow or Feather: save it as Parquet or CSV",
    b"FEA1": "is Feather: save it as Parquet or CSV",
    b"\x93NUMPY": "is a NumPy array: save texts and labels as CSV",
    b"\x89HDF": f"is HDF5: {AS_CSV}",
    b"ORC": "is ORC: save it as Parquet or CSV",
    b"Obj\x01": "is Avro: save it as Parquet or CSV",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": f"is an old file of Excel or Word: {AS_CSV}",
    b"<stata_dta>": f"is a Stata file: {AS_CSV}",
    b"$FL2": f"is an SPSS file: {AS_CSV}",
    b"$FL3": f"is an SPSS file: {AS_CSV}",
    b"RDX": f"is R data: {AS_CSV}",
    b"X\n\0\0": f"is R data: {AS_CSV}",
    bytes(12) + b"\xc2\xea\x81\x60": f"is a SAS file: {AS_CSV}",
    b"\x89PNG": "is an image",
    b"\xff\xd8\xff": "is an image",
    b"GIF8": "is an image",
    b"7z\xbc\xaf\x27\x1c": "is a 7-Zip archive: unpack it",
    b"Rar!\x1a": "is a RAR archive: unpack it",
    b"\x28\xb5\x2f\xfd": "is packed with zstd: unpack it",
    b"\x04\x22\x4d\x18": "is packed with lz4: unpack it",
    b"\x1f\x9d": "is packed with compress: unpack it",
    b"MATLAB 5": f"is a MATLAB file: {AS_CSV}",
    b"\x7fELF": "is a program",
}
IN_ZIP = {  # a name within a zip archive: whose file it is
    b"xl/": f"is a zip archive, as Excel's files are: {AS_CSV}",
    b"word/": "is a zip archive, as Word's files are: save its text",
    b"opendocument": f"is a zip archive, as LibreOffice's files are: {AS_CSV}",
    b".npy": "is a zip archive, as NumPy's files are: save texts and labels as CSV",
    b"/data.pkl": "is a zip archive, as PyTorch's files are: save texts and labels as CSV",
}


def load(path, encoding=None, format=None):
    """The bytes of a file as `blocks` gives them."""
    return b"".join(blocks(path, encoding, format=format))


def blocks(path, encoding=None, size=2**20, format=None):
    """The bytes of a file or, for "-", of the standard input: unpacked, as UTF-8, in blocks of about `size`.

    encoding  of the file; None: UTF-8, or UTF-16 or UTF-32 where the file's first bytes show it
    format    as the user names it: "lines" may begin as a file of another form does

    Raises UserError if the file cannot be read, or is of a form that minbert does not read.
    """
    if encoding:
        try:
            b"a".decode(encoding, "replace")
        except LookupError:
            raise UserError(f"there is no encoding {encoding}; utf-8, utf-16, cp1252 and latin-1 are common") from None
    with (
        file_errors(path),
        nullcontext(standard_input()) if str(path) == "-" else open(path, "rb") as file,
    ):
        begin = file.peek(6)
        packer = next((packer for magic, packer in PACKERS.items() if begin.startswith(magic)), None)
        source = packer(file) if packer else file
        first = source.read(max(size, BEGINNING))
        if packer and any(map(first.startswith, PACKERS)):
            raise UserError(f"{path}: is packed twice: unpack it once")
        encoding = None if first.startswith(PARQUET) else check_encoding(path, first, encoding)
        check_beginning(path, first.decode(encoding, "replace").encode() if encoding else first, format)
        translate = translator(path, encoding)
        for at in range(0, len(first), size):
            yield translate(first[at : at + size])
        while block := source.read(size):
            yield translate(block)
        yield translate(b"", final=True)


def standard_input():
    """The bytes of the standard input. Raises UserError where there is none, as in a service."""
    if sys.stdin is None or sys.stdin.closed:
        raise UserError("-: there is no standard input here: name a file")
    source = getattr(sys.stdin, "buffer", None) or io.BytesIO(sys.stdin.read().encode("utf-8", "surrogateescape"))
    return source if hasattr(source, "peek") else io.BufferedReader(source)


def translator(path, encoding):
    """A function of one block of a file after the other: the block as UTF-8. encoding None: the block as it is."""
    if encoding is None:
        return lambda block, final=False: block
    decoder = codecs.getincrementaldecoder(encoding)()

    def translate(block, final=False):
        try:
            return decoder.decode(block, final).encode()
        except UnicodeError as error:
            raise UserError(f"{path}: the file is not {encoding.upper()} throughout ({error})") from None

    return translate


def check_encoding(path, data, wanted):
    """The encoding of a file that begins with `data`; None for UTF-8."""
    mark = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
    name = codecs.lookup(wanted).name if wanted else None
    if data.startswith(BOM) and wanted and not name.startswith("utf-8"):
        raise UserError(f"{path}: the file begins as UTF-8 does: leave --encoding {wanted} out")
    if mark and wanted and not name.startswith(mark):
        raise UserError(f"{path}: the file begins as {mark.upper()} does: leave --encoding {wanted} out")
    encoding = mark or name or utf16_without_mark(data)
    return None if encoding and encoding.startswith("utf-8") else encoding


def utf16_without_mark(data):
    """utf-16-le or utf-16-be where every second byte is mostly zero, as in Latin letters; or else None."""
    data = data[: BEGINNING // 2 * 2]
    even, odd, half = data[::2].count(0), data[1::2].count(0), len(data) // 2
    if half < 8 or max(even, odd) < 0.4 * half or min(even, odd) > 0.02 * half:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


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
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None


def check_beginning(path, data, format=None):
    """Raise UserError, with the form's name, for a file that begins as a form does that minbert does not read."""
    if data[:4] in (b"PK\3\4", b"PK\5\6"):
        plain = f"is a zip archive: unpack it, or if it is a spreadsheet, {AS_CSV}"
        raise UserError(f"{path}: {next((why for name, why in IN_ZIP.items() if name in data), plain)}")
    for magic, why in BINARY.items():
        if data.startswith(magic) and (not magic.isalnum() or b"\0" in data[:BEGINNING]):  # a word may begin a text
            raise UserError(f"{path}: {why}")
    if re.match(rb"\x80[\x02-\x05]", data):
        raise UserError(f"{path}: is a pickle: {AS_CSV}")
    if data[257:262] == b"ustar":
        raise UserError(f"{path}: is a tar archive: unpack it")
    begin = data[:BEGINNING].removeprefix(BOM).lstrip().decode(errors="replace").lower()
    if format != "lines":
        for form, why in TEXTUAL.items():
            if re.match(form, begin):
                raise UserError(f"{path}: {why}")


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
        reason = (
            f"not UTF-8 (byte 0x{raw[error.start]:02x} in column {column}); if it is Latin-1, pass --encoding cp1252"
        )
        line = raw.decode(errors="replace")
    if "\0" in line:
        reason = f"NUL character in column {line.index(chr(0)) + 1}"
    return line.replace("\0", "\ufffd"), reason
