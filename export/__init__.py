"""Ways out: NIR, Lava."""

if __name__ != "neurodeploy.export":
    raise ImportError("this folder is the package neurodeploy.export: import neurodeploy.export")
