"""RegBench: which regularization helps, by how much, and how sure are we?

The rooms, in the order in which data flows through them:

- ``streams``: seeds and orders, one random stream a purpose.
- ``construct``: from a YAML node to the object, checked against the constructor's signature.
- ``sources``: the decoded arrays of a data set, verified.
- ``data``: ``ImageData``, splits and whole ready batches in memory.
- ``models``: ``LeNet5`` and ``MLP``.
- ``regularizers``: one technique a file, named as its YAML.
- ``classifier``: ``Classifier``, the LightningModule.
- ``schedulers``: learning rates over time that torch lacks.
- ``checkpoints``, ``interruption``: going on after a stop, to the same bits.
- ``fitting``, ``lean``: Lightning's training loop as a library, without what a small network need not pay for.
- ``run_folder``: what a run leaves behind, and its lock.
- ``composition``: all that is Hydra's: composing, naming, sweeps, error messages.
- ``pictures``: TensorBoard's images and histograms.
- ``experiment``: one run from its configuration to ``results.json``, and back.
- ``images``: image files for a trained network.
- ``export``: a trained network for other programs.
- ``study``: reads finished runs; tables, statistics, figures, reports.
- ``methods``: the methods page from the method cards.
- ``published``: published numbers and claims beside ours, for their page.
- ``cli``: the ``regbench`` command.
"""

__version__ = "0.1.0"
