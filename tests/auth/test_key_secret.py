"""The secret of the keys' hashes is made once, by whoever comes first, and is nobody else's to read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.auth.key_secret import FILE, KeySecretError, find_or_make
from gateway.auth.settings import AuthSettings


def test_it_is_made_once_and_found_ever_after(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    secret = find_or_make(folder)
    assert len(secret) == 64
    assert find_or_make(folder) == secret
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / FILE).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == [FILE]


def test_all_who_come_at_once_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(find_or_make, [tmp_path] * 64))) == 1
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_each_folder_has_its_own(tmp_path: Path) -> None:
    assert find_or_make(tmp_path / "one") != find_or_make(tmp_path / "other")


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 40, b"x" * 65])
def test_what_cannot_be_a_secret_is_told_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(KeySecretError, match=FILE) as refusal:
        find_or_make(tmp_path)
    assert path.read_bytes() == content
    assert "short" not in str(refusal.value)


def test_a_file_that_others_may_read_is_no_secret(tmp_path: Path) -> None:
    find_or_make(tmp_path)
    (tmp_path / FILE).chmod(0o640)
    with pytest.raises(KeySecretError, match="0600"):
        find_or_make(tmp_path)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    find_or_make(tmp_path / "elsewhere")
    (tmp_path / FILE).symlink_to(tmp_path / "elsewhere" / FILE)
    with pytest.raises(KeySecretError):
        find_or_make(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KeySecretError, match="set KEY_HASH_SECRET"):
        find_or_make(tmp_path / "file" / "data")


@pytest.mark.parametrize("secret", ["", "f3a9" * 8, "f3a9" * 16])
def test_a_start_accepts_no_secret_and_one_of_fitting_length(secret: str) -> None:
    settings = AuthSettings.model_validate({"gateway_api_key": "sk-first-7f3a", "key_hash_secret": secret})
    assert settings.key_hash_secret.get_secret_value() == secret


@pytest.mark.parametrize("secret", ["f3a9" * 7, "f3a9" * 17, "change-me" * 4, "é" * 40, "f3 9" * 8])
def test_a_start_refuses_others_and_does_not_repeat_them(secret: str) -> None:
    with pytest.raises(ValidationError, match="KEY_HASH_SECRET") as refusal:
        AuthSettings.model_validate({"gateway_api_key": "sk-first-7f3a", "key_hash_secret": secret})
    said = str(refusal.value.errors(include_input=False, include_context=False))
    assert secret not in said
