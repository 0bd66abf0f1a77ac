import pytest


@pytest.fixture(autouse=True)
def _one_torch_thread(request):
    """Small tensors on several threads only wait for each other."""
    if "gradient" not in request.module.__name__:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
