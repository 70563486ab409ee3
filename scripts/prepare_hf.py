#!/usr/bin/env python3
"""Converts text to token shards with any Hugging Face tokenizer, like `lighthouse prepare` with its own tokenizers.

Reads text (.txt and other names: each file is a document), JSON lines (.jsonl, .json: each line is a document) and
Parquet (.parquet: each row is a document). --field a.b selects the text under key "b" of the object under "a". Memory
is bounded for any length of file, row group or document. Writes DIR/train-00000.bin, ..., DIR/val-00000.bin, ... with
an end-of-text token after each document. The output does not depend on the number of processes. A call with the same
arguments continues one that was stopped. Needs the packages tokenizers and numpy, for Parquet also pyarrow.
"""
import argparse
import codecs
import dataclasses
import fcntl
import hashlib
import json
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import shutil
import signal
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # this script starts its own processes

try:
    import numpy as np
    from tokenizers import Tokenizer
except ImportError as missing:
    print(f"error: {missing}; install the packages with: {sys.executable} -m pip install tokenizers numpy pyarrow",
          file=sys.stderr)
    sys.exit(2)

UNIT_BYTES = 8 << 20  # of a file, in one task of a process
SLICE = 1 << 19  # characters in one call of the tokenizer
SEAM = 256  # characters compared on each side of a cut
MOST_ROWS = 256  # rows of Parquet in one read
BROKEN, NOTHING = object(), object()  # a dropped document, and an empty line
FORMATS = {2: (20240520, 1, np.uint16), 4: (20240801, 7, np.uint32)}  # magic, version, type: llm.c's two formats
UNFINISHED = "prepare.unfinished"  # lighthouse refuses a folder with this file


class Refused(Exception):
    """The user's input cannot be used."""


