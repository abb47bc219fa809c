"""The two ways in which a test does not get its server."""


class ServerUnavailable(RuntimeError):
    """Something that the server needs is not on this machine; the message says what to install."""


class ServerFailed(RuntimeError):
    """The server was started and did not come up; the message ends with its log."""
