"""The run config: schema, strict loading, and the documents made from it."""

from __future__ import annotations

from .load import load_config
from .reference import config_reference, json_schema
from .schema import Config, ObjectiveConfig

__all__ = ["Config", "ObjectiveConfig", "config_reference", "json_schema", "load_config"]
