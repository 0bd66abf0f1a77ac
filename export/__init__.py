"""Ways out: NIR, Lava."""

if __name__ != "neurodeploy.export":
    raise ImportError("this folder is a package of neurodeploy: import neurodeploy.export")
