# SPDX-License-Identifier: Apache-2.0
"""The tree is the architecture: the check that dependencies point down, and that the check can fail."""
import importlib.util

import pytest

from conftest import ROOT

spec = importlib.util.spec_from_file_location("layers", ROOT / "tools/layers.py")
layers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(layers)


def test_dependencies_point_down():
    assert list(layers.check(ROOT)) == []


@pytest.mark.parametrize("room, line, says", [
    ("flow", '#include "meter/meter.h"', "may not see meter/"),
    ("deliver", '#include "query/query.h"', "may not see query/"),
    ("meter", '#include "flow/fragments.h"', "own business"),
    ("record", "#include <linux/if_packet.h>", "Linux only"),
    ("attic", "", "no place in the order"),
])
def test_a_violation_is_named_with_its_line(tmp_path, room, line, says):
    file = tmp_path / "src" / room / "x.c"
    file.parent.mkdir(parents=True)
    file.write_text(f"/* first line */\n{line}\n")
    problems = list(layers.check(tmp_path))
    assert len(problems) == 1 and says in problems[0]
    assert problems[0].startswith(f"src/{room}/x.c:{2 if line else 1}:")
