"""One module per official release: its facts (``SPECS``) and its reader (``read``)."""
