"""The same bytes on other processors, with other libraries and under other settings."""

import pytest

from commands.processors import PROCESSORS, differing_bytes, few_images, run_here, run_there
from common.graph import outputs
from common.pythons import Unavailable

SAME_AS_ANOTHER = "EPYC Milan"  # has the instructions of Haswell, for what the stages compute
TRIED = [processor for processor in PROCESSORS if SAME_AS_ANOTHER not in processor.name]


@pytest.fixture(scope="module")
def here(made_once, pipeline):
    """What the stages write on this processor."""
    folder = made_once("few_images", lambda folder: run_here(pipeline, few_images, folder))
    return outputs(folder)


@pytest.mark.slow
@pytest.mark.parametrize("processor", TRIED, ids=[processor.name for processor in TRIED])
def test_processors_make_no_difference(here, pipeline, tmp_path, processor):
    try:
        there = run_there(processor, pipeline, few_images, tmp_path)
    except Unavailable as error:
        pytest.skip(str(error))
    assert here.keys() == outputs(pipeline).keys()
    assert differing_bytes(here, there) == {}
