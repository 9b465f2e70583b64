"""Train one composition, or with -m a sweep of them: `python train.py --help`. The same as `regbench train`."""

from regbench.sweeps.command import main

if __name__ == "__main__":
    main()