class Failed(Exception):
    """The work cannot continue."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """A part of a file: bytes of text or JSON lines, or a row group of Parquet."""
    number: int
    path: str
    kind: str  # "text", "jsonl", "parquet"
    begin: int  # byte, or row group
    end: int
    line: int  # the first line, or the first row, from 1
    last: bool  # of its file
    bytes: int


# ---- Input files ----

MAGICS = [(b"\x1f\x8b", "compressed (gzip); unpack it first"),
          (b"\x28\xb5\x2f\xfd", "compressed (zstd); unpack it first"),
          (b"BZh91AY&SY", "compressed (bzip2); unpack it first"), (b"\xfd7zXZ\0", "compressed (xz); unpack it first"),
          (b"PK\3\4", "a zip archive; unpack it first"), (b"\x04\x22\x4d\x18", "compressed (lz4); unpack it first"),
          (b"ARROW1", "an Arrow file; save it as Parquet"),
          (b"\xff\xff\xff\xff", "an Arrow stream; save it as Parquet"),
          (b"Obj\x01", "Avro; save it as Parquet"),
          (b"SQLite format 3\0", "an SQLite database; save its texts as Parquet or JSON lines"),
          (b"%PDF-", "PDF; extract its text first"), (b"\x93NUMPY", "a NumPy array, not text"),
          (b"\x88\xd8\x34\x01", "a token shard already"), (b"\xa1\xd9\x34\x01", "a token shard already"),
          (b"\xff\xfe", "text in UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
          (b"\xfe\xff", "text in UTF-16; convert it: iconv -f UTF-16 -t UTF-8"),
          (b"\0\0\xfe\xff", "text in UTF-32; convert it: iconv -f UTF-32 -t UTF-8")]


def is_json_object(line):
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def kind_of(path):
    """The format of a file, by its first bytes, then by its name."""
    with open(path, "rb") as file:
        start = file.readline(64 << 10).removeprefix(codecs.BOM_UTF8)
        file.seek(0)
        magic = file.read(16)
    suffix = path.suffix.lower()
    if magic.startswith(b"PAR1"):
        return "parquet"
    for known, what in MAGICS:
        if magic.startswith(known):
            raise Refused(f"{path} is {what}")
    if suffix in (".gz", ".zst", ".bz2", ".xz"):
        raise Refused(f"{path} is compressed, according to its name; unpack it first")
    if b"\0" in start:
        raise Refused(f"{path} is binary, not text: it starts with zero bytes")
    named = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}.get(suffix, "text")
    return "jsonl" if named == "text" and is_json_object(start) else named


def ranges_at_line_ends(path):
    """(begin, end, first line) of parts of about UNIT_BYTES that end at line ends."""
    with open(path, "rb") as file:
        begin, line = 0, 1
        while block := file.read(UNIT_BYTES):
            block += file.readline()
            yield begin, begin + len(block), line
            begin += len(block)
            line += block.count(b"\n")


def row_groups(path, field):
    try:
        import pyarrow.parquet
    except ImportError:
        raise Refused(f"{path}: reading Parquet needs the package pyarrow") from None
    try:
        file = pyarrow.parquet.ParquetFile(path)
        names, metadata = file.schema_arrow.names, file.metadata
    except Exception as error:  # pyarrow's own types, and OSError
        raise Refused(f"{path} is not a valid Parquet file: {error}") from error
    if field not in names and field.split(".")[0] not in names:
        raise Refused(f"{path} has no column \"{field}\"; --field names another: {', '.join(names)}")
    check_column(path, field, file.schema_arrow)
    row = 1
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group)
        yield group, group + 1, row, rows.total_byte_size
        row += rows.num_rows


def keys_of(field, names):
    """The nested keys of a field: a single name, or names separated by dots."""
    return [field] if field in names else field.split(".")


def check_column(path, field, schema):
    """Refuses a column that does not contain text."""
    import pyarrow
    keys = keys_of(field, schema.names)
    kind = schema.field(keys[0]).type
    for depth, key in enumerate(keys[1:], 1):
        above = ".".join(keys[:depth])
        if not pyarrow.types.is_struct(kind):
            raise Refused(f"{path}: the column \"{above}\" is of type {kind} and has no \"{key}\"")
        if kind.get_field_index(key) < 0:
            inner = ", ".join(f"{above}.{kind.field(i).name}" for i in range(kind.num_fields))
            raise Refused(f"{path} has no column \"{field}\"; --field names another: {inner}")
        kind = kind.field(key).type
    values = kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    if str(values) in ("string", "large_string", "string_view"):
        return
    hint = ""
    if pyarrow.types.is_struct(kind):
        inner = ", ".join(f"{field}.{kind.field(i).name}" for i in range(kind.num_fields))
        hint = f"; --field names a column in it: {inner}"
    elif "binary" in str(values):
        hint = "; save it as a column of strings, if it is text"
    raise Refused(f"{path}: the column \"{field}\" is of type {kind}, not text{hint}")


def plan(files, field):
    if files and all(path.is_file() and path.stat().st_size == 0 for path in files):
        raise Refused(f"{files[0]} is empty" + (", and so are all other files" if len(files) > 1 else ""))
    units = []
    for path in files:
        if not path.is_file():
            raise Refused(f"{path} is a folder; name its files" if path.is_dir() else f"{path} does not exist")
        if path.stat().st_size == 0:
            print(f"warning: {path} is empty; skipped", file=sys.stderr)
            continue
        kind = kind_of(path)
        if kind == "parquet":
            parts = list(row_groups(path, field))
        else:
            try:
                parts = [(begin, end, line, end - begin) for begin, end, line in ranges_at_line_ends(path)]
            except OSError as error:
                raise Refused(f"cannot read {path}: {error.strerror}") from error
        for index, (begin, end, line, size) in enumerate(parts):
            units.append(Unit(len(units), str(path), kind, begin, end, line, index + 1 == len(parts), size))
    return units


# ---- Reading ----

def valid_text(where, text):
    """Returns the text; refuses a lone surrogate, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused(f"{where}: \\u{ord(text[error.start]):04x} is a lone surrogate") from None
    return text


