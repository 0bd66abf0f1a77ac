"""Ways out: NIR, Lava. Importing this package imports nothing; its parts load what they need."""

if __name__ != "neurodeploy.export":
    raise ImportError("this folder is a package of neurodeploy: import neurodeploy.export")
