"""The file of a bank's rows: responses.parquet with the version in its metadata."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from g2r.artifacts import replacing
from g2r.bank.rows import RESPONSES_SCHEMA
from g2r.errors import InputError

ROWS_FILE = "responses.parquet"
_VERSION_KEY = b"g2r_bank_version"


def write_rows(folder: Path, table: pa.Table, version: str) -> None:
    """Write the rows of a bank, whole or not at all."""
    with replacing(folder / ROWS_FILE) as new:
        pq.write_table(
            table.replace_schema_metadata({_VERSION_KEY: version.encode()}), new, compression="zstd"
        )


def read_rows(folder: Path) -> tuple[pa.Table, str]:
    """Return the rows of the bank in `folder` and their version.

    Raises:
        InputError: there is no bank, or its file cannot be read.
    """
    path = folder / ROWS_FILE
    if not path.is_file():
        raise InputError(f"no bank in {folder}: expected {ROWS_FILE} there; make one with g2r index")
    try:
        with pq.ParquetFile(
            path
        ) as file:  # pq.read_table would import pyarrow.dataset and pandas: half a second
            table = file.read()
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path} is not a readable parquet file ({error}); run g2r index again") from error
    version = (table.schema.metadata or {}).get(_VERSION_KEY)
    if version is None or not table.schema.equals(RESPONSES_SCHEMA):
        raise InputError(f"{path} is no bank written by g2r (other columns); run g2r index again")
    return table, version.decode()
