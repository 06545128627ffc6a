"""`hydranet serve` under load, beside the server that a Python user would write: FastAPI, Pillow and ONNX Runtime.

    pip install fastapi uvicorn onnxruntime pillow numpy
    cargo build --release --features serve
    hydranet export --model best.safetensors --onnx model.onnx
    python tests/bench/serve_peer.py --model best.safetensors --onnx model.onnx --photos folder \
        --hydranet target/release/hydranet

Clients and servers share one machine and talk over loopback. Printed is JSON: photos a second and the median and 99th percentile
of the latency in milliseconds at 1, 8 and 64 connections of each server, and photos a second of `hydranet predict` on the same
photos. `--hostile N` then opens N connections of which half send slowly, send what is no HTTP, or too much, while the other half
asks for predictions: how many of these were not answered by 200, their latencies, and the server's memory before and after.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = '''
import io, os, sys
import numpy as np, onnxruntime
from fastapi import FastAPI, Request, HTTPException
from fastapi.concurrency import run_in_threadpool
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(os.environ["PEER_ONNX"])
names = [o.name for o in session.get_outputs()]
entry = session.get_inputs()[0]
height, width = (int(n) for n in os.environ["PEER_SIZE"].split("x"))
mean = np.array(eval(os.environ["PEER_MEAN"]), np.float32)
std = np.array(eval(os.environ["PEER_STD"]), np.float32)
app = FastAPI()

def predict(body):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGB").resize((width, height), Image.BILINEAR)
    x = ((np.asarray(image, np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
    return {name: value.tolist() for name, value in zip(names, session.run(None, {entry.name: x}))}

@app.post("/predict")
async def answer(request: Request):
    body = await request.body()
    try:
        return await run_in_threadpool(predict, body)
    except OSError as error:
        raise HTTPException(400, str(error))
'''


async def ask(reader, writer, body):
    writer.write(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


async def load(port, photos, connections, seconds):
    latencies, failed, end = [], 0, time.perf_counter() + seconds

    async def client(number):
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        place = number
        while time.perf_counter() < end:
            start = time.perf_counter()
            status = await ask(reader, writer, photos[place % len(photos)])
            latencies.append(time.perf_counter() - start)
            failed += status != 200
            place += connections
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*(client(i) for i in range(connections)))
    return figures(latencies, time.perf_counter() - start, failed)


def figures(latencies, seconds, failed):
    latencies.sort()
    at = lambda share: round(1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))], 2)
    return {"a_second": round(len(latencies) / seconds, 1), "median_ms": at(0.5), "p99_ms": at(0.99), "failed": failed}


async def hostile(port, photos, connections, seconds):
    """Half of the connections ask, the other half misbehave."""
    latencies, failed, end = [], 0, time.perf_counter() + seconds

    async def good(number):
        nonlocal failed
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while time.perf_counter() < end:
                start = time.perf_counter()
                status = await ask(reader, writer, photos[number % len(photos)])
                latencies.append(time.perf_counter() - start)
                # A full queue says so at once; that is an answer, and the client waits.
                if status == 429:
                    await asyncio.sleep(0.5)
                else:
                    failed += status != 200
                await asyncio.sleep(1.0)
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            failed += 1

    async def bad(number):
        while time.perf_counter() < end:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                if number % 3 == 0:
                    for byte in b"POST /predict HTTP/1.1\r\nHost: a\r\n":
                        writer.write(bytes([byte]))
                        await writer.drain()
                        await asyncio.sleep(0.5)
                        if time.perf_counter() > end:
                            break
                elif number % 3 == 1:
                    writer.write(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
                    await writer.drain()
                    await asyncio.wait_for(reader.read(), 5)
                else:
                    writer.write(b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999\r\n\r\n" + b"x" * 65536)
                    await writer.drain()
                    await asyncio.wait_for(reader.read(), 5)
                writer.close()
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                pass
            await asyncio.sleep(0.2)

    start = time.perf_counter()
    await asyncio.gather(*(good(i) if i % 2 else bad(i // 2) for i in range(connections)))
    return figures(latencies, time.perf_counter() - start, failed)


def wait_for(port):
    import socket

    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit("the server did not start")


def memory(pid):
    return next(int(line.split()[1]) // 1024 for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--onnx", required=True)
    parser.add_argument("--photos", required=True, help="a folder of JPEGs")
    parser.add_argument("--hydranet", default="target/release/hydranet")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--hostile", type=int, default=0)
    args = parser.parse_args()
    files = sorted(Path(args.photos).glob("*.jpg"))[: args.count]
    photos = [f.read_bytes() for f in files]
    about = json.loads(subprocess.check_output([args.hydranet, "inspect", "--model", args.model, "--json"]))
    spec = about["model"]["input"]
    result = {}

    start = time.perf_counter()
    command = [args.hydranet, "predict", "--model", args.model, *map(str, files)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    result["predict"] = {"a_second": round(len(files) / (time.perf_counter() - start), 1)}

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "peer.py").write_text(PEER)
        size = "x".join(map(str, spec["size"]))
        env = os.environ | {"PEER_ONNX": str(Path(args.onnx).resolve()), "PEER_SIZE": size}
        env |= {"PEER_MEAN": repr(spec["mean"]), "PEER_STD": repr(spec["std"])}
        servers = {
            "hydranet": [args.hydranet, "serve", "--model", args.model, "--listen", "127.0.0.1:18080", "--read-timeout-seconds", "5"],
            "peer": [sys.executable, "-m", "uvicorn", "peer:app", "--app-dir", folder, "--port", "18081", "--log-level", "error"],
        }
        for name, command in servers.items():
            port = 18080 if name == "hydranet" else 18081
            server = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
            try:
                wait_for(port)
                asyncio.run(load(port, photos, 4, 2))
                for connections in args.connections:
                    result[f"{name} {connections}"] = asyncio.run(load(port, photos, connections, args.seconds))
                if name == "hydranet" and args.hostile:
                    before = memory(server.pid)
                    found = asyncio.run(hostile(port, photos, args.hostile, args.seconds))
                    result["hostile"] = found | {"memory_mib": [before, memory(server.pid)]}
            finally:
                server.terminate()
                server.wait()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
