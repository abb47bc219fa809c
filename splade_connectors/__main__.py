"""`python -m splade_connectors`: the command line, where its script is not on the PATH."""

from splade_connectors.cli import main

if __name__ == "__main__":
    main()
