"""Archives made to write elsewhere, to exhaust, or to mean two things: each is refused, and nothing is changed."""

from __future__ import annotations

import gzip
import hashlib
import io
import resource
import stat
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyro_mcp.errors import PyroError, UsageError
from pyro_mcp.host.archive import Unpacked, unpack, unpack_stream
from pyro_mcp.host.beneath import Beneath
from pyro_mcp.host.limits import Limits
from pyro_mcp.host.tarsource import Read
from tests.unit.host import tars
from tests.unit.host.confined import as_nobody, directory_of_everybody, on_small_disk
from tests.unit.host.tars import END, GNU, OLD, block, directory, file, filled, hard_link, long_name, pax, symlink

SMALL = Limits(entries=50, total_bytes=1 << 20, depth=20)

OUT = b"../outside"
DIR = b"d" * 247


def published_path_max_chain() -> bytes:
    """CVE-2025-4517: symlinks whose expansion is longer than PATH_MAX, so that a check by realpath stops early."""
    made, path = b"", b""
    steps = [bytes([letter]) for letter in b"abcdefghijklmnop"]
    for step in steps:
        made += pax((b"path", path + DIR)) + directory(b"x") + pax((b"path", path + step)) + symlink(b"x", DIR)
        path += DIR + b"/"
    link = b"/".join(steps) + b"/" + b"l" * 254
    made += pax((b"path", link)) + symlink(b"x", b"../" * len(steps))
    made += pax((b"linkpath", link + b"/../../outside")) + symlink(b"escape", b"x")
    return made + hard_link(b"flag", b"escape/sentinel") + file(b"flag", b"overwritten")


def published_moved_symlink() -> bytes:
    """CVE-2025-4330 and what followed in 2026: a hard link puts a symlink at another depth, where it leads out."""
    return (
        directory(b"a") + directory(b"a/b") + symlink(b"a/b/link", b"../../outside") + hard_link(b"link", b"a/b/link")
    ) + file(b"link/sentinel", b"overwritten")


def old_sparse(total: bytes, *segments: tuple[int, int], more: int = 0) -> bytes:
    entries = b"".join(b"%011o\0%011o\0" % segment for segment in segments).ljust(4 * 24, b"\0")
    return block(b"a", b"S", size=4, magic=GNU, prefix=bytes(41) + entries + bytes([more]) + total.rjust(11, b"0"))


TRAVERSAL = {
    "published: PATH_MAX chain": published_path_max_chain(),
    "published: moved symlink": published_moved_symlink(),
    "dots": file(b"../outside/new"),
    "dots behind a directory": directory(b"a") + file(b"a/../../outside/new"),
    "dots at the end": directory(b"a/.."),
    "dots alone": directory(b".."),
    "dots behind a dot": file(b"./../outside/new"),
    "dots that stay inside": directory(b"a") + file(b"a/../b"),
    "absolute": file(b"/tmp/pyro-test-absolute"),
    "absolute by two slashes": file(b"//tmp/pyro-test-absolute"),
    "absolute behind a dot": file(b".//tmp"),
    "the root of all": directory(b"/"),
    "an empty component": file(b"a//b"),
    "two slashes at the end": directory(b"a//"),
    "dots by PAX": pax((b"path", b"../outside/new")) + file(b"innocent"),
    "absolute by PAX": pax((b"path", b"/tmp/pyro-test-absolute")) + file(b"innocent"),
    "NUL by PAX": pax((b"path", b"a\0b")) + file(b"innocent"),
    "NUL by a long name": long_name(b"a\0b") + file(b"innocent", magic=GNU),
    "dots by a long name": long_name(b"x/" * 80 + b"../" * 81 + b"outside/new") + file(b"innocent", magic=GNU),
    "dots by a prefix": file(b"new", prefix=b"../outside"),
    "dots by a sparse name": pax((b"GNU.sparse.name", b"../outside/new"), (b"GNU.sparse.size", b"4"),
                                 (b"GNU.sparse.map", b"0,4")) + file(b"innocent"),
    "through a symlink": symlink(b"a", OUT) + file(b"a/new"),
    "through an absolute symlink": symlink(b"a", b"/tmp") + file(b"a/pyro-test-absolute"),
    "through a symlink to here": symlink(b"a", b".") + file(b"a/new"),
    "through a symlink inside": directory(b"b") + symlink(b"a", b"b") + file(b"a/new"),
    "through a symlink to come": symlink(b"a", b"b") + directory(b"b") + file(b"a/new"),
    "through two symlinks": symlink(b"a", b"b") + symlink(b"b", OUT) + file(b"a/new"),
    "through a dangling symlink": symlink(b"a", b"nowhere") + file(b"a/new"),
    "through a symlink to itself": symlink(b"a", b"a") + file(b"a/new"),
    "through a magic link": symlink(b"a", b"/proc/self/cwd") + file(b"a/new"),
    "deep through a symlink": directory(b"x") + symlink(b"x/a", b"../../outside") + file(b"x/a/y/z/new"),
    "a directory below a symlink": symlink(b"a", OUT) + directory(b"a/new"),
    "a symlink below a symlink": symlink(b"a", OUT) + symlink(b"a/new", b"x"),
    "a hard link below a symlink": symlink(b"a", OUT) + file(b"f") + hard_link(b"a/new", b"f"),
    "hard link to dots": hard_link(b"a", b"../outside/sentinel"),
    "hard link to an absolute path": hard_link(b"a", b"/etc/passwd"),
    "hard link to a symlink": symlink(b"s", b"../outside/sentinel") + hard_link(b"a", b"s"),
    "hard link through a symlink": symlink(b"s", OUT) + hard_link(b"a", b"s/sentinel"),
    "hard link by PAX": pax((b"linkpath", b"../outside/sentinel")) + hard_link(b"a", b"f"),
    "hard link by a long name": long_name(b"../outside/sentinel", b"K") + hard_link(b"a", b"f"),
    "hard link to nothing": hard_link(b"a", b""),
    "a name that is none": file(b""),
}  # fmt: skip

