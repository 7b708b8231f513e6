"""The lesson's page, open in a browser."""

import pytest

from stages.core.base.tensors import load_tensors

from common import paths
from common.pages import opened


@pytest.fixture(scope="module")
def path(pipeline):
    return pipeline / paths.REPORT


@pytest.fixture
def page(browser, path):
    with opened(browser, path) as page:
        yield page


@pytest.fixture(scope="module")
def digits(pipeline):
    return load_tensors(pipeline / paths.DIGITS)
