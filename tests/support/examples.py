"""Examples in docstrings, run as doctests: they are true."""

import doctest
import importlib


def check(name: str) -> None:
    """Run the examples of `name`, `module` or `module:member`, and fail with doctest's report of those that differ."""
    module_name, _, member = name.partition(":")
    module = importlib.import_module(module_name)
    wanted = module_name + (f".{member}" if member else "")
    found = [test for test in doctest.DocTestFinder().find(module) if f"{test.name}.".startswith(f"{wanted}.")]
    runner, report = doctest.DocTestRunner(), list[str]()
    for test in found:
        runner.run(test, out=report.append)
    assert runner.tries > 0, f"{name} has no example"
    assert runner.failures == 0, "".join(report)
