"""Settings of TLS and of the identity provider: what does not fit stops the start and says where it stands."""

from pathlib import Path

import pytest

from cmg.config import SettingsError, load

GOOD = """public_url = "https://cmg.example.org"
[oidc]
issuer = "https://login.example.org"
client_secret = "env:OIDC_SECRET"
roles = { ops = "admin" }
"""


def _load(tmp_path: Path, text: str, **environ: str):
    file = tmp_path / "cmg.toml"
    file.write_text(text)
    return load({"CMG_DATA_DIR": str(tmp_path), **environ}, file)


def test_a_provider_with_all_it_needs_is_taken_and_its_secret_read(tmp_path: Path) -> None:
    oidc = _load(tmp_path, GOOD, OIDC_SECRET="s3cret").oidc
    assert (oidc.issuer, oidc.client_secret, oidc.roles) == ("https://login.example.org", "s3cret", {"ops": "admin"})
    assert oidc.scopes == ["openid", "email", "profile"]
    (tmp_path / "secret").write_text("from a file\n")
    named = GOOD.replace("env:OIDC_SECRET", f"file:{tmp_path / 'secret'}")
    assert _load(tmp_path, named).oidc.client_secret == "from a file"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("https://login", "http://login", "cmg.toml:3: oidc.issuer: must be an https URL"),
        ('public_url = "https://cmg.example.org"', "", "needs public_url"),
        ('roles = { ops = "admin" }', "", "needs oidc.roles"),
        ('"admin"', '"king"', "oidc.roles"),
        ("env:OIDC_SECRET", "env:OTHER_SECRET", "OTHER_SECRET is not set"),
        ("env:OIDC_SECRET", "file:/nowhere/x", "/nowhere/x cannot be read"),
    ],
)
def test_a_provider_that_cannot_work_stops_the_start(tmp_path: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(SettingsError, match=told.replace(".", r"\.")):
        _load(tmp_path, GOOD.replace(old, new), OIDC_SECRET="x")


def test_a_provider_on_this_machine_needs_no_tls(tmp_path: Path) -> None:
    local = GOOD.replace("https://login.example.org", "http://127.0.0.1:9000/realm")
    assert _load(tmp_path, local, OIDC_SECRET="x").oidc.issuer == "http://127.0.0.1:9000/realm"


def test_certificate_and_key_come_together_and_can_be_read(tmp_path: Path) -> None:
    certificate = tmp_path / "cert.pem"
    certificate.write_text("x")
    with pytest.raises(SettingsError, match="tls_key: none cannot be read"):
        _load(tmp_path, f'tls_certificate = "{certificate}"')
    with pytest.raises(SettingsError, match=r"tls_key: /nowhere/key\.pem cannot be read"):
        _load(tmp_path, f'tls_certificate = "{certificate}"\ntls_key = "/nowhere/key.pem"')
    assert _load(tmp_path, f'tls_certificate = "{certificate}"\ntls_key = "{certificate}"').tls_key == certificate
