"""The forms of well-known credentials, and how they differ from what only looks like one.

The makers of these tokens gave them prefixes so that they can be found. Each form names literals
that are rare in code; only where one of them stands is its pattern tried.

Source: https://docs.github.com/en/code-security/secret-scanning
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Callable
from itertools import pairwise, product

from msgspec import Struct

Judge = Callable[[bytes], bool]

LONGEST = 6144  # bytes, that a pattern looks at
SHORTEST = 16  # bytes of text without a break, in every match

_STOPPED = re.compile(
    rb"example|sample|placeholder|dummy|change_?me|redacted|your|my[_-]|foobar|insert|replace|"
    rb"fake|[*]{3}|[.]{3}|[$<{%][A-Za-z_({]|xxxx|not[_-]?a[_-]|0{8}",
    re.IGNORECASE,
)
_PLAIN_WORDS = frozenset(
    [
        *b"pass passwd password passphrase pwd pw word secret token key auth user username".split(),
        *b"name login admin root guest test testing tester wrong new old the some any with".split(),
        *b"me my a colon slash space at org repo very super special quoted encoded proxy".split(),
        *b"github gitlab git oauth basic x access api string value host port foo bar baz".split(),
        *b"qux spam eggs ham abc def hello world open sesame correct hunter2 asdf qwerty".split(),
        *b"letmein".split(),
        *map(bytes, product(b"p", b"a4@", b"s5$", b"s5$", b"w", b"o0", b"r", b"d")),
        *(b"%%%02x" % number for number in range(256)),  # of a URL
        *(bytes([character]) for character in b"0123456789-_. +:!?@#&=%~"),
    ]
)
_WORD_LENGTHS = tuple(sorted({len(word) for word in _PLAIN_WORDS}))
_IN_MANUALS = (  # printed there for everyone
    b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq",  # Azure's emulator
    b"eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9l",  # a JSON web token of John Doe
    b"czZCaGRSa3F0Mz",  # RFC 6749's client
    b"eyJzb21lIjoicGF5bG9hZCJ9",  # a JSON web token of {"some":"payload"}
)
_STAIRS = 8  # so many characters, each the one after the last, are nobody's secret
_FEW = 4  # characters: no password
_ENTROPY_BITS = 3  # a character: hexadecimal has up to 4
_KEY_RUN = re.compile(rb"[A-Za-z0-9+/]{48,}")


class Form(Struct, frozen=True, kw_only=True):
    """One kind of credential; group 1 of ``pattern`` is what is judged.

    Every match begins with one of ``anchors``.
    """

    what: str
    anchors: tuple[bytes, ...]
    pattern: re.Pattern[bytes]
    judge: Judge


def is_drawn(value: bytes) -> bool:
    """Tell what a machine has drawn from what a person has typed as an example."""
    return (
        len(set(value)) >= min(8, len(value) // 2)
        and not _STOPPED.search(value)
        and not _has_stairs(value)
        and not value.startswith(_IN_MANUALS)
    )


def is_mixed(value: bytes) -> bool:
    """Tell a drawn value from a name: digits among letters, and hardly a pattern."""
    return (
        re.search(rb"[0-9]", value) is not None
        and re.search(rb"[A-Za-z]", value) is not None
        and is_drawn(value)
        and _entropy_bits(value) >= _ENTROPY_BITS
    )


def is_password(value: bytes) -> bool:
    """Tell what somebody chose for a password from what stands for one."""
    return not (len(set(value)) < _FEW or _STOPPED.search(value) or _is_plain(value.lower()))


def _is_plain(value: bytes) -> bool:
    """Return whether a value is plain words one after the other, in a time that is linear."""
    ends = {0}
    for at in range(len(value)):
        if at in ends:
            starts = (value[at : at + length] for length in _WORD_LENGTHS)
            ends.update(at + len(word) for word in starts if word in _PLAIN_WORDS)
    return len(value) in ends


def _is_login(value: bytes) -> bool:
    """Judge the base64 of ``user:password``."""
    try:
        _, _, password = base64.b64decode(value + b"==").partition(b":")
    except binascii.Error:
        return False
    return (
        len(password) > _FEW
        and password.isascii()
        and is_password(password)
        and not value.startswith(_IN_MANUALS)
    )


def _is_key(value: bytes) -> bool:
    """Judge what follows the first line of a private key; programs name that line too."""
    run = _KEY_RUN.search(value)
    return run is not None and is_drawn(run[0])


def _has_stairs(value: bytes) -> bool:
    steps = bytes((after - before) & 255 for before, after in pairwise(value))
    return b"\1" * (_STAIRS - 1) in steps


def _entropy_bits(value: bytes) -> float:
    """Return Shannon's entropy a character."""
    counts = Counter(value).values()
    return -sum(count / len(value) * math.log2(count / len(value)) for count in counts)


