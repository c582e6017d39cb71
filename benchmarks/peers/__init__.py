"""One module per peer. Each runs in a process of its own, under an interpreter that may have nothing but the peer:
apart from `run_attncert`, none of them imports attncert."""
