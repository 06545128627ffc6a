"""Predictions by Ray Data, beside the command's: see engines.py for how it is run and what it says."""

import engines
import ray

import hydranet


class Predict:
    """An actor: it loads the model once and answers batch after batch."""

    def __init__(self, model, threads):
        hydranet.set_threads(threads)
        self.predictor = hydranet.Predictor(model)

    def __call__(self, photos):
        found = self.predictor.predict_table(photos["image"].to_pylist(), on_error="return")
        return engines.noted(found.set_column(0, "path", photos["path"]))


def run(options, table, out):
    # One processor more than there are workers, for the tasks that read and write; they wait most of the time.
    ray.init(num_cpus=options.workers + 1, include_dashboard=False, object_store_memory=512 << 20)
    # Blocks of the size of some batches, so that no worker is idle while another has the last large one.
    ray.data.DataContext.get_current().target_max_block_size = 4 << 20
    photos = ray.data.read_parquet(str(table)).select_columns(["path", "image"])
    workers = ray.data.ActorPoolStrategy(size=options.workers)
    args = [options.model, options.threads]
    found = photos.map_batches(
        Predict, fn_constructor_args=args, batch_format="pyarrow", batch_size=256, compute=workers, num_cpus=1
    )
    found.write_parquet(str(out))
    ray.shutdown()


if __name__ == "__main__":
    engines.side_by_side("ray", run)
