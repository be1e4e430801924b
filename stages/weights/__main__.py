"""weights/<name>.safetensors: the starting point that params.yaml calls by this name."""

from stages import networks, params, runtime
from stages.artifacts import weights
from stages.weights.params import WeightsEntry
from stages.weights.sources import starting_point


def main() -> None:
    """Load or make it, and write it with its header."""
    entry: WeightsEntry = params.read(f"weights.{name}", WeightsEntry)  # type: ignore[arg-type]  # a union is no class
    backbone, header = starting_point(entry, params.read("seed", int))
    networks.save_backbone(weights.path(name), backbone, header)


if __name__ == "__main__":
    name = runtime.argument("name")
    runtime.run("weights", main, name)
