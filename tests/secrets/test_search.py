from __future__ import annotations

import base64
import json
import random
import string
from itertools import pairwise
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inline_snapshot import snapshot as wording

from snapenv.errors import LeakError
from snapenv.secrets.model import Leak, Location, Secret
from snapenv.secrets.refuse import refuse_leaks
from snapenv.secrets.search import find_leaks

LETTERS = string.ascii_letters + string.digits
PASSWORD = "tr0ub4dor&3/+x"
SECRET = Secret(value=PASSWORD, what="the password of example.com in ~/.netrc")
BLOCK = 1 << 20


def drawn(length: int, characters: str = LETTERS, *, seed: int = 1) -> str:
    """Return what a machine would have drawn; no such text stands in this file."""
    return "".join(random.Random(seed).choices(characters, k=length))


HEX40, HEX32 = drawn(40, "0123456789abcdef"), drawn(32, "0123456789abcdef")
BASE32 = string.ascii_uppercase + "234567"
KEY_BODY = "\n".join(drawn(64, LETTERS + "+/", seed=line) for line in range(12))
JWT = f"eyJ{drawn(30)}.eyJ{drawn(60)}.{drawn(43)}"
BEGIN = "-----BEGIN {}PRIVATE KEY-----"

PLANTED = {
    "GitHub, classic": ("a GitHub token", f"ghp_{drawn(36)}"),
    "GitHub, OAuth": ("a GitHub token", f"gho_{drawn(36)}"),
    "GitHub, user to server": ("a GitHub token", f"ghu_{drawn(36)}"),
    "GitHub, server to server": ("a GitHub token", f"ghs_{drawn(36)}"),
    "GitHub, refresh": ("a GitHub token", f"ghr_{drawn(76)}"),
    "GitHub, fine-grained": ("a GitHub token", f"github_pat_{drawn(22)}_{drawn(59)}"),
    "GitLab": ("a GitLab token", f"glpat-{drawn(20)}"),
    "GitLab, deploy": ("a GitLab token", f"gldt-{drawn(20)}"),
    "PyPI": ("a PyPI token", f"pypi-AgEIcHlwaS5vcmc{drawn(150)}"),
    "Hugging Face": ("a Hugging Face token", f"hf_{drawn(34)}"),
    "npm": ("an npm token", f"npm_{drawn(36)}"),
    "Docker": ("a Docker token", f"dckr_pat_{drawn(27)}"),
    "Slack": ("a Slack token", f"xoxb-{drawn(12, '0123456789')}-{drawn(12, '012345')}-{drawn(24)}"),
    "OpenAI": ("an OpenAI key", f"sk-{drawn(20)}T3BlbkFJ{drawn(20)}"),
    "OpenAI, of a project": ("an OpenAI key", f"sk-proj-{drawn(74)}_T3BlbkFJ{drawn(74)}"),
    "Anthropic": ("an Anthropic key", f"sk-ant-api03-{drawn(93)}AA"),
    "NVIDIA": ("an NVIDIA key", f"nvapi-{drawn(64)}"),
    "Stripe": ("a Stripe key", f"sk_live_{drawn(24)}"),
    "Weights & Biases": ("a Weights & Biases key", f"wandb_v1_{drawn(77)}"),
    "Replicate": ("a Replicate token", f"r8_{drawn(37)}"),
    "Groq": ("a Groq key", f"gsk_{drawn(52)}"),
    "Google": ("a Google key", f"AIza{drawn(35)}"),
    "Google, client": ("a Google secret", f"GOCSPX-{drawn(28)}"),
    "AWS": ("an AWS access key", f"AKIA{drawn(16, BASE32)}"),
    "AWS, temporary": ("an AWS access key", f"ASIA{drawn(16, BASE32)}"),
    "AWS, secret": ("a key", f"aws_secret_access_key = {drawn(40, LETTERS + '+/')}"),
    "AWS, secret, as JSON": ("an AWS secret key", f'"SecretAccessKey": "{drawn(40)}"'),
    "Azure": ("an Azure storage key", f"AccountName=x;AccountKey={drawn(86)}=="),
    "JSON web token": ("a JSON web token", JWT),
    "private key": ("a private key", f"{BEGIN.format('')}\n{KEY_BODY}\n"),
    "private key, RSA": ("a private key", f"{BEGIN.format('RSA ')}\n{KEY_BODY}\n"),
    "private key, OpenSSH": ("a private key", f"{BEGIN.format('OPENSSH ')}\n{KEY_BODY}\n"),
    "private key, encrypted": (
        "a private key",
        f"{BEGIN.format('RSA ')}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{KEY_BODY}",
    ),
    "service account": (
        "a private key",
        json.dumps({"private_key": BEGIN.format("") + "\n" + KEY_BODY}),
    ),
    "ultralytics": ("a key", f'  "api_key": "{HEX40}",'),
    "Weights & Biases, assigned": ("a key", f"WANDB_API_KEY={HEX40}"),
    "Weights & Biases, in code": ("a Weights & Biases key", f'wandb.login(key="{HEX40}")'),
    "Weights & Biases, in .netrc": (
        "a password as in .netrc",
        f"machine api.example.com\n  login user\n  password {HEX40}\n",
    ),
    "Comet": ("a key", f"COMET_API_KEY: {drawn(25)}"),
    "ClearML": ("a key", f'"secret_key" = "{drawn(50)}"'),
    "Roboflow": ("a key", f'Roboflow(api_key="{drawn(20)}")'),
    "in a notebook": ("a key", json.dumps(f'Roboflow(api_key="{drawn(20)}")')),
    "Kaggle": ("a Kaggle key", f'{{"username":"someone","key":"{HEX32}"}}'),
    "URL": ("a password in a URL", f"https://someone:{PASSWORD[:11]}@example.com/simple"),
    "URL without a user": ("a password in a URL", "https://:w0mbat-stew@example.com/simple"),
    "URL of git": ("a password in a URL", "git+https://oauth2:w0mbat-stew@example.com/x.git"),
    "URL of a proxy": ("a password in a URL", "http://me:w0mbat@192.0.2.1:3128"),
    "URL with a token": ("a token in a URL", f"https://{drawn(40)}@example.com/x.git"),
    "netrc": ("a password as in .netrc", "machine example.com login me password w0mbat-stew"),
    "netrc, after words": (
        "a password as in .netrc",
        f"machine example.com login me password {'password%20' * 12}{'9' * 40}^",
    ),
    "docker's config": (
        "a password as in docker's config.json",
        json.dumps({"auth": base64.b64encode(b"me:w0mbat-stew").decode()}),
    ),
    "header, basic": (
        "an Authorization header",
        f"Authorization: Basic {base64.b64encode(b'me:w0mbat-stew').decode()}",
    ),
    "header, bearer": ("an Authorization header", f"authorization: Bearer {drawn(40)}"),
}

