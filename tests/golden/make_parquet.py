"""Writes photos.parquet: twelve photos as Hugging Face's `datasets` lays them, with every kind of column that is read.

    pip install pyarrow pillow
    python make_parquet.py

Made with pyarrow 26 and Pillow 13. `image` is a struct of bytes and path, `mask` a ClassLabel whose names stand in the schema's
metadata, `gender` a dictionary of texts, `age` numbers in single precision, `tags` lists of texts, `when` times.
"""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

COUNT = 12


def photo(i: int) -> bytes:
    file = io.BytesIO()
    colour = (i * 37 % 256, i * 91 % 256, i * 53 % 256)
    Image.new("RGB", (40 + i, 36), colour).save(file, "PNG")
    return file.getvalue()


rows = range(COUNT)
image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
table = pa.table({
    "image": pa.array([{"bytes": photo(i), "path": f"{i % 6}.png"} for i in rows], image),
    "mask": pa.array([-1 if i == 5 else i % 2 for i in rows], pa.int64()),
    "gender": pa.array(["male" if i % 3 else "female" for i in rows]).dictionary_encode(),
    "age": pa.array([None if i == 3 else 20.5 + i for i in rows], pa.float32()),
    "tags": pa.array([None if i == 7 else ["red", "long"][: i % 3] for i in rows], pa.list_(pa.string())),
    "when": pa.array(rows, pa.timestamp("us")),
})
names = {"mask": {"names": ["worn", "not_worn"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": names}})})
pq.write_table(table, Path(__file__).parent / "photos.parquet", compression="zstd", row_group_size=5)
