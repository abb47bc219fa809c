"""Failures of network, server and process while documents are written, and what must hold after.

Between the client and a real server stands a proxy that injects faults; a job (`index`, `attach`)
runs through it, and everything is then read back past the proxy and compared.

| module    | what it has                                                                     |
|-----------|---------------------------------------------------------------------------------|
| scale     | how many documents, kills, seconds: the share of CI, or SPLADE_TESTS=full      |
| faults    | faults as values, and rules that say which requests they hit                    |
| bulk      | bulk requests cut in two, and their answers put together                        |
| proxy     | the proxy                                                                       |
| documents | the documents of a test, with what owners have in theirs                        |
| snapshot  | all that a server holds, compared as JSON values                                |
| worlds    | the servers: filling, reading back, checking                                    |
| jobs      | what runs: `index`                                                              |
| kill      | a job in a process that is killed at random moments                             |
| blocks    | indices that take no writes                                                     |
"""
