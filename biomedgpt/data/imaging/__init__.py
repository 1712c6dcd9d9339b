"""From files and arrays of any kind to 8-bit images; `biomedgpt.data.imaging.images` is the way in.

A module per kind: `raster` (PNG, JPEG, TIFF, ...), `dicom`, `nifti`; `levels` makes 8 bits of more.
"""
