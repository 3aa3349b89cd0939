"""What a data scientist takes for granted in every image with Python. Runs inside the image, by its own Python."""

import io
import os
import sqlite3
import ssl
import subprocess
import sys
import zoneinfo
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest


def test_linear_algebra_is_right():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(200, 200))
    symmetric = a @ a.T + np.eye(200)
    b = rng.normal(size=200)
    assert np.allclose(symmetric @ np.linalg.solve(symmetric, b), b)

    values, vectors = np.linalg.eigh(symmetric)
    assert np.allclose(vectors @ np.diag(values) @ vectors.T, symmetric)

    u, s, vt = np.linalg.svd(a)
    assert np.allclose(u @ np.diag(s) @ vt, a)


def test_random_numbers_are_the_same_everywhere():
    # The stream of PCG64 is part of numpy's promise: another number means another experiment.
    assert np.random.default_rng(42).integers(0, 1_000_000, 3).tolist() == [89250, 773956, 654571]


def test_a_table_survives_csv():
    table = pd.DataFrame(
        {
            "name": ["Ada", "Grace", "Ørsted", None],
            "born": pd.to_datetime(["1815-12-10", "1906-12-09", "1777-08-14", None]),
            "score": [1.5, np.nan, -3e-9, 0.1 + 0.2],
            "count": pd.array([1, 2, None, 4], dtype="Int64"),
        }
    )
    back = pd.read_csv(io.StringIO(table.to_csv(index=False)), parse_dates=["born"], dtype={"count": "Int64"})
    pd.testing.assert_frame_equal(back, table, check_dtype=False)


def test_groups_and_joins():
    sales = pd.DataFrame({"shop": ["a", "b", "a", "c"], "amount": [1, 2, 3, 4]})
    shops = pd.DataFrame({"shop": ["a", "b"], "city": ["Oslo", "Lima"]})
    totals = sales.merge(shops, how="inner").groupby("city")["amount"].sum()
    assert totals.to_dict() == {"Oslo": 4, "Lima": 2}


def test_dates_know_their_time_zones():
    summer = pd.Timestamp("2024-07-01 12:00", tz="Europe/Berlin")
    assert summer.tz_convert("UTC").hour == 10
    assert datetime(2024, 7, 1, 12, tzinfo=zoneinfo.ZoneInfo("America/New_York")).astimezone(UTC).hour == 16


@pytest.mark.parametrize("module", ["bz2", "ctypes", "lzma", "readline", "sqlite3", "ssl", "zlib"])
def test_python_is_complete(module):
    __import__(module)


def test_sql():
    with sqlite3.connect(":memory:") as connection:
        pd.DataFrame({"x": [1, 2, 3]}).to_sql("numbers", connection, index=False)
        assert pd.read_sql("select sum(x) as total from numbers", connection)["total"].item() == 6


def test_tls_has_certificates_to_trust():
    assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 0


def test_a_file_with_any_name_can_be_written(tmp_path):
    path = tmp_path / "données-数据.txt"
    path.write_text("Ω")
    assert path.name in os.listdir(tmp_path) and path.read_text() == "Ω"


def test_output_is_not_buffered():
    # Else the last lines of a killed container are lost.
    assert os.environ["PYTHONUNBUFFERED"] == "1"
    code = "import sys; print(sys.stdout.line_buffering or sys.stdout.write_through)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"
