"""The functions `batch_dot` and `dot`, and how a call finds its plan.

A call goes through these files in order: `functional` (public), `arguments` (what the user passed -> an
`Operation`), `dispatch` (guard, plan cache, handlers), then `planning` and `kernels` below this package.
"""
