"""The source of a knowledge base as Dagster sees it: an asset that others make and we observe."""

import dagster as dg

from platform_pipelines.core.knowledge_base.declaration import KnowledgeBaseSpec

SOURCE = "source"
DATA_VERSION_TAG = "dagster/data_version"  # by which an observation tells its version


def source_key(spec: KnowledgeBaseSpec) -> dg.AssetKey:
    """The key of the source."""
    return dg.AssetKey([spec.name, SOURCE])


def source_asset(spec: KnowledgeBaseSpec) -> dg.AssetSpec:
    """The documents where other people keep them, above the asset `documents`."""
    scheme = spec.source.url.partition("://")[0]
    return dg.AssetSpec(
        source_key(spec),
        description="The documents where their owners keep them. The sensor "
        f"`{spec.name}_watch` notes here what it saw when the listing changed.",
        group_name=spec.name,
        owners=[spec.owner],
        kinds={"s3" if scheme == "s3" else "file"},
        metadata={"url": dg.MetadataValue.url(spec.source.url)},
    )


def source_observation(spec: KnowledgeBaseSpec, fingerprint: str) -> dg.AssetObservation:
    """What the sensor saw: the digest of the source's listing, as its data version."""
    return dg.AssetObservation(
        asset_key=source_key(spec),
        description="the listing changed",
        metadata={"listing": fingerprint, "url": dg.MetadataValue.url(spec.source.url)},
        tags={DATA_VERSION_TAG: fingerprint},
    )
