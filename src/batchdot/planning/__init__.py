"""Planning: turn shapes, dtypes and strides of a dot product into a plan.

`axes` resolves negative axes, `contraction` computes the shape of the result, `lowering` decides on the form
of the product (row product, matrix product, ...), and `plan` is the value that it returns.
"""
