"""Our own Lava processes and their fixed_pt models; imports lava and numpy, nothing else.

At compile time Lava imports every file in the folder of a process, under a bare name, to look for
models. So these live alone. No Var may be called like a member of a process model (``start``,
``run``, ``stop``, ``pause``, ``join``, ``time_step``, ``phase``): it would shadow it, and the run
would hang without a word.
"""
