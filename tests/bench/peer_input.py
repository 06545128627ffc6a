"""The peers of hydranet's benchmark of the input path.

    pip install torch torchvision pillow simplejpeg
    cargo bench --bench input -- --python python

    python peer_input.py store PHOTO...
    python peer_input.py torchvision|draft|turbojpeg TIMES WORKERS HEIGHT WIDTH FOLDER

`store` stores photos as cameras do. The others load the photos of a folder, each TIMES times, by a DataLoader with worker
processes, for every line `round`, and say the seconds; for any other line, the name of a photo, they say its pixels.
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
    def __init__(self, contestant, paths, size):
        from torchvision.transforms import v2

        self.contestant, self.paths, self.size = contestant, paths, size
        self.resize = v2.Resize(size, v2.InterpolationMode.BILINEAR, antialias=True)
        import torch

        self.tensor = v2.Compose(
            [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.498] * 3, [0.502] * 3)]
        )

    def __len__(self):
        return len(self.paths)

    def photo(self, path):
        with open(path, "rb") as file:
            data = file.read()
        if self.contestant == "turbojpeg":
            import simplejpeg

            return Image.fromarray(simplejpeg.decode_jpeg(data, fastdct=False, fastupsample=False))
        photo = Image.open(io.BytesIO(data))
        if self.contestant == "draft":
            photo.draft("RGB", self.size[::-1])
        return photo.convert("RGB")

    def __getitem__(self, i):
        return self.tensor(self.resize(self.photo(self.paths[i])))


def main():
    contestant, *rest = sys.argv[1:]
    if contestant == "store":
        return store(rest)
    import torch

    times, workers, height, width = map(int, rest[:4])
    paths = sorted(pathlib.Path(rest[4]).glob("*.jpg"))
    photos = Photos(contestant, paths * times, [height, width])
    torch.set_num_threads(1)
    loader = torch.utils.data.DataLoader(photos, batch_size=4, num_workers=workers, persistent_workers=True)
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
