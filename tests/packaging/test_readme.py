"""The README's commands exist and its example runs as it stands."""

import re
from pathlib import Path

from small_models import write_data, write_model

from neurodeploy.cli.commands import COMMANDS

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def example(call):
    """The README's only Python block with this call."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (block,) = [b for b in blocks if call in b]
    return block


def test_the_library_example_runs(tmp_path, monkeypatch, capsys):
    from neurodeploy.errors import MissingComponentError
    from neurodeploy.export import lava

    def absent(*arguments, **options):
        raise MissingComponentError("not needed here")

    monkeypatch.setattr(lava, "verify_against", absent, raising=False)
    monkeypatch.chdir(tmp_path)
    model = write_model(tmp_path / "net.nir")
    write_data(tmp_path / "train.npz", 1, model=model)
    write_data(tmp_path / "test.npz", 2, model=model)
    exec(compile(example("nd.deploy("), "README.md", "exec"), {})  # noqa: S102
    agreement, verdict = capsys.readouterr().out.strip().split("\n")[:2]
    assert float(agreement) > 0.8
    assert verdict
    assert (tmp_path / "results" / "report.html").exists()
    assert (tmp_path / "net.h5").exists()


def test_the_norse_example_runs(tmp_path, monkeypatch):
    import torch

    import neurodeploy.neurons.norse_parts  # noqa: F401  (imports Norse without its warnings)

    torch.manual_seed(0)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(example("nd.from_nir("), "README.md", "exec"), names)  # noqa: S102
    assert (tmp_path / "norse.nir").exists()
    assert names["module"](names["sample"]).sum() > 0


def test_commands_and_files_that_the_readme_names_exist():
    named = set(re.findall(r"neurodeploy ([a-z]+) ", README))
    assert {"deploy"} <= named & {c.name for c in COMMANDS}
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / path).exists(), path
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`?make ([a-z-]+)", README):
        assert f"\n{target}:" in makefile, target
