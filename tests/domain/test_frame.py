import pytest
from hypothesis import given
from hypothesis import strategies as st

from juggernaut.domain.errors import InvalidInput
from juggernaut.domain.frame import LABEL_CHARS, frame

NONCE = "a1b2c3d4e5f60718"


def test_the_text_stands_between_two_lines() -> None:
    """The form that the prompts describe."""
    assert frame("one\ntwo", "task", NONCE) == (
        f"<<<data {NONCE} from: task\none\ntwo\n>>>end {NONCE}"
    )


@given(st.text(), st.text())
def test_no_text_and_no_label_ends_its_own_frame(text: str, label: str) -> None:
    """The closing line stands once, at the end, and the label on one line of bounded length."""
    framed = frame(text, label, NONCE)
    assert framed.count(f">>>end {NONCE}") == 1
    assert framed.endswith(f"\n{text}\n>>>end {NONCE}")
    head = framed.removesuffix(f"\n{text}\n>>>end {NONCE}")
    assert len(head.splitlines()) == 1
    assert len(head) <= LABEL_CHARS + 40


@pytest.mark.parametrize(("text", "label"), [(f"x {NONCE} y", "task"), ("x", f"file {NONCE}")])
def test_a_guessed_delimiter_is_refused(text: str, label: str) -> None:
    """Text that holds the nonce is not framed with it."""
    with pytest.raises(InvalidInput, match="delimiter"):
        frame(text, label, NONCE)


@pytest.mark.parametrize("nonce", ["", "short", "a" * 15, "a b c d e f g h i", "\n" * 16])
def test_a_weak_delimiter_is_refused(nonce: str) -> None:
    """Short or not made of letters and digits."""
    with pytest.raises(InvalidInput, match="random"):
        frame("x", "task", nonce)
