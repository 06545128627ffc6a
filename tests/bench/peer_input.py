"""The peers of hydranet's benchmark of the input path.

    pip install torch torchvision pillow simplejpeg
    cargo bench --bench input -- --python python

    python peer_input.py store PHOTO...
    python peer_input.py torchvision|draft|turbojpeg|turbojpeg-small TIMES WORKERS BATCH AUGMENTED HEIGHT WIDTH FOLDER

`store` stores photos as cameras do. The others load the photos of a folder, each TIMES times, by a DataLoader with worker
processes, for every line `round`, and say the seconds; for any other line, the name of a photo, they say its pixels. `draft` and
`turbojpeg-small` decode to the smallest size that leaves twice the input, AUGMENTED is 0 or 1.
"""

import io
import pathlib
import sys
import time

from PIL import Image


def store(names):
    for name in names:
        Image.open(name).convert("RGB").save(name, quality=90, subsampling="4:2:0")


class Photos:
    def __init__(self, contestant, paths, size, augmented):
        import torch
        from torchvision.transforms import v2

        self.contestant, self.paths, self.size = contestant, paths, size
        bilinear = v2.InterpolationMode.BILINEAR
        self.resize = v2.Resize(size, bilinear, antialias=True)
        tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.498] * 3, [0.502] * 3)]
        steps = [self.resize]
        if augmented:
            crop = v2.RandomResizedCrop(size, scale=(0.35, 1.0), interpolation=bilinear, antialias=True)
            steps = [crop, v2.RandomHorizontalFlip(), v2.ColorJitter(0.2, 0.2, 0.2)]
            tensor.append(v2.RandomErasing(0.25))
        self.steps = v2.Compose(steps + tensor)

    def __len__(self):
        return len(self.paths)

    def photo(self, path):
        with open(path, "rb") as file:
            data = file.read()
        height, width = (2 * side for side in self.size)
        if self.contestant.startswith("turbojpeg"):
            import simplejpeg

            least = {}
            if self.contestant.endswith("small"):
                least = {"min_height": height, "min_width": width, "min_factor": 2}
            return Image.fromarray(simplejpeg.decode_jpeg(data, fastdct=False, fastupsample=False, **least))
        photo = Image.open(io.BytesIO(data))
        if self.contestant == "draft":
            photo.draft("RGB", (width, height))
        return photo.convert("RGB")

    def __getitem__(self, i):
        return self.steps(self.photo(self.paths[i]))


def main():
    contestant, *rest = sys.argv[1:]
    if contestant == "store":
        return store(rest)
    import torch

    times, workers, batch, augmented, height, width = map(int, rest[:6])
    paths = sorted(pathlib.Path(rest[6]).glob("*.jpg"))
    photos = Photos(contestant, paths * times, [height, width], augmented)
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(photos, batch_size=batch, num_workers=workers, persistent_workers=True)
    for line in sys.stdin:
        line = line.strip()
        if line == "round":
            start = time.perf_counter()
            for batch in loader:
                pass
            print(time.perf_counter() - start, flush=True)
        else:
            photo = photos.resize(photos.photo(line))
            print(*photo.tobytes(), flush=True)


main()