HARMLESS = (
    "https://user:pass@example.com/simple",
    "https://username:password@host",
    "https://user:${TOKEN}@example.com",
    "https://user:$TOKEN@example.com",
    "https://user:<token>@example.com",
    "https://user:****@example.com",
    "https://user:{password}@example.com",
    "https://user:%s@example.com",
    "https://your_user:your_password@example.com",
    "ssh://git@example.com:22/x.git",
    "https://example.com:8080/a@b",
    "git+ssh://git@example.com/team/x.git@0123abcd",
    f"ghp_{'x' * 36}",
    f"ghp_{LETTERS[:36]}",
    f"hf_{'x' * 34}",
    "hf_hub_download_with_a_long_name_of_a_function",
    "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "sk-estimator-doc-link-toggleable-control-content",
    'PEM_BEGIN = "-----BEGIN PRIVATE KEY-----"\nPEM_END = "-----END PRIVATE KEY-----"\n',
    "machine learning models with a login and a password are",
    "machine example.com login user password password",
    f"machine example.com login user password {'password%20' * 12}{'9' * 40}",
    'api_key = os.environ["WANDB_API_KEY"]',
    "api_key=<YOUR_API_KEY_FROM_THE_DASHBOARD>",
    "secret_key = derive_the_secret_key_from_password",
    "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
    "sha256:" + HEX40 + HEX32[:24],
    f"https://{HEX32}@o123456.ingest.us.example.com/1",
)