def _form(what: str, anchors: str, pattern: bytes, judge: Judge = is_drawn) -> Form:
    return Form(
        what=what,
        anchors=tuple(anchors.encode().split()),
        pattern=re.compile(pattern),
        judge=judge,
    )


_FREE = rb"(?<![A-Za-z0-9_-])"  # nothing that could belong to it stands before it
_ALONE = rb"(?<![A-Za-z0-9_/+-])"  # nor is it a part of base64
_END = rb"(?![A-Za-z0-9_/+-])"
_IS = rb"""\\?["']?\s{0,3}(?:=|:=?)\s{0,3}[bfru]?\\?["']?"""  # between a name and its value
_DONE = rb"(?![A-Za-z0-9_+/=.(\[-])"  # no call, no name in a module
_SPACE = rb"(?:\s|\\[nrt]){1,16}"
_WORD = rb"[!-\[\]-~]"  # printable, less the backslash
_IN_URL = rb"[^\x00-\x20\x7f-\xff/?#@\"'<>`,\\(){}\[\]|;*]"
_USER = _IN_URL.replace(rb"/?#@", rb"/?#@:")
_LOGIN = _SPACE + rb"(?:login|account)" + _SPACE + _WORD + rb"{1,255}"
_PASSWORD = _SPACE + rb"password" + _SPACE + rb"([^\x00-\x20\x7f-\xff\"'`<>\\]{6,255})"
_HEADER = rb"uthorization\\?[\"']?\s{0,2}[:=,]\s{0,2}[bfru]?\\?[\"']?"

