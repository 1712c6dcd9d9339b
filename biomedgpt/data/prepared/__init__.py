"""The prepared form: splits in HDF5 with a card, and codes of images beside them."""
