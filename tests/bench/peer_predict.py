"""The peers of hydranet's benchmark of whole programs: PyTorch and ONNX Runtime, predicting photos as `hydranet predict` does.

    pip install torch timm safetensors onnxruntime pillow
    cargo bench --bench predict -- --python python

    python peer_predict.py torch|onnx MODEL THREADS PHOTO_OR_FOLDER

MODEL is a hydranet model file, or what `hydranet export --onnx` made of it. A line a photo: its name, the final class, its probability.
"""

import itertools
import json
import os
import struct
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image, ImageOps

BATCH = 32


def photos(path):
    if os.path.isfile(path):
        return [path]
    found = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    return sorted(name for name in found if name.lower().endswith((".jpg", ".jpeg", ".png")))


def pixels(path, size):
    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return np.asarray(photo.resize(size[::-1], Image.BILINEAR), np.float32).transpose(2, 0, 1)


def with_torch(model, threads):
    import timm
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(threads)
    with open(model, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    spec = json.loads(header["__metadata__"]["hydranet"])["model"]
    tensors = load_file(model)
    backbone = timm.create_model(spec["backbone"], pretrained=False, num_classes=0).eval()
    prefix = "backbone."
    weights = {name[len(prefix):]: t for name, t in tensors.items() if name.startswith(prefix)}
    # Counters of steps, which are not in the file, are not used.
    backbone.load_state_dict(weights, strict=False)
    backbone.to(memory_format=torch.channels_last)
    heads = [
        (tensors[f"heads.{head['name']}.fc.weight"], tensors[f"heads.{head['name']}.fc.bias"])
        for head in spec["heads"]
    ]
    mean = torch.tensor(spec["input"]["mean"]).view(3, 1, 1) * 255
    std = torch.tensor(spec["input"]["std"]).view(3, 1, 1) * 255

    def predict(images):
        with torch.inference_mode():
            x = ((torch.from_numpy(images) - mean) / std).to(memory_format=torch.channels_last)
            features = backbone(x)
            joint = torch.ones(len(images), 1)
            for weight, bias in heads:
                probs = torch.softmax(features @ weight.T + bias, 1)
                joint = (joint[:, :, None] * probs[:, None, :]).flatten(1)
            prob, final = joint.max(1)
        return final.tolist(), prob.tolist()

    return spec["input"]["size"], predict


def with_onnx(model, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def predict(images):
        joint, final = session.run(["joint", "final_class"], {"images": images})
        return final.tolist(), joint[np.arange(len(final)), final].tolist()

    return session.get_inputs()[0].shape[2:], predict


def main():
    runtime, model, threads, path = sys.argv[1:]
    size, predict = {"torch": with_torch, "onnx": with_onnx}[runtime](model, int(threads))
    # Pillow decodes and resizes without Python's lock, so threads share the work, a batch ahead of the network.
    with ThreadPoolExecutor(int(threads)) as pool:
        paths = photos(path)
        batches = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
        ahead = iter(batches)
        queue = [(b, [pool.submit(pixels, p, size) for p in b]) for b in itertools.islice(ahead, 2)]
        while queue:
            names, waiting = queue.pop(0)
            images = np.stack([w.result() for w in waiting])
            for batch in itertools.islice(ahead, 1):
                queue.append((batch, [pool.submit(pixels, p, size) for p in batch]))
            for name, final, prob in zip(names, *predict(images)):
                print(f"{name},{final},{prob:.6f}")


main()
