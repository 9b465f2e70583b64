"""The design of a sweep whose seeds come in stages until a verdict: read from the configuration and checked.

What it takes of the study is imported where it is needed: other sweeps start without pandas.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, ListConfig

from regbench.config.metrics import names
from regbench.storage.schema import METRICS
from regbench.storage.study_folder import Plan
from regbench.sweeps.first_checks import given
from regbench.sweeps.resolving import SEED

if TYPE_CHECKING:
    from regbench.study.statistics.stages import Stages

_KEY = "hydra.sweeper"


class Design(NamedTuple):
    """Seeds by stage, and the metric that the verdicts are on."""

    stages: "Stages"
    metric: str


def design_of(config: DictConfig, plan: Plan) -> Design | None:
    """Return the design of a sweep by stages; None of one by a grid.

    Args:
        config: The composed configuration with Hydra's part.
        plan: What earlier calls of the same study have asked for.

    Raises:
        ValueError: A value of the design is wrong, the command names seeds too, or the study has other stages.
    """
    sweeper = config.hydra.sweeper
    if "stages" not in sweeper:
        return None
    for override in OverridesParser.create().parse_overrides(given(config)):
        if override.key_or_group == SEED:
            raise ValueError(
                f"{override.input_line}: expected no seeds beside seeds=until_sure, which takes them by "
                f"{_KEY}.stages={_shown(sweeper.stages)}"
            )
    design = Design(_stages(sweeper.stages), _metric(sweeper.get("metric"), names(config.get("metrics"))))
    began = plan.stages, plan.metric
    if plan.stages and began != (list(design.stages.sizes), design.metric):
        raise ValueError(
            f"{_KEY}: expected stages={_shown(plan.stages)} and metric={plan.metric}, with which this study began, "
            f"received stages={_shown(sweeper.stages)} and metric={design.metric}; study=NAME begins another"
        )
    return design


def check_baseline(configs: Sequence[Mapping[str, Any]]) -> None:
    """Refuse settings without one to compare with, or without one to compare.

    Args:
        configs: A composed configuration of each setting.

    Raises:
        ValueError: In one line.
    """
    from regbench.study.settings import is_off

    techniques = [config.get("regularizer") or {} for config in configs]
    if not any(all(is_off(node) for node in each.values()) for each in techniques):
        named = ", ".join(dict.fromkeys("+".join(sorted(each)) for each in techniques))
        raise ValueError(
            f"regularizer: expected none among the settings, which seeds=until_sure compares the others with; "
            f"received {named}"
        )
    if len(configs) < 2:
        raise ValueError("seeds=until_sure: expected none and another setting or more, received none alone")


def _stages(value: Any) -> "Stages":
    from regbench.study.statistics.stages import Stages

    try:
        return Stages(tuple(value) if isinstance(value, ListConfig) else (value,))
    except ValueError as error:
        raise ValueError(f"{_KEY}.{error}") from error


def _metric(value: Any, own: Iterable[str]) -> str:
    known = [*METRICS, *(f"{split}/{name}" for name in own for split in ("train", "val", "test"))]
    if value not in known:
        raise ValueError(f"{_KEY}.metric: expected one of {', '.join(known)}; received {value!r}")
    return str(value)


def _shown(stages: Any) -> str:
    return f"[{','.join(map(str, stages))}]" if isinstance(stages, Sequence) else str(stages)
