"""Makes the tables beside it: pairs of versions, and what the tool that installs such packages says of each.

These tools are not on every machine that runs the tests, so their answers are kept. A table is made anew by:

    python -m tests.oracle.orders.answers rpm rpm                      (rpm 4.16 or newer)
    python -m tests.oracle.orders.answers cran Rscript
    python -m tests.oracle.orders.answers conda FOLDER                 (that holds the package `conda`)
    python -m tests.oracle.orders.answers apk apk-tools/src/version.c  (apk-tools 3; needs a C compiler)

apk reads no list of pairs, so its comparison is compiled for itself, with the few definitions that it takes from the
rest of apk-tools.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.oracle.versionpairs import pairs

HERE = Path(__file__).parent
COUNT = 1_000
Pairs = Sequence[tuple[str, str]]

APK_BLOB = r"""
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef struct { long len; char *ptr; } apk_blob_t;
#define APK_BLOB_IS_NULL(b) ((b).ptr == NULL)
#define APK_BLOB_PTR_LEN(p, n) ((apk_blob_t){.len = (n), .ptr = (char *)(p)})
#define APK_BLOB_STR(s) APK_BLOB_PTR_LEN(s, strlen(s))
#define APK_BLOB_STRLIT(s) APK_BLOB_PTR_LEN(s, sizeof(s) - 1)
enum { APK_VERSION_EQUAL = 1, APK_VERSION_LESS = 2, APK_VERSION_GREATER = 4, APK_VERSION_FUZZY = 8,
       APK_VERSION_CONFLICT = 16, APK_DEPMASK_ANY = 7, APK_DEPMASK_CHECKSUM = 6 };
enum { APK_CTYPE_HEXDIGIT, APK_CTYPE_VERSION_SUFFIX };
static int apk_blob_sort(apk_blob_t a, apk_blob_t b) {
    int found = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);
    return found ? found : (a.len > b.len) - (a.len < b.len);
}
static int apk_blob_compare(apk_blob_t a, apk_blob_t b) { return apk_blob_sort(a, b); }
static void advance(apk_blob_t *b, long count) { b->ptr += count; b->len -= count; }
static uint64_t apk_blob_pull_uint(apk_blob_t *b, int radix) {
    uint64_t value = 0;
    for (; b->len && *b->ptr >= '0' && *b->ptr <= '9'; advance(b, 1)) value = value * radix + (*b->ptr - '0');
    return value;
}
static int apk_blob_pull_blob_match(apk_blob_t *b, apk_blob_t match) {
    if (b->len < match.len || memcmp(b->ptr, match.ptr, match.len)) return 0;
    advance(b, match.len);
    return 1;
}
static void apk_blob_spn(apk_blob_t b, int type, apk_blob_t *begin, apk_blob_t *rest) {
    long count = 0;
    for (; count < b.len; count++) {
        char sign = b.ptr[count], last = type == APK_CTYPE_HEXDIGIT ? 'f' : 'z';
        int digit = type == APK_CTYPE_HEXDIGIT && sign >= '0' && sign <= '9';
        if (!digit && (sign < 'a' || sign > last)) break;
    }
    *begin = APK_BLOB_PTR_LEN(b.ptr, count);
    *rest = APK_BLOB_PTR_LEN(b.ptr + count, b.len - count);
}
"""
APK_MAIN = r"""
#include <stdio.h>
int main(void) {
    char one[999], other[999];
    while (scanf("%998s %998s", one, other) == 2) {
        apk_blob_t a = APK_BLOB_STR(one), b = APK_BLOB_STR(other);
        int valid = apk_version_validate(a) && apk_version_validate(b);
        puts(valid ? apk_version_op_string(apk_version_compare(a, b)) : "!");
    }
}
"""
R = """
lines <- strsplit(readLines(file("stdin")), " ")
for (pair in lines) {
    a <- package_version(pair[1]); b <- package_version(pair[2])
    cat(if (a < b) "<" else if (a > b) ">" else "=", "\\n", sep = "")
}
"""


def _run(argv: Sequence[str], text: str = "") -> list[str]:
    return subprocess.run(argv, input=text, capture_output=True, text=True, check=True).stdout.split()


def _lines(found: Pairs) -> str:
    return "".join(f"{a} {b}\n" for a, b in found)


def apk(source: str, found: Pairs) -> tuple[str, list[str]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for header in ("apk_defines.h", "apk_version.h", "apk_ctype.h"):
            (folder / header).write_text(APK_BLOB)
        (folder / "main.c").write_text(Path(source).read_text() + APK_MAIN)
        _run(["cc", "-w", f"-I{name}", "-o", f"{name}/compare", f"{name}/main.c"])
        return "apk-tools 3", _run([f"{name}/compare"], _lines(found))


def rpm(program: str, found: Pairs) -> tuple[str, list[str]]:
    script = "".join(f'print(rpm.vercmp("{a}","{b}"), " ")\n' for a, b in found)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        answers = _run([program, "--rcfile", "/dev/null", "--eval", f'%{{lua:dofile("{file.name}")}}'])
    words = {"-1": "<", "0": "=", "1": ">"}
    return " ".join(_run([program, "--version"])), [words[answer] for answer in answers]


def cran(program: str, found: Pairs) -> tuple[str, list[str]]:
    version = _run([program, "--vanilla", "-e", "cat(R.version.string)"])
    return " ".join(version), _run([program, "--vanilla", "-e", R], _lines(found))


def conda(folder: str, found: Pairs) -> tuple[str, list[str]]:
    sys.path.insert(0, folder)
    from conda import __version__
    from conda.models.version import VersionOrder

    answers = []
    for a, b in found:
        one, other = VersionOrder(a), VersionOrder(b)
        answers.append("<" if one < other else ">" if other < one else "=" if one == other else "!")
    return f"conda {__version__}", answers


TOOLS: dict[str, Callable[[str, Pairs], tuple[str, list[str]]]] = {"apk": apk, "conda": conda, "cran": cran, "rpm": rpm}


def main(kind: str, where: str) -> None:
    found = list(pairs(kind, COUNT))
    tool, answers = TOOLS[kind](where, found)
    rows = [f"{a} {answer} {b}" for (a, b), answer in zip(found, answers, strict=True)]
    (HERE / f"{kind}.txt").write_text("\n".join([f"# What {tool} says; made by answers.py.", *rows, ""]))


if __name__ == "__main__":
    main(*sys.argv[1:])
