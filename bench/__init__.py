"""Speed and memory, as ratios within one run; see `python -m bench --help`."""
