from pathlib import Path

import pytest

from orchestrator.settings import from_environment, with_tokens


def test_everything_has_a_default() -> None:
    settings = from_environment({})
    assert settings.port == 8420
    assert settings.store_uri.endswith(".ganworks/store")
    assert settings.database_url.startswith("sqlite:///")
    assert settings.advertised == "http://127.0.0.1:8420"


def test_the_environment_is_read(tmp_path: Path) -> None:
    token = tmp_path / "ray-token"
    token.write_text("of ray\n")
    settings = from_environment(
        {
            "GANWORKS_HOME": str(tmp_path),
            "GANWORKS_PORT": "9000",
            "GANWORKS_STALLED_AFTER": "12.5",
            "GANWORKS_DATA_ROOTS": "/a:/b",
            "GANWORKS_RUNTIME_ENV": '{"env_vars": {"A": "1"}}',
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            "AWS_SECRET_ACCESS_KEY": "a secret of S3",
            "UNRELATED": "x",
        }
    )
    assert (settings.home, settings.port, settings.stalled_after) == (tmp_path, 9000, 12.5)
    assert settings.data_roots == ("/a", "/b")
    assert settings.runtime_env == {"env_vars": {"A": "1"}}
    assert settings.ray_token == "of ray"
    assert settings.store_env == {"AWS_SECRET_ACCESS_KEY": "a secret of S3"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GANWORKS_PORT", "http"),
        ("GANWORKS_PORT", "70000"),
        ("GANWORKS_STALLED_AFTER", "soon"),
        ("GANWORKS_RUNTIME_ENV", "[1]"),
        ("GANWORKS_RUNTIME_ENV", "/no/such/file"),
    ],
)
def test_a_bad_value_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name):
        from_environment({name: value})


def test_a_missing_ray_token_is_named() -> None:
    with pytest.raises(ValueError, match="/no/such/token cannot be read"):
        from_environment({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": "/no/such/token"})


def test_tokens_are_made_once_and_kept_private(tmp_path: Path) -> None:
    first = with_tokens(from_environment({"GANWORKS_HOME": str(tmp_path)}))
    second = with_tokens(from_environment({"GANWORKS_HOME": str(tmp_path)}))
    assert first.token == second.token
    assert first.token != first.scrape_token
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_settings_never_show_a_secret() -> None:
    settings = from_environment({"GANWORKS_TOKEN": "canary-token", "AWS_SECRET_ACCESS_KEY": "canary-key"})
    assert "canary" not in repr(settings)
    assert set(settings.secrets) == {"canary-token", "canary-key"}
