# SPDX-License-Identifier: Apache-2.0
"""The command line's manners: versions, help, usage errors."""


def test_version_names_the_program(flowlog):
    assert flowlog("--version").stdout.startswith("flowlog ")


def test_an_unknown_command_is_a_usage_error_with_the_nearest_one(flowlog):
    done = flowlog("metre", check=False)
    assert done.returncode == 2
    assert "did you mean meter" in done.stderr
