"""Writes formats/: one small picture in every kind of file beside JPEG and PNG, and what Pillow reads from each, as PNG.

    pip install pillow numpy
    python make_formats.py

Made with Pillow 13. For each `NAME.END` there is `NAME_END.png`: the first picture of the file, upright, as RGB.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FOLDER = Path(__file__).parent / "formats"


def picture(seed: int, height: int = 27, width: int = 38) -> Image.Image:
    """Slopes, an edge, and some noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    rgb = np.stack([6 * x, 9 * y, 4 * (x + y)], axis=2) + rng.integers(0, 12, (height, width, 3))
    rgb[5:15, 8:20] = [200, 40, 90]
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def alpha(image: Image.Image) -> Image.Image:
    with_alpha = image.convert("RGBA")
    mask = np.full((image.height, image.width), 255, np.uint8)
    mask[:9, :9] = 0
    mask[9:12, :] = 100
    with_alpha.putalpha(Image.fromarray(mask))
    return with_alpha


def turned(image: Image.Image, value: int) -> Image.Exif:
    exif = image.getexif()
    exif[0x0112] = value
    return exif


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    one, two = picture(1), picture(2)
    palette = one.quantize(60)

    def save(name: str, image: Image.Image, **options) -> None:
        image.save(FOLDER / name, **options)

    save("lossy.webp", one, quality=70)
    save("lossless.webp", one, lossless=True)
    save("alpha.webp", alpha(one), lossless=True, exact=True)
    save("lossy_alpha.webp", alpha(one), quality=80, exact=True)
    save("animated.webp", one, save_all=True, append_images=[two], lossless=True, duration=100)
    save("turned.webp", one, lossless=True, exif=turned(one, 6))
    save("plain.tiff", one)
    save("lzw.tif", one, compression="tiff_lzw")
    save("deflate.tif", one, compression="tiff_adobe_deflate")
    save("packbits.tif", one, compression="packbits")
    save("grey.tif", one.convert("L"))
    save("one_bit.tif", one.convert("1"))
    save("alpha.tif", alpha(one))
    save("pages.tif", one, save_all=True, append_images=[two])
    save("turned.tif", one, exif=turned(one, 8))
    save("plain.bmp", one)
    save("grey.bmp", one.convert("L"))
    save("palette.bmp", palette)
    save("one_bit.bmp", one.convert("1"))
    save("plain.gif", palette)
    save("interlaced.gif", palette, interlace=True)
    save("animated.gif", palette, save_all=True, append_images=[two.quantize(60)])
    for file in sorted(FOLDER.iterdir()):
        if file.suffix != ".png":
            with Image.open(file) as image:
                image.seek(0)
                upright = ImageOps.exif_transpose(image).convert("RGB")
            upright.save(FOLDER / f"{file.stem}_{file.suffix[1:]}.png")


if __name__ == "__main__":
    main()
