"""Errors are exceptions by their kind, in words."""

import inspect
import os
import pickle
import zipfile

import pytest
from conftest import SETTINGS

import hydranet


def test_each_kind_has_its_class(place, tmp_path):
    def raises(kind, base, words, call, *args, **options):
        with pytest.raises(kind, match=words) as raised:
            call(*args, **options)
        assert type(raised.value) is kind and isinstance(raised.value, (hydranet.Error, base))
        assert isinstance(raised.value, base)
        assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)
        return raised.value

    predictor = hydranet.Predictor(place.model)
    missing = raises(hydranet.MissingFileError, FileNotFoundError, "cannot read", hydranet.Predictor, tmp_path / "none")
    assert missing.filename == str(tmp_path / "none") and missing.errno == 2
    raises(hydranet.MissingFileError, OSError, "none.jpg", predictor.predict, tmp_path / "none.jpg")
    raises(hydranet.ImageError, ValueError, "photo 1: ", predictor.predict, b"")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(place.model.read_bytes()[:-8])
    raises(hydranet.ModelFileError, ValueError, "cut.safetensors: ", hydranet.Predictor, cut)

    train = dict(out=tmp_path / "run", heads=place.heads, on_event=None)
    wrong = {"train": {"epoch": 3}}
    said = raises(hydranet.ConfigError, ValueError, "epoch", hydranet.train, place.listing, config=wrong, **train)
    assert str(said).startswith("config") and "/hydranet-" not in str(said)
    raises(hydranet.ConfigError, ValueError, "train.epoch=3", hydranet.train, place.listing, set=["train.epoch=3"], **train)
    odd = {"train": {"epochs": object()}}
    raises(hydranet.ConfigError, ValueError, "train.epochs: expected", hydranet.train, place.listing, config=odd, **train)
    raises(hydranet.InvalidError, ValueError, "found a string", hydranet.train, place.listing, set="train.epochs=3", **train)
    listing = tmp_path / "bad.csv"
    listing.write_text(place.listing.read_text().replace(",green,", ",gren,", 1).replace("photos/", f"{place.folder}/photos/"))
    data = raises(hydranet.DataError, ValueError, "gren", hydranet.train, listing, **train)
    assert data.filename in (None, str(listing))
    nowhere = dict(train, heads="no")
    none = raises(hydranet.InvalidError, ValueError, "heads= names the folder", hydranet.train, place.listing, **nowhere)
    assert "--heads" not in str(none)
    raises(hydranet.InvalidError, ValueError, "--folds", hydranet.audit, place.listing, folds=-1, **train)
    raises(hydranet.InvalidError, ValueError, "expected a path", predictor.predict, 3)
    raises(hydranet.InvalidError, ValueError, "expected a path", predictor.predict, [None])
    raises(hydranet.InvalidError, ValueError, "on_error", predictor.predict, b"", on_error="ignore")
    raises(hydranet.InvalidError, ValueError, "uint8", predictor.predict, place.pixels[0].astype(float))
    raises(hydranet.InvalidError, ValueError, "uint8", predictor.predict, place.pixels[0][..., :2])
    diverges = ["train.lr_backbone=1e30", "train.lr_heads=1e30", "train.clip=0", *SETTINGS]
    raises(hydranet.TrainingError, ArithmeticError, "epoch 1", hydranet.train, place.listing, set=diverges, **train)
    offline = ["model.weights=hf://nobody/nothing"]
    os.environ["HF_HUB_OFFLINE"] = "1"
    hub = raises(hydranet.HubError, OSError, "nobody/nothing", hydranet.train, place.listing, set=offline, **train)
    assert hub.kind == "offline"
    raises(hydranet.InvalidError, ValueError, "set once", hydranet.set_threads, 1024)
    raises(hydranet.InvalidError, ValueError, "from 1 to 1024", hydranet.set_threads, 0)


def test_the_wheel_is_for_every_python_and_typed():
    wheel = os.environ["HYDRANET_WHEEL"]
    assert "-cp39-abi3-" in wheel
    names = zipfile.ZipFile(wheel).namelist()
    assert {"hydranet/py.typed", "hydranet/_native.pyi", "hydranet/__init__.py"} <= set(names)
    assert not [n for n in names if n.endswith((".rs", ".toml"))]


def test_whatever_is_public_has_words():
    for name in hydranet.__all__:
        thing = getattr(hydranet, name)
        if not callable(thing) or name == "Event":
            continue
        assert inspect.getdoc(thing), name
        for member, value in vars(thing).items() if inspect.isclass(thing) else ():
            if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property)):
                assert inspect.getdoc(value), f"{name}.{member}"
    native = [n for n in dir(hydranet._native) if not n.startswith("_")]
    stub = os.path.join(os.path.dirname(hydranet.__file__), "_native.pyi")
    with open(stub, encoding="utf-8") as file:
        text = file.read()
    assert [n for n in native if f"def {n}(" not in text and f"class {n}" not in text and f"{n}:" not in text] == []
