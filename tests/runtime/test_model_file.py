"""The model file comes back as it went in, or not at all."""

import hashlib
import io
import json
import os
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isogloss import __version__
from isogloss.runtime import read_model_file
from isogloss.types import IsoglossError


def rewrite(path, **changed):
    """The zip again with some members replaced (bytes) or left out (None)."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members.update({name.replace("_", "."): data for name, data in changed.items()})
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


def edit_manifest(path, **fields):
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    rewrite(path, manifest_json=json.dumps({**manifest, **fields}).encode())


def test_what_goes_in_comes_out(write_tiny):
    state = {
        "languages": np.array(["cmn", "eng"]),
        "mean": np.arange(6, dtype=np.float64).reshape(2, 3),
        "scalar": np.float32(0.5),
    }
    path = write_tiny(network=b"graph", backend_state=state, min_speech_frames=42)
    model = read_model_file(path)
    assert model.network == b"graph"
    assert model.backend_state.keys() == state.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(model.backend_state[name], array)
        assert model.backend_state[name].dtype == np.asarray(array).dtype
    manifest = model.manifest
    assert manifest.languages == ("cmn", "eng", "kaz")
    assert manifest.front_end.pitch is False and manifest.front_end.dim == 20
    assert manifest.min_speech_frames == 42
    assert manifest.isogloss_version == __version__
    assert manifest.provenance == {"corpus": "none", "licence": "Apache-2.0"}


def test_calibration_and_operating_point_come_back(write_tiny):
    point = {
        "threshold": 0.25,
        "rate": "reject",
        "at_most": 0.05,
        "num_known": 76,
        "num_unknown": 0,
        "known_rejected": 0.04,
        "unknown_accepted": None,
    }
    plain = read_model_file(write_tiny())
    assert plain.calibration_state is None and plain.manifest.open_set is None
    model = read_model_file(write_tiny(calibration_state={"scales": np.array([2.0])}, open_set=point))
    np.testing.assert_array_equal(model.calibration_state["scales"], [2.0])
    assert model.manifest.open_set.model_dump() == point
    assert "calibration.npz" in model.manifest.parts


def test_a_calibration_that_was_taken_out_is_missed(write_tiny):
    path = write_tiny(calibration_state={"scales": np.array([2.0])})
    rewrite(path, calibration_npz=None)
    with pytest.raises(IsoglossError, match="calibration.npz is missing"):
        read_model_file(path)


def test_a_file_of_version_1_is_read(write_tiny):
    path = write_tiny()
    with zipfile.ZipFile(path) as archive:
        manifest = json.loads(archive.read("manifest.json"))
    del manifest["open_set"]
    rewrite(path, manifest_json=json.dumps({**manifest, "format_version": 1}).encode())
    assert read_model_file(path).calibration_state is None


def test_it_is_a_zip_that_other_tools_can_read_and_check(write_tiny):
    with zipfile.ZipFile(write_tiny()) as archive:
        assert sorted(archive.namelist()) == ["backend.npz", "manifest.json", "network.onnx"]
        manifest = json.loads(archive.read("manifest.json"))
        for name in ("backend.npz", "network.onnx"):
            assert manifest["parts"][name] == hashlib.sha256(archive.read(name)).hexdigest()


def test_equal_parts_give_equal_bytes(write_tiny):
    assert write_tiny().read_bytes() == write_tiny().read_bytes()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(write_tiny, monkeypatch):
    path = write_tiny()
    before = path.read_bytes()

    def full_disk(*_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write_tiny(min_speech_frames=99)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_python_objects_are_not_written(write_tiny):
    with pytest.raises(IsoglossError, match="'pairs' holds Python objects"):
        write_tiny(backend_state={"pairs": np.array([{}], dtype=object)})


def test_pickles_are_not_loaded(write_tiny):
    path = write_tiny()
    buffer = io.BytesIO()
    np.savez(buffer, evil=np.array([{}], dtype=object))
    with zipfile.ZipFile(path) as archive:
        parts = json.loads(archive.read("manifest.json"))["parts"]
    edit_manifest(path, parts={**parts, "backend.npz": hashlib.sha256(buffer.getvalue()).hexdigest()})
    rewrite(path, backend_npz=buffer.getvalue())
    with pytest.raises(IsoglossError, match=r"backend\.npz holds more than plain arrays"):
        read_model_file(path)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(IsoglossError, match="no such model file"):
        read_model_file(tmp_path / "absent.isogloss")
    with pytest.raises(IsoglossError, match="a directory; expected one model file"):
        read_model_file(tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF not a zip", None], ids=["empty", "other", "half"])
def test_not_a_zip(write_tiny, content):
    path = write_tiny()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    with pytest.raises(IsoglossError, match=r"not a model file .*download cut short"):
        read_model_file(path)


def test_a_damaged_zip_directory(write_tiny):
    """zipfile raises NotImplementedError rather than BadZipFile for an unknown version in its directory."""
    path = write_tiny()
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 84
    path.write_bytes(data)
    with pytest.raises(IsoglossError, match="not a model file"):
        read_model_file(path)


def test_another_programs_zip(write_tiny):
    path = write_tiny()
    rewrite(path, manifest_json=None)
    with pytest.raises(IsoglossError, match=r"a zip without manifest\.json"):
        read_model_file(path)
    for manifest in (b'{"name": "something else"}', b"[]", b"not json", b"\xff"):
        rewrite(path, manifest_json=manifest)
        with pytest.raises(IsoglossError, match="not that of an isogloss model"):
            read_model_file(path)


@pytest.mark.parametrize("part", ["network.onnx", "backend.npz"])
def test_missing_and_altered_parts(write_tiny, part):
    keyword = part.replace(".", "_")
    path = write_tiny()
    rewrite(path, **{keyword: b"other"})
    with pytest.raises(IsoglossError, match=f"{part} does not match its checksum"):
        read_model_file(path)
    rewrite(path, **{keyword: None})
    with pytest.raises(IsoglossError, match=f"{part} is missing"):
        read_model_file(path)


def test_a_newer_format_says_which_isogloss_reads_it(write_tiny):
    path = write_tiny()
    edit_manifest(path, format_version=3, isogloss_version="3.1.4", new_field=True)
    with pytest.raises(IsoglossError, match=r"isogloss 3\.1\.4 in format 3.*up to format 2.*isogloss>=3\.1\.4"):
        read_model_file(path)


def test_an_unknown_manifest_key_is_named(write_tiny):
    path = write_tiny()
    edit_manifest(path, min_speech_frame=3)
    with pytest.raises(IsoglossError, match="did you mean 'min_speech_frames'"):
        read_model_file(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_one_damaged_byte_is_harmless_or_an_isogloss_error(write_tiny, where, mask):
    path = write_tiny()
    sound = read_model_file(path)
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= mask
    path.write_bytes(data)
    try:
        model = read_model_file(path)
    except IsoglossError:
        return
    assert model.manifest == sound.manifest and model.network == sound.network
    assert all(np.array_equal(model.backend_state[name], array) for name, array in sound.backend_state.items())
