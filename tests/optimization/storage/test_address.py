import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.optimization.storage.address import STORAGE_VARIABLE, complete, redacted

SECRET = "S3cr.t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"postgresql://nas:{SECRET}@db:5432/nas", "postgresql://nas:***@db:5432/nas"),
        (f"mysql+pymysql://nas:p/{SECRET}@x@db/nas", "mysql+pymysql://nas:***@db/nas"),
        (f"postgresql://db/nas?user=nas&password={SECRET}&x=1", "postgresql://db/nas?user=nas&password=***&x=1"),
        (f"postgresql://db/nas?sslpassword={SECRET}", "postgresql://db/nas?sslpassword=***"),
        ("postgresql://nas@db/nas", "postgresql://nas@db/nas"),
        ("sqlite:////srv/study.db", "sqlite:////srv/study.db"),
        ("journal:///shared/study", "journal:///shared/study"),
        (
            f"python -m nas.search --storage=a://u:{SECRET}@h/n --budget 3",
            "python -m nas.search --storage=a://u:***@h/n --budget 3",
        ),
    ],
)
def test_passwords_are_left_out_and_nothing_else(url, shown):
    assert redacted(url) == shown == redacted(shown)


@given(st.text(st.characters(categories=("L", "N"), include_characters="@:/!"), min_size=6))
def test_no_password_is_ever_shown(password):
    assert f":{password}@" not in redacted(f"postgresql://user:{password}@host/name")


def test_the_environment_completes_the_address_that_it_was(monkeypatch):
    url = f"postgresql://nas:{SECRET}@db/nas"
    assert complete(redacted(url)) == redacted(url)
    monkeypatch.setenv(STORAGE_VARIABLE, url)
    assert complete(redacted(url)) == url
    assert complete("postgresql://other:***@db/nas") == "postgresql://other:***@db/nas"
