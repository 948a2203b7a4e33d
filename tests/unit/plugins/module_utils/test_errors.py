# Copyright: (c) 2026, shipshape.stack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors nobody expected, as a person is told of them."""

from __future__ import annotations

import errno
import http.client

import docker.errors
import pytest
import requests.exceptions
import urllib3.exceptions

from ansible_collections.shipshape.stack.plugins.module_utils._errors import EngineGoneError, StackError, understood


@pytest.mark.parametrize(
    ("inner", "words"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "No such file or directory"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "Connection refused"),
        (http.client.RemoteDisconnected("Remote end closed connection without response"), "Remote end closed"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_engine_that_went_away_is_named_with_the_error_of_the_connection(inner: Exception, words: str) -> None:
    told = understood(
        requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", inner))
    )
    assert isinstance(told, EngineGoneError)
    assert told.evidence.startswith("Connection to the Engine: ")
    assert words in told.evidence
    assert "repeat the deploy" in told.fix


def test_answer_of_the_engine_is_the_evidence() -> None:
    told = understood(docker.errors.APIError("409 Client Error", explanation="removal is already in progress"))
    assert told is not None
    assert not isinstance(told, EngineGoneError)
    assert told.evidence == "removal is already in progress"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_named_with_the_file_that_could_not_be_written(number: int) -> None:
    told = understood(OSError(number, "No space left on device", "/srv/shop/releases/.tmp"))
    assert told is not None
    assert told.cause == "The disk is full."
    assert "/srv/shop/releases/.tmp" in told.evidence
    assert "docker system df" in told.fix


def test_our_own_error_stays_as_it_is_and_a_mistake_is_none_of_ours() -> None:
    own = StackError("The lock is held.")
    assert understood(own) is own
    assert understood(KeyError("service")) is None
    assert understood(PermissionError(errno.EACCES, "Permission denied", "/srv")) is None
