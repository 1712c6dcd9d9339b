"""Where to compute."""

import torch

from biomedgpt.errors import ConfigError


def choose_device(device: str | torch.device | None) -> torch.device:
    """Return the device asked for, or the best one; ConfigError when it cannot be used."""
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"device {device} cannot be used ({reason}); give cpu or cuda") from error
    return chosen
