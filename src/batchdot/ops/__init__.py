"""`batch_dot` and `dot`, and how a call finds its plan."""
