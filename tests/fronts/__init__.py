"""Stand-ins for a Qdrant server: its two protocols over real sockets, for tests of the client path.

No registry has a Qdrant server. So `QdrantRestFront` and `QdrantGrpcFront` speak the part of its
API that the adapter uses, and qdrant-client's local mode answers behind them. What they show is
that requests and answers survive the wire and that errors are told apart; how a real server ranks
or stores is shown by the tests that run against `$QDRANT_URL`.
"""

from tests.fronts.front import Front, Recorded
from tests.fronts.qdrant_grpc import QdrantGrpcFront
from tests.fronts.qdrant_rest import QdrantRestFront

__all__ = ["Front", "QdrantGrpcFront", "QdrantRestFront", "Recorded"]