X = Location(name="x.py")


def found(text: str | bytes, *secrets: Secret) -> tuple[Leak, ...]:
    content = text.encode() if isinstance(text, str) else text
    return find_leaks(X, [content], secrets)


@pytest.mark.parametrize("name", PLANTED)
def test_a_well_known_form_is_found_with_its_line(name: str) -> None:
    what, text = PLANTED[name]

    leaks = found(f"first\n# second\nx = '''\n{text}\n'''\n")

    assert leaks[0].what == what
    assert leaks[0].line in {4, 5, 6}
    assert {leak.what for leak in leaks} == {what}


@pytest.mark.parametrize("name", PLANTED)
def test_a_well_known_form_is_found_among_machine_code(name: str) -> None:
    what, text = PLANTED[name]
    code = random.Random(3).randbytes(5000)

    leaks = found(code + b"\0" + text.encode() + b"\0" + code)

    assert Leak(location=X, line=None, what=what) in leaks


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_a_secret_is_let_pass(text: str) -> None:
    assert found(f"{text}\n") == ()


@pytest.mark.parametrize(
    "text",
    [
        PASSWORD,
        quote(PASSWORD, safe=""),
        quote(PASSWORD),
        json.dumps({"a": PASSWORD}),
        *(
            base64.b64encode(b"u" * before + f":{PASSWORD}".encode()).decode()
            for before in range(3)
        ),
        base64.urlsafe_b64encode(f"??>>?{PASSWORD}??>>".encode()).decode(),
    ],
)
def test_a_value_that_was_seen_is_found_however_it_is_written(text: str) -> None:
    leaks = found(f"\n\n{text}\n", SECRET)

    assert leaks == (Leak(location=X, line=3, what=SECRET.what),)


@pytest.mark.parametrize("before", range(3))
def test_a_value_in_the_base64_of_urls_is_found(before: int) -> None:
    value = "~?>~?>~?>~?>"

    text = base64.urlsafe_b64encode(b"u" * before + value.encode()).decode()

    assert found(text, Secret(value=value, what="x")) == (Leak(location=X, line=1, what="x"),)


@pytest.mark.parametrize("value", ["p4ßwörter", '"quo\'ted\\"', "12345678", drawn(400)])
def test_a_value_of_any_characters_is_found_among_machine_code(value: str) -> None:
    code = random.Random(3).randbytes(5000)
    seen = [
        Secret(value=value, what="x"),
        *(Secret(value=drawn(9, seed=n + 50), what="y") for n in range(9)),
    ]

    for text in (value, json.dumps(value)[1:-1], quote(value)):
        leaks = find_leaks(X, [code + text.encode() + code], seen)

        assert leaks == (Leak(location=X, line=None, what="x"),)


@pytest.mark.parametrize("value", ["", "short12", "anonymous", "x-access-token", "PassWord"])
def test_what_is_plainly_no_secret_is_not_looked_for(value: str) -> None:
    assert found(f"a = {value}\n", Secret(value=value, what="x")) == ()


def test_without_forms_only_what_was_seen_is_looked_for() -> None:
    text = f"ghp_{drawn(36)} {PASSWORD}".encode()

    assert [leak.what for leak in find_leaks(X, [text], [SECRET], forms=False)] == [SECRET.what]


def test_each_kind_is_named_once_a_line_in_order() -> None:
    token = f"ghp_{drawn(36)}"

    leaks = found(f"{token} {token} glpat-{drawn(20)}\n\n{token}\n")

    assert [(leak.line, leak.what) for leak in leaks] == [
        (1, "a GitHub token"),
        (1, "a GitLab token"),
        (3, "a GitHub token"),
    ]


