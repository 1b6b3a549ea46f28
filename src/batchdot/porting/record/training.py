"""Read the training config: optimizer, loss and metrics. It is shown; nothing else uses it."""

from batchdot.porting.archive import Json
from batchdot.porting.record.item import Item
from batchdot.porting.record.layers import freeze_map
from batchdot.porting.record.values import FrozenMap, Value

KEYS = ("optimizer", "optimizer_config", "loss", "metrics", "weighted_metrics", "loss_weights")


def training_of(config: Json) -> FrozenMap[str, Value]:
    """Return optimizer, loss and metrics as they stand in the file, frozen."""
    if not isinstance(config, dict):
        return FrozenMap()
    found = {key: config[key] for key in KEYS if config.get(key)}
    return freeze_map(Item(dict(found), "training_config"))
