"""What `regbench tune --help` prints: the protocol, its keys, and what is searched of each technique and optimizer."""

from omegaconf import OmegaConf

from regbench.config.composing import CONFIGS
from regbench.search.space import read_ranges

_TEXT = """\
Usage: regbench tune [--worker] study=NAME [KEY=VALUE ...] [--config-dir FOLDER]

Compare techniques at their best. Each setting, the baseline included, gets the same number of trials on validation
images; its best are trained again on further seeds, and one is chosen by its mean there. The choice is trained on fresh
seeds and splits, and these runs alone are compared on the test set. The report ends it. Called again, the same command
resumes; more trials or seeds add to what is there. Several machines that share the folder may call it at once; with
--worker first, it is a worker of that search and nothing more. hydra/launcher=slurm or ray starts workers on a cluster.

  regbench tune study=tuned regularizer=none,dropout,[batchnorm,dropout] trials=30 seeds=10
  regbench tune experiment=tuned_demo
  regbench tune study=mine regularizer=none,dropout space.regularizer.dropout.p.high=0.5 optimizer.lr=1e-3

Keys, beside all of train.py (see python train.py --help); a key that is given is not searched:

{keys}
What is searched, as configs/space/ has it (space.KEY.low=…, +space.KEY={{low: …, high: …, log: true}} changes it):

{spaces}"""


def tune_help() -> str:
    """Return the command's help."""
    own = (CONFIGS / "tune.yaml").read_text(encoding="utf-8").partition("\n\n")[2]
    keys = "".join(f"  {line}\n" for line in own.splitlines())
    return _TEXT.format(keys=keys, spaces="\n".join(f"  {line}" for line in _spaces()))


def _spaces() -> list[str]:
    lines = []
    for path in sorted((CONFIGS / "space").glob("*/*.yaml")):
        node = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
        group = path.parent.name
        for key, each in read_ranges({group: node}).items():
            name = f"{key} ({path.stem})" if group == "optimizer" else key
            lines.append(f"{name:<42}{each.described()}")
    return lines
