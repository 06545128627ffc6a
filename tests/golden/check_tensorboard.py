"""What TensorBoard's own reader says of the events of a run.

    python check_tensorboard.py RUN/tensorboard

It reads the file with `EventAccumulator` of the PyPI package `tensorboard`, lists the tags, and parses the settings with the plugin
`hparams` as the program TensorBoard does.

With tensorboard 2.21.0 and a run on the demo's portraits with `train.report_gradients`: 26 scalars (loss, macro F1 and accuracy of the
final class and of three heads, learning rates, gradients, cosines, final scores), 20 images (16 photos, 4 confusions), 28 settings,
two metrics, and a status of 1, success.
"""

import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata

events = EventAccumulator(sys.argv[1], size_guidance={"images": 0, "tensors": 0})
events.Reload()
tags = events.Tags()
for kind in ("scalars", "images"):
    print(kind, *tags[kind])
for tag in tags["scalars"]:
    print(f"  {tag}:", *(f"{e.step}={e.value:.5f}" for e in events.Scalars(tag)))
for tag in tags["images"]:
    image = events.Images(tag)[0]
    assert image.encoded_image_string.startswith(b"\x89PNG"), tag
plugin = events.PluginTagToContent("hparams")
experiment = metadata.parse_experiment_plugin_data(plugin[metadata.EXPERIMENT_TAG])
start = metadata.parse_session_start_info_plugin_data(plugin[metadata.SESSION_START_INFO_TAG])
end = metadata.parse_session_end_info_plugin_data(plugin[metadata.SESSION_END_INFO_TAG])
print("metrics", *(m.name.tag for m in experiment.metric_infos))
print("settings", *sorted(start.hparams))
for name in ("train.lr_heads", "train.epochs", "train.optimizer", "model.backbone"):
    value = start.hparams[name]
    print(f"  {name}:", value.WhichOneof("kind"), value.string_value or value.number_value)
print("status", end.status)
