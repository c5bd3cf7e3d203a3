"""MLflow: the server of ``MLFLOW_TRACKING_URI``, else files in ``mlruns/`` of the run folder."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.utils.time import get_current_time_millis

from .base import PROJECT, TrackedRun

_PARAM_LENGTH = 500


class MLflow:
    """One run of an experiment (``MLFLOW_EXPERIMENT_NAME`` or preftune); a resumed one goes on under the same id."""

    def __init__(self, run: TrackedRun) -> None:
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:  # its file store asks for this; a database would need more than mlflow-skinny
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = (run.folder.absolute() / "mlruns").as_uri()
        self._client = MlflowClient(uri)
        earlier = run.earlier_id("mlflow")
        if earlier is not None:
            self._id = earlier
            self._client.set_terminated(self._id, "RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        experiment = self._client.get_experiment_by_name(name)
        number = self._client.create_experiment(name) if experiment is None else experiment.experiment_id
        self._id = self._client.create_run(number, run_name=run.name).info.run_id
        params = [Param(key, str(value)[:_PARAM_LENGTH]) for key, value in run.config.items()]
        self._client.log_batch(self._id, params=params)
        run.keep_id("mlflow", self._id)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        now = get_current_time_millis()
        self._client.log_batch(self._id, [Metric(name, float(value), now, step) for name, value in metrics.items()])

    def close(self) -> None:
        self._client.set_terminated(self._id)


begin = MLflow