def decoded(path, line, text):
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"{path}, line {line}: byte {error.start + 1} of the line, 0x{text[error.start]:02x}, is not "
                      "UTF-8") from None


def converted_lines(unit, data, skip, convert):
    """Yields `convert(line number, line)` for each line; raises Refused for an invalid line, or yields BROKEN."""
    for number, line in enumerate(data.split(b"\n"), unit.line):
        try:
            yield convert(number, line)
        except Refused:
            if not skip:
                raise
            yield BROKEN


def read_range(unit):
    with open(unit.path, "rb") as file:
        file.seek(unit.begin)
        data = file.read(unit.end - unit.begin)
    if len(data) != unit.end - unit.begin:
        raise Refused(f"{unit.path} became shorter while it was read")
    return data.removeprefix(codecs.BOM_UTF8) if unit.begin == 0 else data


def read_text(unit, field, skip):
    data = read_range(unit)
    try:
        yield data.decode("utf-8")
    except UnicodeDecodeError:
        lines = list(converted_lines(unit, data, skip, lambda number, line: decoded(unit.path, number, line)))
        valid = [line for line in lines if line is not BROKEN]
        yield "\n".join(valid)
        yield from [BROKEN] * (len(lines) - len(valid))


def text_under(where, field, value):
    """The text in a JSON object under a field."""
    for key in keys_of(field, value if isinstance(value, dict) else []):
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise Refused(f"{where}: no text under \"{field}\"; name another key with --field")
    return valid_text(where, value)


def read_json_lines(unit, field, skip):
    def document(number, line):
        if not line.strip():
            return NOTHING
        where = f"{unit.path}, line {number}"
        try:
            value = json.loads(decoded(unit.path, number, line).removeprefix("\ufeff"))  # a byte order mark of concatenated files
        except json.JSONDecodeError as error:
            raise Refused(f"{where}: not JSON: {error.msg} (column {error.colno})") from None
        except (ValueError, RecursionError) as error:  # numbers with thousands of digits, deep nesting
            raise Refused(f"{where}: unreadable JSON: {error}") from None
        return text_under(where, field, value)

    yield from (found for found in converted_lines(unit, read_range(unit), skip, document) if found is not NOTHING)


def text_of(where, field, cell):
    try:
        value = cell.as_py()
    except UnicodeDecodeError as error:
        raise Refused(f"{where}: byte {error.start + 1} of \"{field}\", 0x{error.object[error.start]:02x}, is not "
                      "UTF-8") from None
    if value is None:
        raise Refused(f"{where}: \"{field}\" is null; expected text")
    return value


