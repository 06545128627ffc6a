"""What the benchmarks of data engines share: a table of photos, the command's run over it, memory, and the comparison.

    pip install ./src/python 'ray[data]' 'pyspark>=4' pyarrow psutil
    cargo build --release --features parquet
    python tests/bench/engines_ray.py --command target/release/hydranet --model best.safetensors --photos images --out work
    python tests/bench/engines_spark.py (the same)

Each runs `hydranet predict` over a table in Parquet of 100,000 rows, the photos of the folder again and again, and then the
engine on this machine, one worker a core with one thread each. It says photos a second of both, with their starts, whether
each number of each prediction is the same, and how memory went: the sum over all processes of the engine, a page that several
share counted once (PSS).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

import hydranet

MIB = 1 << 20


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default="hydranet", help="the program, built with the feature parquet")
    parser.add_argument("--model", required=True, type=os.path.abspath)
    parser.add_argument("--photos", required=True, type=Path, help="a folder of photos")
    parser.add_argument("--rows", default=100_000, type=int)
    parser.add_argument("--workers", default=os.cpu_count(), type=int, help="processes of the engine that predict")
    parser.add_argument("--threads", default=1, type=int, help="threads of each of them")
    parser.add_argument("--out", required=True, type=Path, help="a folder for the table and all predictions")
    options = parser.parse_args()
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    return options


def written(options):
    """The table of photos: a name of its own each row, and the bytes. Groups of rows are small, for engines share them out."""
    table = options.out / f"photos-{options.rows}.parquet"
    files = sorted(path for path in options.photos.iterdir() if path.suffix in (".jpg", ".jpeg", ".png"))
    photos = [path.read_bytes() for path in files]
    with pa.parquet.ParquetWriter(table, pa.schema({"path": pa.string(), "image": pa.binary()}), compression="none") as writer:
        for start in range(0, options.rows, 1000):
            rows = range(start, min(start + 1000, options.rows))
            paths = [f"{row:07}/{files[row % len(files)].name}" for row in rows]
            writer.write_table(pa.table({"path": paths, "image": [photos[row % len(files)] for row in rows]}))
    return table


def noted(found):
    """A table of predictions with who made it and when, for the account of memory."""
    found = found.append_column("worker", pa.array([os.getpid()] * len(found), pa.int64()))
    return found.append_column("done", pa.array([time.time()] * len(found), pa.float64()))


class Memory(threading.Thread):
    """The memory of a process and all that it started, every two seconds: of each, in bytes."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.root, self.samples, self.over = psutil.Process(pid), [], threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(2):
            taken = {}
            try:
                for process in [self.root, *self.root.children(recursive=True)]:
                    try:
                        taken[process.pid] = process.memory_full_info().pss
                    except psutil.Error:
                        pass
            except psutil.Error:
                pass
            self.samples.append((time.time(), taken))

    def of(self, workers):
        """The same of some processes alone: times, and sums in MiB."""
        return [(at, sum(m for pid, m in all.items() if workers is None or pid in workers) / MIB) for at, all in self.samples]

    def account(self, name, times, workers=None):
        """The peak, and how much more it was over the last tenth of the rows than between a fifth and three tenths of them."""
        samples = self.of(workers)

        def between(low, high):
            begin, end = (times[min(int(share * len(times)), len(times) - 1)] for share in (low, high))
            found = [memory for at, memory in samples if begin <= at <= end]
            return sum(found) / len(found) if found else float("nan")

        early, late = between(0.2, 0.3), between(0.9, 1)
        peak = max((memory for _, memory in samples), default=float("nan"))
        print(f"{name}: peak {peak:.0f} MiB; {early:.0f} at 20 % of the rows, {late:.0f} at 100 %: {late - early:+.0f} MiB")


def by_command(options, table):
    """Runs the command: its predictions as JSON lines, and photos a second."""
    out = options.out / "command.jsonl"
    args = [options.command, "predict", "--json", "--model", options.model, "--out", out, table]
    begin = time.time()
    process = subprocess.Popen(list(map(str, args)), stdout=subprocess.DEVNULL)
    memory = Memory(process.pid)
    if process.wait() != 0:
        sys.exit(f"{options.command} predict ended with {process.returncode}")
    seconds = time.time() - begin
    memory.over.set()
    speed = options.rows / seconds
    print(f"command: {options.rows} photos in {seconds:.1f} s, {speed:.1f} a second", flush=True)
    # It tells no times of its own; it goes through the table evenly.
    memory.account("command, memory", [begin + seconds * share / 1000 for share in range(1001)])
    return out, speed


def same(options, by_command, by_engine):
    """Counts predictions that differ from the command's in anything: a class, a name, a label, or a bit of a probability."""
    heads = hydranet.Predictor(options.model).heads
    rows = {row["path"]: row for row in by_engine.to_pylist()}
    if len(rows) != options.rows or by_engine.num_rows != options.rows:
        sys.exit(f"expected {options.rows} rows, found {by_engine.num_rows}, of them {len(rows)} with names of their own")
    other = lines = 0
    with open(by_command, encoding="utf-8") as file:
        for line in file:
            said, lines = json.loads(line), lines + 1
            row = rows[said["path"]]
            pairs = [(said[name], row[name]) for name in ("class", "name", "prob")] + [(None, row["error"])]
            for head in said["heads"]:
                name = head["head"]
                pairs += [(head["label"], row[name]), (head["probs"], [row[f"{name}_{label}"] for label in heads[name]])]
            other += any(a != b for a, b in pairs)
    if lines != options.rows:
        sys.exit(f"expected {options.rows} predictions of the command, found {lines}")
    return other


def side_by_side(engine, run):
    """The whole benchmark. `run` takes the options, the table and the folder for the engine's predictions."""
    options = arguments()
    table = written(options)
    print(f"{options.rows} rows, {table.stat().st_size / MIB:.0f} MiB; load before: {os.getloadavg()}", flush=True)
    lines, command_speed = by_command(options, table)
    out = options.out / engine
    shutil.rmtree(out, ignore_errors=True)
    memory, begin = Memory(os.getpid()), time.time()
    run(options, table, out)
    seconds = time.time() - begin
    memory.over.set()
    found = pa.dataset.dataset(out, format="parquet").to_table()
    times, workers = sorted(found["done"].to_pylist()), set(found["worker"].to_pylist())
    speed = options.rows / seconds
    ratio = speed / command_speed
    print(f"{engine}: {options.rows} photos in {seconds:.1f} s, {speed:.1f} a second, {ratio:.2f} of the command's")
    first, last = times[0] - begin, begin + seconds - times[-1]
    going = (options.rows - times.count(times[0])) / (times[-1] - times[0]) if times[-1] > times[0] else float("nan")
    print(f"{engine}: its first batch was done after {first:.1f} s, its last {last:.1f} s before the end")
    print(f"{engine}: {going:.1f} photos a second between these two, {going / command_speed:.2f} of the command's")
    memory.account(f"{engine}, memory of all processes", times)
    memory.account(f"{engine}, memory of its {len(workers)} workers", times, workers)
    other = same(options, lines, found)
    print(f"load after: {os.getloadavg()}")
    if other:
        sys.exit(f"{other} predictions of {options.rows} are not the command's")
    print(f"all {options.rows} predictions are the command's, to the last bit")