BAD = {
    "nothing at all": b"",
    "no archive": b"This is a letter, not an archive. " * 40,
    "a zip": b"PK\x03\x04" + bytes(600),
    "less than a block": file(b"a")[:100],
    "data cut off": file(b"a", b"x" * 1000)[:1024],
    "padding cut off": file(b"a")[:520],
    "a wrong checksum": block(b"a", checksum=1),
    "a checksum of nothing": block(b"a", checksum=0),
    "a negative size": block(b"a", size=b"\xff" * 12),
    "a size that is no number": block(b"a", size=b"0000000000x\0"),
    "a signed size": block(b"a", size=b"-0000000010\0"),
    "a mode that is no number": block(b"a", mode=b"rwxr-x\0\0"),
    "a time out of range": block(b"a", mtime=b"\x80" + b"\xff" * 11),
    "a time out of range by PAX": pax((b"mtime", b"9" * 18)) + file(b"a"),
    "a time that is none": pax((b"mtime", b"tomorrow")) + file(b"a"),
    "a time as a power": pax((b"mtime", b"1e9")) + file(b"a"),
    "two sizes": pax((b"size", b"1024")) + file(b"a", b"x" * 1024, size=512),
    "a negative size by PAX": pax((b"size", b"-1")) + file(b"a"),
    "a size that is no number by PAX": pax((b"size", b"0x10")) + file(b"a"),
    "PAX without a length": tars.raw_pax(b"path=a\n"),
    "PAX with a length too long": tars.raw_pax(b"99 path=a\n") + file(b"a"),
    "PAX with a length too short": tars.raw_pax(b"5 path=a\n") + file(b"a"),
    "PAX with a length of nothing": tars.raw_pax(b"0 path=a\n") + file(b"a"),
    "PAX with a huge length": tars.raw_pax(b"9" * 400 + b" path=a\n") + file(b"a"),
    "PAX without an end of line": tars.raw_pax(b"9 path=ab") + file(b"a"),
    "PAX without a value": tars.raw_pax(b"8 patha\n") + file(b"a"),
    "PAX without a key": tars.raw_pax(b"5 =a\n") + file(b"a"),
    "PAX for nothing": file(b"a") + pax((b"path", b"b")),
    "PAX twice": pax((b"path", b"b")) + pax((b"path", b"c")) + file(b"a"),
    "two long names": pax((b"path", b"b")) + long_name(b"c" * 200) + file(b"a", magic=GNU),
    "two long names of GNU": long_name(b"b" * 200) + long_name(b"c" * 200) + file(b"a", magic=GNU),
    "headers without end": pax((b"comment", b"x"), kind=b"g") * 20 + file(b"a"),
    "a directory with data": block(b"a/", b"5", size=512) + bytes(512),
    "a symlink with data": block(b"a", b"2", link=b"b", size=512) + bytes(512),
    "a device with data": block(b"a", b"3", size=512) + bytes(512),
    "an old directory with data": file(b"a/", b"data", magic=OLD),
    "a symlink to nothing": symlink(b"a", b""),
    "a symlink with a NUL": pax((b"linkpath", b"a\0b")) + symlink(b"a", b"x"),
    "a hard link to what is not there": hard_link(b"a", b"b"),
    "a hard link to a directory": directory(b"d") + hard_link(b"a", b"d"),
    "a hard link to the root": directory(b"./") + hard_link(b"a", b"."),
    "a hard link to a device": block(b"d", b"3") + hard_link(b"a", b"d"),
    "below a file": file(b"a") + file(b"a/b"),
    "a directory for a file": file(b"a") + directory(b"a"),
    "a file for a directory": directory(b"a") + file(b"a"),
    "a symlink for a directory": directory(b"a") + symlink(b"a", OUT) + file(b"a/new"),
    "a symlink for a file": file(b"a") + symlink(b"a", b"../outside/sentinel"),
    "a file for a symlink": symlink(b"a", b"../outside/sentinel") + file(b"a", b"overwritten"),
    "a hard link for a symlink": file(b"f") + symlink(b"a", b"x") + hard_link(b"a", b"f"),
    "a directory for a symlink": symlink(b"a", OUT) + directory(b"a"),
    "a file as the root": file(b"."),
    "a symlink as the root": symlink(b"./", OUT),
    "something behind the end": file(b"a") + END + file(b"b"),
    "something behind a single end": file(b"a") + bytes(512) + file(b"b"),
    "a sparse map that overlaps": pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"0,3,2,1")) + file(b"a"),
    "a sparse map beyond the end": pax((b"GNU.sparse.size", b"3"), (b"GNU.sparse.map", b"0,4")) + file(b"a"),
    "a sparse map for other data": pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"0,5")) + file(b"a"),
    "half a sparse map": pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"0,4,9")) + file(b"a"),
    "a sparse map without numbers": pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.map", b"a,b")) + file(b"a"),
    "a sparse map out of order": pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.numbytes", b"4"),
                                     (b"GNU.sparse.offset", b"0")) + file(b"a"),
    "a sparse map of another length": pax((b"GNU.sparse.size", b"9"), (b"GNU.sparse.numblocks", b"2"),
                                          (b"GNU.sparse.offset", b"0"), (b"GNU.sparse.numbytes", b"4")) + file(b"a"),
    "an old sparse map that overlaps": old_sparse(b"9", (0, 3), (2, 1)) + filled(b"data"),
    "an old sparse map beyond the end": old_sparse(b"3", (0, 4)) + filled(b"data"),
    "an old sparse map for other data": old_sparse(b"7", (0, 5)) + filled(b"data"),
    "an old sparse map that goes on and is cut": old_sparse(b"7", (0, 4), more=1) + bytes(100),
    "a sparse map in the data that does not end": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"9"))
    + file(b"a", b"1" * 512),
    "a sparse map in the data that is cut": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"9"))
    + file(b"a", filled(b"5\n0\n1\n")),
    "a sparse file without a size": pax((b"GNU.sparse.major", b"1")) + file(b"a", filled(b"0\n")),
}  # fmt: skip

