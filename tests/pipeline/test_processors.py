"""The same bytes on other processors, with other libraries and under other settings."""

import pytest

from commands.processors import PROCESSORS, differing_bytes, run_there
from common.graph import outputs
from common.parameters import few_images
from common.pythons import Unavailable

SAME_AS_ANOTHER = "EPYC Milan"  # has the instructions of Haswell, for what the stages compute
TRIED = [processor for processor in PROCESSORS if SAME_AS_ANOTHER not in processor.name]


@pytest.mark.slow
@pytest.mark.parametrize("processor", TRIED, ids=[processor.name for processor in TRIED])
def test_processors_make_no_difference(pipeline, small_pipeline, tmp_path, processor):
    try:
        there = run_there(processor, pipeline, few_images, tmp_path)
    except Unavailable as error:
        pytest.skip(str(error))
    here = outputs(small_pipeline)
    assert here.keys() == outputs(pipeline).keys()
    assert differing_bytes(here, there) == {}
