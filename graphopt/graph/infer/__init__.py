"""Infer dtype, shape and small integer values of one operator's outputs; one file for each family of operators."""
