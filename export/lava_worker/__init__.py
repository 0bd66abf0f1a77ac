"""The program that runs inside the isolated Lava runtime: files in, files out.

It may import neurodeploy's errors, findings, files and network, the Lava processes, numpy, scipy,
h5py and lava, and must do so on Python 3.10. The host starts it as ``python -m
neurodeploy.export.lava_worker FOLDER NUMBER``; see neurodeploy.export.lava.launch.
"""
