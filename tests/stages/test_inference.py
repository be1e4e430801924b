import numpy as np
import pytest
import torch

from stages import inference, networks
from stages.runtime import UserError
from tests.stages.conftest import InMemory

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (21, 32, 32), dtype=np.uint8)


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return networks.build_backbone("mobilenet_v3_small", 32)[0]


def test_an_output_does_not_depend_on_how_many_images_follow(backbone, pixels):
    whole = inference.logits(backbone, InMemory(pixels), CPU, batch_size=8)
    part = inference.logits(backbone, InMemory(pixels[:19]), CPU, batch_size=8)
    assert whole.shape == (21, 1024)
    assert whole.dtype == np.float32
    assert np.array_equal(whole[:19], part)


def test_an_output_is_what_the_network_says_in_evaluation_mode(backbone, pixels):
    found = inference.logits(backbone, InMemory(pixels), CPU, batch_size=8)
    with torch.inference_mode():
        expected = backbone.eval()(networks.to_input(torch.tensor(pixels)))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_bits_do_not_depend_on_the_number_of_threads(backbone, pixels):
    usual = torch.get_num_threads()
    try:
        outputs = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            outputs.append(inference.logits(backbone, InMemory(pixels), CPU))
    finally:
        torch.set_num_threads(usual)
    assert np.array_equal(outputs[0], outputs[1])
    assert np.array_equal(outputs[0], outputs[2])


def test_a_gpu_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert inference.device("auto") == CPU
    with pytest.raises(UserError, match="RADREPRO_DEVICE=cuda"):
        inference.device("cuda")


def test_an_operation_without_a_deterministic_form_is_an_error_on_a_cpu(monkeypatch):
    inference.device("cpu")
    try:
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(mode=False)
