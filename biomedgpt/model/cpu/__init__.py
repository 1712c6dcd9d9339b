"""Kernels for CPUs: packed weights for few rows, gradients that suit large sizes."""
