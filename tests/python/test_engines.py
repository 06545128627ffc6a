"""The guide's examples for engines: their predictions are the command's."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from conftest import hydranet as command

GUIDE = Path(__file__).parents[2] / "src/guide/engines.md"
# What a user has set before. Spark has one worker for several tasks, which follow one another in its process.
BEFORE = {
    "ray": """
import ray
ray.init(num_cpus=3, include_dashboard=False)
""",
    "pyspark": """
from pyspark.sql import SparkSession
SparkSession.builder.master("local[1]").config("spark.sql.files.minPartitionNum", 3).getOrCreate()
""",
}


@pytest.mark.parametrize("engine", BEFORE)
def test_the_guides_example_predicts_as_the_command(place, tmp_path, engine):
    pytest.importorskip(engine, reason=f"{engine} is not installed; HYDRANET_ENGINES=1 has run.sh fetch it")
    if engine == "pyspark" and shutil.which("java") is None:
        pytest.skip("Spark needs Java, which is not installed")
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (block,) = [block for block in blocks if f"{engine}." in block]
    images = [photo.read_bytes() for photo in place.photos]
    images[7] = images[7][:200]
    photos = pa.table({"path": [photo.name for photo in place.photos], "image": images})
    (tmp_path / "photos.parquet").mkdir()
    for at in range(3):
        pa.parquet.write_table(photos.slice(20 * at, 20), tmp_path / f"photos.parquet/{at}.parquet")
    shutil.copy(place.model, tmp_path / "best.safetensors")
    env = {**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    # In a process of its own: an engine keeps threads and processes.
    args = [sys.executable, "-c", BEFORE[engine] + block]
    out = subprocess.run(args, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=600)
    assert out.returncode == 0, out.stderr
    found = pa.dataset.dataset(tmp_path / "predictions", format="parquet").to_table().to_pylist()
    rows = {row["path"]: row for row in found}
    assert len(found) == len(rows) == len(images)
    assert "photo" in rows.pop(place.photos[7].name)["error"]
    said = command("predict", "--json", "--model", place.model, *place.photos[:7], *place.photos[8:]).splitlines()
    for line in map(json.loads, said):
        row = rows.pop(Path(line["path"]).name)
        assert (line["class"], line["name"], line["prob"], None) == (row["class"], row["name"], row["prob"], row["error"])
        for head in line["heads"]:
            assert head["label"] == row[head["head"]]
            probs = [value for name, value in row.items() if name.startswith(f"{head['head']}_")]
            assert head["probs"] == probs
    assert not rows