TOO_LARGE = {
    "a path": pax((b"path", b"a/" * 2048 + b"a")) + file(b"x"),
    "a long path by GNU": long_name(b"a/" * 2048 + b"a") + file(b"x", magic=GNU),
    "a depth": pax((b"path", b"a/" * 20 + b"a")) + file(b"x"),
    "a name": pax((b"path", b"a" * 256)) + file(b"x"),
    "a symlink's text": pax((b"linkpath", b"a" * 4096)) + symlink(b"x", b"y"),
    "a file": block(b"a", size=(1 << 20) + 1),
    "a file of 8 EiB": block(b"a", size=b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7),
    "a file by PAX": pax((b"size", b"99999999999999")) + block(b"a"),
    "files together": b"".join(file(b"%d" % number, bytes(300_000)) for number in range(4)),
    "holes": pax((b"GNU.sparse.size", b"9223372036854775807"), (b"GNU.sparse.map", b"0,4")) + file(b"a"),
    "entries": b"".join(directory(b"%d" % number) for number in range(51)),
    "directories that nobody names": b"".join(file(b"%d/b/c/d" % number) for number in range(13)),
    "an extended header": block(b"pax", b"x", size=(1 << 20) + 1),
    "an extended header of 8 EiB": block(b"pax", b"x", size=b"\x80" + bytes(3) + b"\x7f" + b"\xff" * 7),
    "a long name": block(b"long", b"L", size=(1 << 33) - 1, magic=GNU),
    "a tape's label": block(b"label", b"V", size=(1 << 33) - 1, magic=GNU),
    "a sparse map in the data": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"9"))
    + file(b"a", filled(b"100001\n")),
}  # fmt: skip

