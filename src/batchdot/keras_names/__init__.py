"""Keras's public names that batchdot does not have: why, and what to write instead.

Modules, models and the documentation take their sentences from here, by `lookup`. A name is written with its
place in Keras: ``layers.LSTM``, ``Model.fit``, ``optimizers``. Nothing here imports torch, and the tables are
imported when a name is looked up.
"""
