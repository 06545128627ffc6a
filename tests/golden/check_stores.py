"""What the command says of data in a store of PyPI's `moto`, beside the same files.

    pip install "moto[server]" boto3
    python check_stores.py HYDRANET MODEL FACES

HYDRANET is the program, built with the feature `remote`; MODEL a model file; FACES a folder with `portraits.csv` and the photos it
names, as `hydranet demo` writes it. A server that speaks as S3 does is started on this machine, the files and shards made of them
are put into a bucket, and what `predict` and `check` print, and the bytes of a model that is trained, are held against each other.
With a column `image` of bytes beside it, `faces.parquet` in FACES is tried too. Not run by the tests, which have a server of their
own and need no Python.

With moto 5.2.5 all lines end in `same`.
"""

import csv
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import boto3
from moto.server import ThreadedMotoServer

program, model, faces = (pathlib.Path(argument).resolve() for argument in sys.argv[1:4])
heads = pathlib.Path(__file__).resolve().parents[2] / "heads"
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
endpoint = "http://%s:%d" % server.get_host_and_port()
keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
environment = os.environ | keys | {"AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "NO_PROXY": "127.0.0.1"}
client = boto3.client(
    "s3",
    endpoint_url=endpoint,
    region_name="us-east-1",
    aws_access_key_id="key",
    aws_secret_access_key="secret",
)
client.create_bucket(Bucket="bucket", ACL="public-read")
work = pathlib.Path(tempfile.mkdtemp())
shutil.copytree(faces, work / "faces")
with open(faces / "portraits.csv", newline="") as file:
    rows = list(csv.DictReader(file))
(work / "shards").mkdir()
for part in range(3):
    with tarfile.open(work / "shards" / f"faces-{part:03}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        for row in rows[part::3]:
            stem = row["path"].rsplit(".", 1)[0]
            known = {name: cell for name, cell in row.items() if name != "path"}
            for name, content in [
                (row["path"], (faces / row["path"]).read_bytes()),
                (f"{stem}.json", json.dumps(known).encode()),
            ]:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
for path in sorted(work.rglob("*")):
    if path.is_file():
        client.upload_file(str(path), "bucket", str(path.relative_to(work)))


def run(*arguments):
    command = [str(program), *map(str, arguments)]
    result = subprocess.run(command, cwd=work, env=environment, capture_output=True)
    if result.returncode:
        sys.exit(f"{' '.join(command)}\n{result.stderr.decode()}")
    return result.stdout.decode()


def compare(what, here, there):
    there = there.replace("s3://bucket/", "").replace(f"{endpoint}/bucket/", "")
    print(f"{what}: {len(here.splitlines())} lines,", "same" if here == there else "DIFFERENT")
    return here == there


tables = ["faces/faces.parquet"] if (faces / "faces.parquet").exists() else []
fine = True
for data in ["faces/portraits.csv", "shards/faces-000.tar", "shards/faces-{000..002}.tar", "shards", "faces/images", *tables]:
    folder = "/" if (work / data).is_dir() else ""
    here = run("predict", "--model", model, data)
    fine &= compare(f"predict s3 {data}", here, run("predict", "--model", model, f"s3://bucket/{data}{folder}"))
    if not folder:
        fine &= compare(f"predict http {data}", here, run("predict", "--model", model, f"{endpoint}/bucket/{data}"))
for data in ["faces/portraits.csv", "shards/faces-000.tar"]:
    check = ["check", "--heads", heads, "--json", "--data"]
    fine &= compare(f"check {data}", run(*check, data), run(*check, f"s3://bucket/{data}"))
    best = []
    for place in ["", "s3://bucket/"]:
        sets = ["--set", "train.epochs=1", "--set", "model.input.size=[32,32]"]
        out = work / f"run{len(best)}-{data.replace('/', '-')}"
        run("train", "--heads", heads, "--data", place + data, "--out", out, *sets)
        best.append((out / "best.safetensors").read_bytes())
    print(f"train {data}: {len(best[0])} bytes,", "same" if best[0] == best[1] else "DIFFERENT")
    fine &= best[0] == best[1]
server.stop()
shutil.rmtree(work)
sys.exit(not fine)