UNSUPPORTED = {
    "a part of a larger archive": block(b"a", b"M", magic=GNU),
    "a directory of a dump": block(b"a", b"D", magic=GNU),
    "names of old": block(b"a", b"N", magic=GNU),
    "a type of a vendor": block(b"a", b"Z"),
    "a type that is no letter": block(b"a", b"\xff"),
    "a name for all": pax((b"path", b"b"), kind=b"g") + file(b"a"),
    "a size for all": pax((b"size", b"9"), kind=b"g") + file(b"a"),
    "a sparse file of star": pax((b"SCHILY.realsize", b"9")) + file(b"a"),
    "a sparse file to come": pax((b"GNU.sparse.major", b"2"), (b"GNU.sparse.minor", b"0")) + file(b"a"),
}

HOSTILE = [
    pytest.param(data, code, id=f"{code}: {name}")
    for code, table in (
        ("archive-traversal", TRAVERSAL),
        ("bad-archive", BAD),
        ("archive-too-large", TOO_LARGE),
        ("archive-unsupported", UNSUPPORTED),
    )
    for name, data in table.items()
]


def outside(root: Path) -> str:
    """All that lies around what is unpacked, and when it changed."""
    found = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        found.update(repr((path, status.st_mode, status.st_ino, status.st_nlink, status.st_mtime_ns)).encode())
        found.update(path.read_bytes() if stat.S_ISREG(status.st_mode) else b"")
    return found.hexdigest()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where to unpack; beside it lies what an archive may want to get at."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "sentinel").write_text("untouched")
    return tmp_path / "unpacked"


@pytest.mark.parametrize(("data", "code"), HOSTILE)
def test_it_is_refused_and_leaves_nothing(data: bytes, code: str, place: Path) -> None:
    before = outside(place.parent)
    with pytest.raises(UsageError) as refused:
        unpack_stream(tars.reader(data + END if code != "bad-archive" else data), place, limits=SMALL)
    assert refused.value.code == code
    assert refused.value.message.isprintable()
    assert outside(place.parent) == before
    assert not Path("/tmp/pyro-test-absolute").exists()


def test_the_table_is_long_enough() -> None:
    assert len(HOSTILE) >= 60


def unpacked(place: Path, data: bytes, limits: Limits = SMALL) -> Unpacked:
    return unpack_stream(tars.reader(data), place, limits=limits)


