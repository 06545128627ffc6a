"""Predictions by PySpark, beside the command's: see engines.py for how it is run and what it says."""

import os
import sys

import engines
import pyarrow as pa
from pyspark.sql import SparkSession

import hydranet


def predict(model, threads):
    """What a worker does with the batches of a part of the table: it loads the model once, and holds one batch."""

    def batches(parts):
        hydranet.set_threads(threads)
        predictor = hydranet.Predictor(model)
        for photos in parts:
            found = predictor.predict_table(photos["image"].to_pylist(), on_error="return")
            yield from engines.noted(found.set_column(0, "path", pa.chunked_array([photos["path"]]))).to_batches()

    return batches


def run(options, table, out):
    # Workers are started by Spark; they find the shared file as this program does.
    os.environ["PYTHONPATH"] = os.path.dirname(os.path.abspath(__file__))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{options.workers}]").config("spark.ui.enabled", False)
    builder = builder.config("spark.driver.memory", "1g").config("spark.sql.execution.arrow.maxRecordsPerBatch", 256)
    # Parts of some groups of rows, so that no worker is idle while another has the last large one.
    spark = builder.config("spark.sql.files.maxPartitionBytes", 16 << 20).getOrCreate()
    found = engines.noted(hydranet.Predictor(options.model).predict_table([], on_error="return"))
    schema = spark.createDataFrame(found).schema
    photos = spark.read.parquet(str(table)).select("path", "image")
    photos.mapInArrow(predict(options.model, options.threads), schema).write.parquet(str(out))
    spark.stop()


if __name__ == "__main__":
    engines.side_by_side("spark", run)
