"""Planning: axes, contraction, lowering, plan. From shapes and dtypes to a plan, without values or kernels.

`axes` resolves negative axes, `contraction` computes the shape of the result, `lowering` decides on the form
of the product (row product, matrix product, ...), and `plan` is the value that it returns.
"""