def test_a_leak_never_holds_its_secret() -> None:
    assert PASSWORD not in repr(found(PASSWORD, SECRET))
    assert PASSWORD not in repr(SECRET)


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(PLANTED)),
    st.integers(-300, 300),
    st.lists(st.integers(0, 3 * BLOCK), max_size=8),
)
def test_what_is_found_does_not_depend_on_how_a_stream_is_cut(
    name: str, offset: int, cuts: list[int]
) -> None:
    what, text = PLANTED[name]
    filler = b"a line of a text, and one more\n" * (BLOCK // 31 + 20)
    data = filler[: BLOCK + offset] + b"\n" + text.encode() + b"\n" + filler[: BLOCK // 2]
    borders = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(borders)]

    whole = find_leaks(X, [data], ())

    assert find_leaks(X, pieces, ()) == whole
    assert what in {leak.what for leak in whole}


def test_what_stands_before_a_border_counts_beyond_it() -> None:
    line = b"a line of a text" * (BLOCK // 16)
    token = f"hf_{drawn(34)}".encode()

    apart = find_leaks(X, [line[:-1] + b" " + token], ())
    part_of_a_word = find_leaks(X, [line[:-1] + b"x" + token], ())

    assert [leak.what for leak in apart] == [wording("a Hugging Face token")]
    assert part_of_a_word == ()


@settings(max_examples=60)
@given(st.binary(max_size=40), st.integers(-60, 60), st.integers(1, 4000))
def test_a_value_on_any_border_is_found(around: bytes, offset: int, size: int) -> None:
    code = bytes(range(128, 256)) * (BLOCK // 128 + 2)
    data = code[: BLOCK + offset] + around + PASSWORD.encode() + around + code[:9000]
    pieces = [data[start : start + size * 64] for start in range(0, len(data), size * 64)]

    assert find_leaks(X, pieces, [SECRET], forms=False) == (
        Leak(
            location=X,
            line=data.count(b"\n", 0, data.index(PASSWORD.encode())) + 1,
            what=SECRET.what,
        )
        if b"\0" not in data
        else Leak(location=X, line=None, what=SECRET.what),
    )


def test_a_stream_is_read_in_constant_memory() -> None:
    import tracemalloc

    piece = random.Random(5).randbytes(BLOCK)
    tracemalloc.start()

    leaks = find_leaks(X, (piece for _ in range(64)), [SECRET])
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert leaks == ()
    assert most < 16 * BLOCK


def test_a_place_full_of_secrets_is_not_read_to_its_end() -> None:
    pieces = iter([f"ghp_{drawn(36)}\n".encode() * 30000] * 100)

    leaks = find_leaks(X, pieces, ())

    assert len(leaks) == 64
    assert len(list(pieces)) > 95


def leak(place: str, line: int | None = 3) -> Leak:
    return Leak(location=Location(name=place), line=line, what="a GitHub token")


def test_a_leak_stops_with_its_place_and_what_to_do() -> None:
    with pytest.raises(LeakError) as raised:
        refuse_leaks([leak("site/x.py"), leak("site/y.so", None)], allowed=())

    assert raised.value.exit_code == 5
    assert raised.value.message == wording(
        "site/x.py line 3 holds a GitHub token; site/y.so holds a GitHub token"
    )
    assert raised.value.hint.endswith("--allow site/x.py")


def test_five_leaks_are_named_and_the_others_counted() -> None:
    with pytest.raises(LeakError) as raised:
        refuse_leaks([leak(f"site/{number}") for number in range(8)], allowed=())

    assert raised.value.message.count("holds") == 5
    assert raised.value.message.endswith(", and 3 more")


def test_allowed_places_that_hold_a_leak_are_given_sorted() -> None:
    leaks = [
        leak("site/z.py"),
        leak("site/a.py", 1),
        leak("site/a.py", 2),
        leak("site/tests/x.key"),
    ]

    used = refuse_leaks(leaks, allowed=["site/a.py", "site/z.py", "site/tests/", "site/unused.py"])

    assert used == ("site/a.py", "site/tests/x.key", "site/z.py")


def test_what_is_allowed_covers_no_other_place() -> None:
    with pytest.raises(LeakError, match=r"^site/a\.pyc line 3"):
        refuse_leaks([leak("site/a.py"), leak("site/a.pyc")], allowed=["site/a.py"])
