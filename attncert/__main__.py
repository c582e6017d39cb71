"""`python -m attncert` is the command line."""

import sys

from attncert.cli import main

if __name__ == "__main__":
    code = main()
    # Where an interrupt comes while text is executed, as when a dataclass is made, Python remembers it as unhandled and
    # ends with SIGINT in spite of the exit code. It forgets it when it next executes some text.
    exec("")
    sys.exit(code)