def test_what_is_unusual_but_sound_is_taken(place: Path) -> None:
    data = (
        block(b"label", b"V", magic=GNU)
        + pax((b"comment", b"made by hand"), kind=b"g")
        + file(b"./top", b"1")
        + file(b"a/./b/implied", b"2", magic=OLD)
        + block(b"a/old/", magic=OLD, mode=0o700)
        + file(b"contiguous", b"3", mode=0o7777, mtime=b"\xff" * 11 + b"\xfe")
        + pax((b"path", b"long/" * 20 + b"name"), (b"mtime", b"-1.5"), (b"uid", b"-7"), (b"SCHILY.xattr.user.a", b"b"))
        + file(b"short", b"4")
        + long_name(b"gnu/" * 40 + b"name")
        + file(b"short", b"5", magic=GNU)
        + file(b"name", b"6", prefix=b"prefix/of/it")
        + symlink(b"absolute", b"/etc/passwd")
        + symlink(b"dangling", b"../../../nowhere")
        + hard_link(b"./linked", b"./top")
        + hard_link(b"linked", b"linked")
    )
    made = unpacked(place, data, Limits())  # and no end: cut off between members, as GNU tar allows
    assert (place / "top").read_text() == "1"
    assert (place / "a/b/implied").read_text() == "2"
    assert stat.S_IMODE((place / "a/old").stat().st_mode) == 0o700
    assert stat.S_IMODE((place / "contiguous").stat().st_mode) == 0o7777
    assert (place / "contiguous").stat().st_mtime_ns == -2_000_000_000
    assert (place / ("long/" * 20) / "name").stat().st_mtime_ns == -1_500_000_000
    assert (place / ("gnu/" * 40) / "name").read_text() == "5"
    assert (place / "prefix/of/it/name").read_text() == "6"
    assert (place / "dangling").readlink() == Path("../../../nowhere")
    assert (place / "linked").samefile(place / "top")
    assert made.entries == sum(1 for _ in place.rglob("*"))
    assert made.bytes == 6


def test_devices_and_fifos_are_named_not_made(place: Path) -> None:
    data = b"".join(block(b"dev/%d" % number, kind) for number, kind in enumerate((b"3", b"4", b"6") * 40))
    made = unpacked(place, data + file(b"f"), Limits())
    assert [entry.name for entry in place.iterdir()] == ["f"]
    assert made.skipped_count == 120
    assert made.skipped == tuple(b"dev/%d" % number for number in range(100))
    assert made.entries == 1


def test_of_files_with_one_name_the_last_wins_and_other_names_keep_the_first(place: Path) -> None:
    made = unpacked(
        place,
        directory(b"d", 0o700) + file(b"d/a", b"first") + hard_link(b"d/other", b"d/a") + file(b"d/a", b"second")
        + file(b"d/a", b"third!") + symlink(b"s", b"x") + symlink(b"s", b"y") + directory(b"d", 0o750),
    )  # fmt: skip
    assert (place / "d/a").read_text() == "third!"
    assert (place / "d/other").read_text() == "first"
    assert (place / "s").readlink() == Path("y")
    assert stat.S_IMODE((place / "d").stat().st_mode) == 0o750
    assert (made.entries, made.bytes) == (4, len("first") + len("third!"))


def test_the_root_takes_its_mode_from_the_archive_or_an_ordinary_one(place: Path) -> None:
    unpacked(place, directory(b"./", 0o2711) + file(b"./f"))
    assert stat.S_IMODE(place.stat().st_mode) == 0o2711
    unpacked(place.with_name("other"), file(b"f"))
    assert stat.S_IMODE(place.with_name("other").stat().st_mode) == 0o755


