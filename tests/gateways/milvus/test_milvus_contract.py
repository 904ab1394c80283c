"""What every Milvus behind the gateway promises, Milvus Lite and a real server alike."""

import threading

import numpy as np
import pytest
from conftest import DIMENSION, QUOTED_TENANTS, Sealed, fill, make_row, unit_vectors

from platform_pipelines.errors import (
    CapabilityError,
    ConflictError,
    DimensionError,
    IntegrityError,
    MissingTenantError,
    UnknownNameError,
)
from platform_pipelines.gateways.milvus.probe import PREFIX
from platform_pipelines.gateways.milvus.store import MilvusStore
from platform_pipelines.gateways.vector_store import CollectionSpec
