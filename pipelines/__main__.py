"""`python -m pipelines`: the same as the `lyra-sim` command."""

from pipelines.cli import main

if __name__ == "__main__":
    main()
