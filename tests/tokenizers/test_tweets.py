"""minbert/tokenizers/tweets.py: tweets as BERTweet read them."""

import pytest

from minbert import UserError
from minbert.tokenizers import tweets


@pytest.fixture(autouse=True)
def no_names(monkeypatch):
    """As if `emoji` named nothing."""
    monkeypatch.setattr(tweets.name_of_emoji, "__defaults__", ([str],))


@pytest.mark.parametrize(
    "tweet, normalised",
    [
        ("@jo see https://t.co/x can't won't ! can't", "@USER see HTTPURL can't wo n't ! can't"),
        ("I cannot… it’s 5 p.m. www.x.org", "I can not ... it 's 5 p.m. HTTPURL"),
        ("lol :-) <3 #yes!!!!!!", "lol :-) <3 #yes ! ! !"),
        ("&amp; &#65; &#x42; &xi; &nosuch; &#150; &#99999999999;", "& A B –"),
        ("Call (555) 123-4567 now", "Call (555) 123-4567 now"),
        ("joe@example.com a_b rock'n'roll 3.14 -> <b>", "joe@example.com a_b rock'n'roll 3.14 -> <b>"),
        ("see (http://x.org/a(b)c) .", "see ( HTTPURL ) ."),
        ("soooo . . . !!", "soooo . . . ! !"),
        ("", ""),
        ("  \n ", ""),
    ],
)
def test_what_becomes_of_a_tweet(tweet, normalised):
    assert tweets.normalize(tweet) == normalised


def test_without_the_package_emojis_stay_and_a_warning_says_so_once(monkeypatch):
    monkeypatch.setattr(tweets.name_of_emoji, "__defaults__", ([],))
    monkeypatch.setitem(__import__("sys").modules, "emoji", None)
    with pytest.warns(UserWarning, match="pip install emoji"):
        assert tweets.normalize("so 😀") == "so 😀"
    assert tweets.normalize("so 😀") == "so 😀"


@pytest.mark.fault("texts: a text made to take long")
def test_a_text_that_takes_too_long_is_refused(monkeypatch):
    monkeypatch.setattr(tweets, "PATIENCE", 1e-3)
    with pytest.raises(UserError, match=r"20000 characters, too many for a tweet"):
        tweets.normalize("a." * 10_000)