FORMS: tuple[Form, ...] = (
    _form("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", rb"gh._([A-Za-z0-9]{36,255})"),
    _form("a GitHub token", "github_pat_", rb"github_pat_([A-Za-z0-9_]{60,90})"),
    _form("a GitLab token", "glpat-", _FREE + rb"glpat-([A-Za-z0-9_-]{20,64})"),
    _form("a GitLab token", "gldt- glrt-", _FREE + rb"gl.t-([A-Za-z0-9_-]{20,64})", is_mixed),
    _form("a PyPI token", "pypi-", rb"pypi-(AgE[A-Za-z0-9_-]{50,255})"),
    _form("a Hugging Face token", "hf_", _FREE + rb"hf_([A-Za-z0-9]{30,40})" + _END),
    _form("an npm token", "npm_", _FREE + rb"npm_([A-Za-z0-9]{36})" + _END, is_mixed),
    _form("a Docker token", "dckr_pat_ dckr_oat_", rb"dckr_.at_([A-Za-z0-9_-]{20,64})"),
    _form(
        "a Slack token",
        "xoxa- xoxb- xoxe- xoxo- xoxp- xoxr- xoxs-",
        rb"xox.-(?:[0-9]{1,16}-){1,4}([A-Za-z0-9]{16,64})",
    ),
    _form("a Slack token", "xapp-", rb"xapp-[0-9]-[A-Z0-9]{6,16}-[0-9]{6,16}-([a-f0-9]{32,80})"),
    _form("an Anthropic key", "sk-", rb"sk-ant-[a-z0-9]{3,10}-([A-Za-z0-9_-]{24,128})"),
    _form(
        "an OpenAI key",
        "sk-",
        _FREE + rb"sk-(?:proj|svcacct|admin|None)-([A-Za-z0-9_-]{32,255})",
        is_mixed,
    ),
    _form("an OpenAI key", "sk-", _FREE + rb"sk-([A-Za-z0-9]{40,64})" + _END, is_mixed),
    _form("an OpenRouter key", "sk-", rb"sk-or-v1-([0-9a-f]{64})", is_mixed),
    _form("an NVIDIA key", "nvapi-", _FREE + rb"nvapi-([A-Za-z0-9_-]{60,80})", is_mixed),
    _form("a Stripe key", "sk_live_ rk_live_", _FREE + rb".k_live_([A-Za-z0-9]{24,128})", is_mixed),
    _form("a Weights & Biases key", "wandb_v1_", rb"wandb_v1_([A-Za-z0-9_-]{40,128})", is_mixed),
    _form("a Replicate token", "r8_", _FREE + rb"r8_([A-Za-z0-9]{37})" + _END, is_mixed),
    _form("a Groq key", "gsk_", _FREE + rb"gsk_([A-Za-z0-9]{52})" + _END, is_mixed),
    _form("a Google secret", "GOCSPX-", _FREE + rb"GOCSPX-([A-Za-z0-9_-]{28})" + _END, is_mixed),
    _form("a Google key", "AIza", _ALONE + rb"AIza([A-Za-z0-9_-]{35})" + _END, is_mixed),
    _form("an AWS access key", "AKIA ASIA", _ALONE + rb"A.IA([A-Z2-7]{16})" + _END),
    _form("an Azure storage key", "AccountKey=", rb"AccountKey=([A-Za-z0-9+/]{86}==)"),
    _form(
        "a JSON web token",
        "eyJ",
        _ALONE + rb"eyJ[A-Za-z0-9_-]{10,1024}\.(eyJ[A-Za-z0-9_-]{10,4096})\.[A-Za-z0-9_-]{20}",
    ),
    _form(
        "a private key",
        "-----BEGIN",
        rb"-----BEGIN [A-Z ]{0,24}PRIVATE KEY(?: BLOCK)?-----"
        rb"""([A-Za-z0-9+/=\s"',:;.\\()-]{64,512})""",
        _is_key,
    ),
    _form(
        "a key",
        "api_ API_ api- secret_ SECRET_",
        rb"(?i:api|secret)[_-](?i:access_|secret_)?(?i:key)"
        + _IS
        + rb"([A-Za-z0-9+/_=-]{20,128})"
        + _DONE,
        is_mixed,
    ),
    _form("a key", "apiKey", rb"apiKey" + _IS + rb"([A-Za-z0-9+/_=-]{20,128})" + _DONE, is_mixed),
    _form(
        "an AWS secret key",
        "SecretAccessKey",
        rb"SecretAccessKey" + _IS + rb"([A-Za-z0-9+/]{40})",
        is_mixed,
    ),
    _form(
        "a Weights & Biases key",
        "wandb.login(",
        rb"wandb\.login\(\s{0,8}(?:key\s{0,2}=\s{0,2})?\\?[\"']([A-Za-z0-9_-]{40,128})",
        is_mixed,
    ),
    _form(
        "a Kaggle key",
        '"username"',
        rb'"username"\s{0,4}:\s{0,4}"[^"\r\n]{1,64}"\s{0,8},\s{0,8}'
        rb'"key"\s{0,4}:\s{0,4}"([0-9a-f]{32})"',
        is_mixed,
    ),
    _form(
        "a password in a URL",
        "://",
        rb"(?<!github)://" + _USER + rb"{0,128}:(" + _IN_URL + rb"{4,256})@[A-Za-z0-9\[]",
        is_password,
    ),
    _form(
        "a token in a URL",
        "://",
        rb"(?<!ssh)://([A-Za-z0-9_.~-]{20,256})(?::x-oauth-basic)?@"
        rb"(?!o[0-9]{1,20}\.ingest\.|sentry\.)[A-Za-z0-9\[]",
        is_mixed,
    ),
    _form(
        "a password as in .netrc",
        "machine",
        rb"machine" + _SPACE + _WORD + rb"{1,255}(?:" + _LOGIN + rb"){0,2}" + _PASSWORD,
        is_password,
    ),
    _form(
        "a password as in docker's config.json",
        '"auth"',
        rb'"auth"\s{0,4}:\s{0,4}"([A-Za-z0-9+/]{12,1024})={0,2}"',
        _is_login,
    ),
    _form(
        "an Authorization header",
        "uthorization",
        _HEADER + rb"(?i:basic) ([A-Za-z0-9+/]{12,1024})={0,2}",
        _is_login,
    ),
    _form(
        "an Authorization header",
        "uthorization",
        _HEADER + rb"(?i:bearer|token) ([A-Za-z0-9_.~+/=-]{24,2048})",
        is_mixed,
    ),
)
