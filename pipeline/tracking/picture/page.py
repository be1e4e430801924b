"""The page: the drawing, and what each stage ran, read and wrote."""

import json
from pathlib import Path

import jinja2

from pipeline import text
from pipeline.lineage import Chain, File, Join, Stage, label
from pipeline.tracking.picture.layout import HEIGHT, WIDTH, Drawing, Line, draw

_TEMPLATE = Path(__file__).with_name("page.html.j2")


def page(chain: Chain, last: str) -> str:
    """An HTML file. ``last`` names the stage whose chain is the model's own: what else there is stands back."""
    models = chain.upstream(last)
    own = {stage.name for stage in models.stages}
    drawing = draw(chain)
    boxes = [
        {
            "name": box.name,
            "x": box.x,
            "y": box.y,
            "own": any(stage.name in own for stage in box.stages),
            "hash": box.stages[0].sha256[:8] if len(box.stages) == 1 else "",
            "stages": [_stage(stage, chain) for stage in box.stages],
        }
        for box in drawing.boxes
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    lines = [
        {"from": line.source, "to": line.target, "join": line.join, "implied": line.implied, "path": path}
        for line, path in _paths(drawing)
    ]
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        boxes=boxes,
        lines=lines,
        joins={join.name: join.value for join in Join},
        chain=chain.sha256,
        own=models.sha256,
        count=len(chain.stages),
        width=drawing.width,
        height=drawing.height,
        box={"width": WIDTH, "height": HEIGHT},
    )


def _stage(stage: Stage, chain: Chain) -> dict[str, object]:
    links = {link.path: link for link in chain.links if link.stage == stage.name}
    return {
        "label": stage.label,
        "command": stage.command,
        "sha256": stage.sha256,
        "code_sha256": stage.code_sha256 if stage.code else "",
        "params_sha256": stage.params_sha256 if stage.params else "",
        "params": json.dumps(stage.params, indent=2, sort_keys=True) if stage.params else "",
        "code": [_file(file) for file in stage.code],
        "reads": [
            _file(file)
            | {"join": links[file.path].join.value, "from": [label(name) for name in links[file.path].producers]}
            for file in stage.inputs
        ],
        "writes": [_file(file) for file in stage.outputs],
    }


def _file(file: File) -> dict[str, object]:
    size = "" if file.size is None else text.size(file.size)
    return {"path": file.path, "md5": file.md5, "size": size, "files": file.files or ""}


def _paths(drawing: Drawing) -> list[tuple[Line, str]]:
    """Each line as an SVG path, from the right side of one box to the left of another."""
    at = {box.name: (box.x, box.y + HEIGHT // 2) for box in drawing.boxes}
    found = []
    for line in drawing.lines:
        (x, y), (to_x, to_y) = at[line.source], at[line.target]
        bend = (to_x - x - WIDTH) // 2
        curve = f"M{x + WIDTH} {y} C{x + WIDTH + bend} {y} {to_x - bend} {to_y} {to_x} {to_y}"
        found.append((line, curve))
    return found
