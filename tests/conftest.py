"""One thread per numerical library: on a busy machine two fight, and every exact test is the same."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
