"""Imported last by the process that commands are forked from: what it holds is shared, not copied by each."""

import gc

gc.collect()
gc.freeze()