def batches_of(unit, file, field):
    """Yields the cells of a row group in batches."""
    import pyarrow.compute
    keys = keys_of(field, file.schema_arrow.names)
    group = file.metadata.row_group(unit.begin)
    rows = max(1, min(MOST_ROWS, SLICE * group.num_rows // max(group.total_byte_size, 1)))
    for batch in file.iter_batches(batch_size=rows, row_groups=[unit.begin], columns=[".".join(keys)]):
        cells = batch.column(0)
        yield pyarrow.compute.struct_field(cells, keys[1:]) if len(keys) > 1 else cells


def read_parquet(unit, field, skip):
    import pyarrow.parquet
    rows, read = 1, 0
    try:
        file = pyarrow.parquet.ParquetFile(unit.path, buffer_size=1 << 20)
        rows = file.metadata.row_group(unit.begin).num_rows
        for cells in batches_of(unit, file, field):
            for row, cell in enumerate(cells, unit.line + read):
                try:
                    yield text_of(f"{unit.path}, row {row}", field, cell)
                except Refused:
                    if not skip:
                        raise
                    yield BROKEN
            read += len(cells)
    except Refused:
        raise
    except Exception as error:  # damaged pages
        if not skip:
            raise Refused(f"{unit.path}, rows from {unit.line + read} on (row group {unit.begin}): {error}") from error
        yield from [BROKEN] * (rows - read)


READERS = {"text": read_text, "jsonl": read_json_lines, "parquet": read_parquet}


# ---- Encoding, in worker processes ----

class Worker:
    def __init__(self, options, end_of_text, width, folder):
        self.tokenizer = load_tokenizer(options.tokenizer)
        self.options, self.end_of_text, self.width, self.folder = options, end_of_text, width, folder

    def ids(self, texts):
        return [encoding.ids for encoding in self.tokenizer.encode_batch(texts, add_special_tokens=False)]

    def is_seam(self, text, cut, left_out):
        """Whether the text before and after a cut, without the `left_out` characters there, encodes to the same tokens
        as the whole."""
        begin, end = max(cut - SEAM, 0), cut + SEAM
        whole, left, right = self.ids([text[begin:end], text[begin:cut], text[cut + left_out:end]])
        return whole == left + right

    def find_cut(self, text, begin, end):
        """Where to cut text[begin:end]: the position, and the number of characters to omit there. The end if there is
        no better place. One space is omitted for a tokenizer that adds a space before each text."""
        for separator in ("\n", " "):
            cut = end
            for _ in range(8):
                cut = text.rfind(separator, begin + SLICE // 2, cut)
                if cut < 0:
                    break
                if separator == "\n" and self.is_seam(text, cut + 1, 0):
                    return cut + 1, 0
                for left_out in (0, 1) if separator == " " else ():
                    if self.is_seam(text, cut, left_out):
                        return cut, left_out
        return end, 0

    def slices(self, text):
        """Yields parts of a text, and whether each is the last."""
        begin = 0
        while len(text) - begin > SLICE:
            cut, left_out = self.find_cut(text, begin, begin + SLICE)
            yield text[begin:cut], False
            begin = cut + left_out
        yield text[begin:], True

    def token_blocks(self, unit, count_broken):
        """Yields the tokens of a unit in blocks of about SLICE characters."""
        texts, ends, size = [], [], 0

        def encoded_texts():
            tokens = []
            for ids, ends_here in zip(self.ids(texts), ends):
                tokens.extend(ids)
                if ends_here:
                    tokens.append(self.end_of_text)
            return np.asarray(tokens, dtype=FORMATS[self.width][2])

        for document in READERS[unit.kind](unit, self.options.field, self.options.skip_broken):
            if document is BROKEN:
                count_broken()
                continue
            ends_documents = unit.kind != "text" or unit.last
            for part, is_last in self.slices(document):
                texts.append(part)
                ends.append(is_last and ends_documents)
                size += len(part)
                if size >= SLICE:
                    yield encoded_texts()
                    texts, ends, size = [], [], 0
        yield encoded_texts()

    def encode(self, unit):
        count, broken = 0, []
        partial = self.folder / f"unit-{unit.number:08}.partial"
        with open(partial, "wb") as file:
            for block in self.token_blocks(unit, lambda: broken.append(1)):
                file.write(block)  # not tofile(), which does not say why it could not
                count += len(block)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(unit_path(self.folder, unit.number))
        return unit.number, count, len(broken)


def work(pipe, arguments):
    """Receives units and sends back their results or exceptions."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent stops this process
    try:
        worker = Worker(*arguments)
        while True:
            pipe.send(worker.encode(pipe.recv()))
    except EOFError:  # the parent has exited
        pass
    except (Refused, OSError) as error:
        pipe.send(error)
    except Exception as error:  # its type may not be picklable
        pipe.send(Failed(f"{type(error).__name__}: {error}"))


def encoded(units, count, arguments):
    """Yields the results of `count` processes as they finish. A multiprocessing.Pool would wait forever for a process
    that the system killed."""
    context = multiprocessing.get_context("spawn")
    processes, units = {}, iter(units)
    try:
        for _ in range(count):
            pipe, theirs = context.Pipe()
            processes[pipe] = context.Process(target=work, args=(theirs, arguments), daemon=True)
            processes[pipe].start()
            theirs.close()
        busy, failures = {}, {}  # pipe -> number of its unit; number -> exception

        def give_next(pipe):
            unit = None if failures else next(units, None)
            if unit is not None:
                pipe.send(unit)
                busy[pipe] = unit.number

        for pipe in processes:
            give_next(pipe)
        while busy:
            for pipe in multiprocessing.connection.wait(busy):
                number, result = busy.pop(pipe), pipe.recv()
                if isinstance(result, Exception):
                    failures[number] = result
                else:
                    yield result
                    give_next(pipe)
        if failures:  # report the first in the order of the files
            raise failures[min(failures)]
    except (EOFError, ConnectionError):
        raise Failed("a worker process died, perhaps out of memory; use fewer --processes. A call "
                     "with the same arguments continues this one") from None
    finally:
        for process in processes.values():
            process.terminate()


def unit_path(folder, number):
    return folder / f"unit-{number:08}.tokens"


def load_tokenizer(name):
    path = pathlib.Path(name)
    if path.is_dir():
        path = path / "tokenizer.json"
    if path.suffix == ".json" or path.exists():
        if not path.exists():
            raise Refused(f"{path} does not exist; expected a tokenizer.json, its folder, or a name on the hub")
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:
            raise Refused(f"{path} is not a tokenizer: {error}") from error
    else:
        try:
            tokenizer = Tokenizer.from_pretrained(name)
        except Exception as error:
            raise Refused(f"{name} is neither a file nor a tokenizer on the hub: {error}") from error
    tokenizer.encode_special_tokens = True  # "</s>" in a document is text, not end of text
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def eos_token_of(path):
    try:
        name = json.loads(path.read_text(encoding="utf-8")).get("eos_token")
    except (ValueError, AttributeError) as error:
        raise Refused(f"{path} is not a tokenizer's config: {error}") from error
    return name.get("content") if isinstance(name, dict) else name


def find_end_of_text(tokenizer, options):
    name = options.end_of_text
    path = pathlib.Path(options.tokenizer)
    beside = (path if path.is_dir() else path.parent) / "tokenizer_config.json"
    if name is None and path.exists() and beside.exists():
        name = eos_token_of(beside)
    for candidate in [name] if name else ["<|end_of_text|>", "<|endoftext|>", "</s>"]:
        token = tokenizer.token_to_id(candidate)
        if token is not None:
            return token
    raise Refused(f"the tokenizer has no token {name or 'for end of text'}; name it with --end-of-text")


# ---- Progress ----

class Progress:
    def __init__(self, total):
        self.total, self.begin, self.next, self.fresh = max(total, 1), time.monotonic(), 0, 0
        self.terminal = sys.stderr.isatty()

    def show(self, done, tokens, fresh, last=False):
        now = time.monotonic()
        if now < self.next and not last:
            return
        self.next = now + (0.2 if self.terminal else 10)
        rate = fresh / max(now - self.begin, 1e-9)
        left = f"{(self.total - done) / rate:.0f} s left" if rate > 0 else ""
        line = (f"{100 * done / self.total:3.0f}%  {done / 2**20:,.0f} of {self.total / 2**20:,.0f} MiB  "
                f"{tokens:,} tokens  {rate / 2**20:.1f} MiB/s  {left}")
        print(f"\r\x1b[K{line}" if self.terminal else line, end="\n" if last or not self.terminal else "",
              file=sys.stderr, flush=True)


# ---- Writing shards ----

class Shards:
    """Writes the shards of one split, one after another."""

    def __init__(self, folder, name, width, shard_tokens):
        self.folder, self.name, self.width, self.shard_tokens = folder, name, width, shard_tokens
        self.names, self.file, self.size, self.total = [], None, 0, 0

    def append(self, tokens):
        while len(tokens):
            if self.file is None:
                self.names.append(f"{self.name}-{len(self.names):05}.bin")
                self.file, self.size = open(self.folder / self.names[-1], "wb"), 0
                self.file.write(bytes(1024))
            part = tokens[:self.shard_tokens - self.size]
            self.file.write(part)
            self.size += len(part)
            self.total += len(part)
            tokens = tokens[len(part):]
            if self.size == self.shard_tokens:
                self.finish()

    def finish(self):
        if self.file is None:
            return
        magic, version, _ = FORMATS[self.width]
        self.file.seek(0)
        np.array([magic, version, self.size], dtype=np.int32).tofile(self.file)
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.file = None


def read_unit(path, width):
    dtype = FORMATS[width][2]
    return np.memmap(path, dtype=dtype, mode="r") if path.stat().st_size else np.empty(0, dtype)  # an empty file cannot be mapped


def boundary_after(arrays, wanted, end_of_text):
    """Where validation begins: after the first end of text at or after `wanted` tokens, else at `wanted`."""
    begin = 0
    for array in arrays:
        first = max(wanted - 1 - begin, 0)
        ends = np.flatnonzero(array[first:] == end_of_text)
        if len(ends):
            return begin + first + int(ends[0]) + 1
        begin += len(array)
    return wanted


def write_shards(options, folder, units, width, end_of_text):
    arrays = [read_unit(unit_path(folder, unit.number), width) for unit in units]
    total = sum(len(array) for array in arrays)
    boundary = total
    if options.validation_share > 0:
        boundary = boundary_after(arrays, round((1 - options.validation_share) * total), end_of_text)
        if boundary >= total:
            boundary = round((1 - options.validation_share) * total)
    if boundary < 2 or (options.validation_share > 0 and total - boundary < 2):
        raise Refused(f"{total} tokens are too few for a validation fraction of {options.validation_share}; give more text, or "
                      "--validation-share 0")
    train = Shards(folder, "train", width, options.shard_tokens)
    validation = Shards(folder, "val", width, options.shard_tokens)
    begin = 0
    for array in arrays:
        cut = min(max(boundary - begin, 0), len(array))
        train.append(array[:cut])
        validation.append(array[cut:])
        begin += len(array)
    train.finish()
    validation.finish()
    return train, validation


def publish(options, folder, names):
    """Moves the shards to their place. A marker exists meanwhile, because some of the shards are not the whole data."""
    mark = options.out / UNFINISHED
    mark.write_text("prepare_hf.py was stopped here; run it again\n")
    for name in names:
        (folder / name).rename(options.out / name)
    for old in old_shards(options.out):
        if old.name not in names:
            old.unlink()
    mark.unlink()
    for folder in options.out.glob("prepare_hf.partial-*"):  # including those of calls with other arguments
        shutil.rmtree(folder)


def old_shards(folder):
    return sorted([*folder.glob("train-*.bin"), *folder.glob("val-*.bin")])


# ---- Main ----

def fingerprint(options, tokenizer, end_of_text):
    """Identifies the work: another tokenizer, other arguments or files start it again."""
    facts = [tokenizer.to_str(), end_of_text, options.field, options.skip_broken]
    facts += [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in options.files]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def check(options):
    if not 0 <= options.validation_share <= 0.5:
        raise Refused(f"the validation share is {options.validation_share}; expected 0 to 0.5")
    if not 2 <= options.shard_tokens < 2**31:
        raise Refused(f"a shard has {options.shard_tokens} tokens; expected 2 to {2**31 - 1}")
    if options.processes < 1:
        raise Refused(f"--processes is {options.processes}; expected 1 or more")
    if options.out.exists() and not options.out.is_dir():
        raise Refused(f"{options.out} is not a folder")
    old = old_shards(options.out)
    if old and not options.overwrite and not (options.out / UNFINISHED).exists():
        raise Refused(f"{options.out} already has shards ({old[0].name}); choose another folder, or replace "
                      "them with --overwrite")


def hold(folder):
    """Locks a folder until this call ends."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Refused(f"another call is writing to {folder}") from None
    except OSError:  # a file system without locks
        pass


def encode_all(options, units, folder, end_of_text, width):
    """Encodes the missing units. Returns the number of dropped documents."""
    ready = [unit for unit in units if unit_path(folder, unit.number).exists()]
    missing = [unit for unit in units if not unit_path(folder, unit.number).exists()]
    if ready:
        print(f"continuing: {len(ready)} of {len(units)} parts are done", file=sys.stderr)
    done, fresh, skipped = sum(unit.bytes for unit in ready), 0, 0
    tokens = sum(unit_path(folder, unit.number).stat().st_size // width for unit in ready)
    progress = Progress(sum(unit.bytes for unit in units))
    processes = min(options.processes, len(missing))
    try:
        for number, count, left_out in encoded(missing, processes, (options, end_of_text, width, folder)):
            done += units[number].bytes
            fresh += units[number].bytes
            tokens += count
            skipped += left_out
            progress.show(done, tokens, fresh)
    except Refused as refusal:
        raise Refused(f"{refusal} (--skip-broken drops such documents)") from None
    progress.show(done, tokens, fresh, last=True)
    return skipped


def prepare(options):
    check(options)
    units = plan(options.files, options.field)
    tokenizer = load_tokenizer(options.tokenizer)
    end_of_text = find_end_of_text(tokenizer, options)
    width = 2 if max(tokenizer.get_vocab(with_added_tokens=True).values()) < 65536 else 4
    folder = options.out / f"prepare_hf.partial-{fingerprint(options, tokenizer, end_of_text)}"
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        hold(options.out)
        check(options)  # again: another call may have ended since
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise Refused(f"cannot write in {options.out}: {error.strerror}") from error
    skipped = encode_all(options, units, folder, end_of_text, width)
    train, validation = write_shards(options, folder, units, width, end_of_text)
    publish(options, folder, train.names + validation.names)
    if skipped:
        print(f"dropped {skipped:,} broken documents", file=sys.stderr)
    print(f"{train.total:,} tokens for training and {validation.total:,} for validation, in "
          f"{len(train.names) + len(validation.names)} shards of {8 * width}-bit tokens in {options.out}", file=sys.stderr)


def expanded(path):
    """Expands ~ and $NAME as the shell does, which does not expand --out=~/x or quoted text."""
    whole = os.path.expandvars(os.path.expanduser(path))
    if not os.path.exists(path) and (whole.startswith("~") or "$" in whole or "~" in pathlib.Path(whole).parts):
        raise argparse.ArgumentTypeError(f"\"{path}\": no such user or variable; write the full path")
    return path if os.path.exists(path) and not path.startswith("~") else whole


def expanded_path(path):
    return pathlib.Path(expanded(path))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="FILE", nargs="+", type=expanded_path)
    parser.add_argument("--tokenizer", required=True, type=expanded,
                        help="a tokenizer.json, its folder, or a name on the hub")
    parser.add_argument("--out", required=True, type=expanded_path, help="the folder for the shards")
    parser.add_argument("--field", default="text",
                        help="key or column of the text, a.b for a nested one (%(default)s)")
    parser.add_argument("--end-of-text", help="name of the end-of-text token; by default the tokenizer's eos_token")
    parser.add_argument("--shard-tokens", type=int, default=100_000_000, help="largest number of tokens in a shard (%(default)s)")
    parser.add_argument("--validation-share", type=float, default=0.05,
                        help="fraction of the tokens, at their end, for validation, in whole documents (%(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="number of worker processes (%(default)s)")
    parser.add_argument("--skip-broken", action="store_true", help="drop documents that are not valid UTF-8, JSON or Parquet")
    parser.add_argument("--overwrite", action="store_true", help="replace existing shards")
    return parser.parse_args()


def main():
    try:
        prepare(parse())
    except Refused as refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    except (OSError, Failed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; a call with the same arguments continues", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