def test_a_bomb_takes_no_memory_and_no_disk(place: Path) -> None:
    bomb = place.with_name("bomb.tar.gz")
    with gzip.open(bomb, "wb") as packed:
        packed.write(block(b"zeros", size=2 << 30))
        for _ in range(256):
            packed.write(bytes(1 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UsageError, match="larger") as refused:
        unpack(bomb, place, limits=Limits(total_bytes=1 << 30))
    assert refused.value.code == "archive-too-large"
    with pytest.raises(UsageError, match="ends in the middle"):
        unpack(bomb, place)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10
    assert not place.exists()


def test_a_huge_header_is_refused_before_it_is_read(place: Path) -> None:
    asked = 0

    def read(count: int) -> bytes:
        nonlocal asked
        asked += count
        return (block(b"pax", b"x", size=b"\x80" + b"\x7f" * 11) + bytes(count))[:count]

    with pytest.raises(UsageError) as refused:
        unpack_stream(read, place)
    assert refused.value.code == "archive-too-large"
    assert asked <= 1 << 20


def test_what_the_reader_meets_comes_out_and_leaves_nothing(place: Path) -> None:
    for error, code in ((OSError(5, "Input/output error"), "archive-unreadable"), (PyroError("x", code="own"), "own")):
        whole = tars.reader(file(b"a", bytes(5000))[:2048])

        def read(count: int, whole: Read = whole, error: Exception = error) -> bytes:
            if data := whole(count):
                return data
            raise error

        with pytest.raises(PyroError) as refused:
            unpack_stream(read, place)
        assert refused.value.code == code
        assert not place.exists()


def test_nothing_that_is_there_is_unpacked_over(place: Path) -> None:
    place.mkdir()
    (place / "mine").write_text("mine")
    with pytest.raises(FileExistsError):
        unpacked(place, file(b"mine", b"yours"))
    assert (place / "mine").read_text() == "mine"


_FULL = """
import os
from pathlib import Path
from pyro_mcp.errors import HostError
from pyro_mcp.host.archive import unpack_stream
from tests.unit.host import tars
try:
    unpack_stream(tars.reader(tars.file(b"a", os.urandom(2 << 20))), Path({place!r}) / "unpacked")
except HostError as error:
    print(error.code, os.listdir({place!r}))
"""


def test_a_full_disk_is_named_as_such(tmp_path: Path) -> None:
    assert on_small_disk(tmp_path, _FULL.format(place=str(tmp_path))) == "no-space []"


def test_an_ordinary_user_writes_into_directories_that_are_closed_in_the_end() -> None:
    data = directory(b"closed", 0) + file(b"closed/f", b"1") + directory(b"closed/d", 0o500) + file(b"closed/d/g", b"2")

    def work() -> tuple[int, int]:
        place = base / "unpacked"
        made = unpacked(place, data + file(b"unreadable", b"3", mode=0))
        mode = stat.S_IMODE((place / "closed").stat().st_mode)
        (place / "closed").chmod(0o700)
        return made.entries, mode | stat.S_IMODE((place / "closed" / "d").stat().st_mode)

    with directory_of_everybody() as base:
        assert as_nobody(work) == (5, 0o500)


def test_an_ordinary_user_can_have_the_rest_removed_when_it_fails_late() -> None:
    data = directory(b"closed", 0) + file(b"closed/f") + file(b"closed/../x")
    with directory_of_everybody() as base:
        with pytest.raises(UsageError):
            as_nobody(lambda: unpacked(base / "unpacked", data))
        assert list(base.iterdir()) == []


def test_python_agrees_about_ordinary_archives(place: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in ("a", "ü" * 90, "d/" * 60 + "deep"):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = 3, 1234.5, 0o640
            archive.addfile(entry, io.BytesIO(b"abc"))
    made = unpacked(place, packed.getvalue(), Limits())
    assert made.bytes == 9
    assert (place / ("ü" * 90)).stat().st_mtime_ns == 1_234_500_000_000
    assert (place / ("d/" * 60) / "deep").read_text() == "abc"


def sound_archive() -> bytes:
    return (
        directory(b"./") + pax((b"path", b"a/b"), (b"mtime", b"1.5")) + file(b"x", b"y" * 600) + symlink(b"s", OUT)
        + hard_link(b"h", b"a/b") + long_name(b"n" * 120) + file(b"x", magic=GNU) + old_sparse(b"99", (0, 3), (50, 1))
        + filled(b"data") + pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.realsize", b"9"))
        + file(b"p", filled(b"1\n2\n4\n") + b"data") + END
    )  # fmt: skip


@given(changes=st.lists(st.tuples(st.integers(0, len(sound_archive()) - 1), st.integers(0, 255)), max_size=6))
@settings(max_examples=300, deadline=None)
def test_damage_is_refused_or_harmless(changes: list[tuple[int, int]]) -> None:
    data = bytearray(sound_archive())
    for at, byte in changes:
        data[at] = byte
    for at in range(0, len(data), 512):  # or the checksums alone would find most of it
        if data[at + 257 : at + 262] == b"ustar":
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + 512])
    with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
        place = Path(base, "unpacked")
        Path(base, "outside").mkdir()
        try:
            unpack_stream(tars.reader(bytes(data)), place, limits=SMALL)
        except UsageError:
            assert not place.exists()
        with Beneath.of(Path(base)) as parent:
            parent.remove_tree(b"unpacked")
        assert not any(Path(base, "outside").iterdir())
