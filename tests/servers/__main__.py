"""python -m tests.servers: start all test servers ahead, and own them until standard input ends.

Prints the address for SPLADE_TEST_SERVERS at once; whoever asks there for a server waits until it
is up. Standard input also ends when whoever started this is killed, so nothing is left behind.
"""

from __future__ import annotations

import signal
import sys

from tests.servers.shared import SERVERS, Owner


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    # Ctrl-C in the terminal is for the tests; they end, and with them our standard input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Owner() as owner:
        owner.start(SERVERS)
        sys.stdout.write(f"{owner.address}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
