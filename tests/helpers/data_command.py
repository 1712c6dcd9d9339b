"""`biomedgpt data ...` in this process."""

import argparse

from biomedgpt.cli import data


def run(*words):
    parser = argparse.ArgumentParser()
    data.add_parser(parser.add_subparsers())
    args = parser.parse_args(["data", *map(str, words)])
    return args.func(args) or 0
