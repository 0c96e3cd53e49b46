"""What names look like: what nobody sees, what stands for other letters, and which letters are drawn alike."""

import string
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.looks import (
    _ASCII,  # pyright: ignore[reportPrivateUsage]  # a copy, which must be a true one
    _prototypes,  # pyright: ignore[reportPrivateUsage]
    drawn,
    is_ignorable,
    is_plain,
    is_unseen,
    looks,
    mixed_word,
    plainer,
    skeleton,
)
from reconciler.core.names import alias_fault, has_control_characters, look_alike_fault, model_name_fault
from reconciler.core.policy import matches

REAL_NAMES = [
    "Riesgo-crédito",
    "Müller_v2",
    "Größe",
    "Çekirdek_modelı",
    "Đánh_giá_rủi_ro",
    "Ocena-ryzyka-żółw",
    "Оценка_риска",
    "Модел_за_кредитен_риск",
    "Οικονομική_βαθμολογία",
    "Վարկային_ռիսկ",
    "საკრედიტო_რისკი",
    "סיכון-אשראי",
    "مخاطر_الائتمان",
    "ریسک_اعتباری",
    "जोखिम_मूल्यांकन",
    "ঋণ-ঝুঁকি",
    "கடன்_அபாயம்",
    "กำไรสุทธิ",
    "ຄວາມສ່ຽງຕໍ່າ",
    "위험등급",
    "위험등급v2",
    "信用スコア",
    "与信モデルv2",
    "リスク評価",
    "風險評估",
    "風險ㄆㄥˊ估",
    "Credit モデル",
    "risk 🚀",
]


def test_of_plain_text_every_character_is_seen_and_of_ascii_no_other() -> None:
    characters = [chr(code) for code in range(0x100)]

    plain = [character for character in characters if is_plain(character)]

    assert plain == [c for c in characters if c.isascii() and not is_unseen(c)]
    assert not [c for c in plain if is_ignorable(c) or has_control_characters(f"{c}é")]


@pytest.mark.parametrize("name", REAL_NAMES)
def test_names_of_real_languages_are_names(name: str) -> None:
    assert (model_name_fault(name), look_alike_fault(name), mixed_word(name)) == (None, None, None)


@pytest.mark.parametrize(
    "name",
    [
        "churn\ufe0f",
        "chu\u034frn",
        "churn\u3164",
        "churn\uffa0",
        "ch\u115furn",
        "ch\u17b5urn",
        "ch\u200burn",
        "ch\u200durn",
        "ch\xadurn",
        "churn\u202e",
        "churn\u2066",
        "churn\U000e0061",
        "churn\U000e0100",
        "churn\u2800x",
        "churn\u1680x",
        "churn\xa0x",
        "churn\ue000",
        "churn\U0001d159",
        "churn\x7f",
        "churn\ufeff",
    ],
    ids=ascii,
)
def test_what_nobody_sees_is_in_no_name(name: str) -> None:
    assert "which nobody sees" in str(model_name_fault(name))
    assert alias_fault(name) is not None
    assert look_alike_fault(name) is not None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ｃｈａｍｐｉｏｎ", "champion"),
        ("𝐜𝐡𝐮𝐫𝐧", "churn"),
        ("ﬁnance", "finance"),
        ("ｶﾌﾞ", "カブ"),
        ("v²", "v2"),
        ("µ-lens", "μ-lens"),
        ("Mu\u0308ller", "Müller"),
        ("Ⅳ", "IV"),
    ],
)
def test_letters_that_stand_for_others_are_in_no_name(name: str, meant: str) -> None:
    assert plainer(name) == meant
    assert f"`{meant}`" in str(look_alike_fault(name))


@pytest.mark.parametrize(
    ("name", "scripts"),
    [
        ("chаmpion", ("Cyrillic", "Latin")),
        ("riskבit", ("Hebrew", "Latin")),
        ("مخاطرv2", ("Arabic", "Latin")),
        ("믿カ", ("Hangul", "Katakana")),
        ("モデルㄆ", ("Bopomofo", "Katakana")),
        ("αа", ("Cyrillic", "Greek")),
        ("риск_mоdel", ("Cyrillic", "Latin")),
    ],
)
def test_a_word_that_mixes_scripts_is_found(name: str, scripts: tuple[str, ...]) -> None:
    found = mixed_word(name)

    assert found is not None
    assert found[1] == scripts


ALIKE = [
    ("chɑmpion", "champion"),
    ("rısk", "risk"),
    ("сһurn", "churn"),
    ("Chаmpion", "champion"),
    ("ВАNК", "BANK"),
    ("рауроӀ", "paypol"),
    ("modeӀ", "mode1"),
    ("ꮯhurn", "churn"),
    ("Mu\u0308ller", "Müller"),
    ("church\u3164", "church"),
    ("charnpion", "champion"),
    ("mode1", "model"),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_what_is_drawn_alike_looks_alike(one: str, other: str) -> None:
    assert looks(one) & looks(other)


@pytest.mark.parametrize(("one", "other"), [("Müller", "Muller"), ("churn", "churns"), ("риск", "риска"), ("信", "言")])
def test_what_is_not_does_not(one: str, other: str) -> None:
    assert not looks(one) & looks(other)


def test_the_skeletons_of_ascii_are_those_of_the_library() -> None:
    # The apostrophe and the backtick stand for each other, whichever the library lists first.
    table = {c: _prototypes().get(c, c) for c in string.printable if c.isprintable()}

    assert {c: stands for c, stands in table.items() if stands != c and stands not in "&;}"} == {
        chr(code): stands for code, stands in _ASCII.items()
    }


@given(st.text(max_size=20))
def test_a_skeleton_has_itself_as_its_skeleton(text: str) -> None:
    once = skeleton(text)

    assert skeleton(f"é{once}") == unicodedata.normalize("NFD", f"é{once}")


@pytest.mark.parametrize(("name", "letters"), [("сһurn", "churn"), ("ѵ10", "v10"), ("модель", "моgель"), ("Ӏ", "l")])
def test_what_can_be_drawn_in_ascii_is(name: str, letters: str) -> None:
    if name == "модель":
        assert not drawn(name).isascii()
    else:
        assert drawn(name) == letters


@pytest.mark.parametrize(
    ("pattern", "name", "matched"),
    [
        ("Risk*", "Rısk-eu", True),
        ("Risk*", "Ｒｉｓｋ", True),
        ("risk*", "RІSK", True),
        ("Ris?", "Rısm", True),
        ("[Rr]isk", "Rısk", True),
        ("model1", "modelӀ", True),
        ("@champion*", "@chɑmpion_eu", True),
        ("Оценка*", "Oценка", True),
        ("Risk*", "Rïsk", False),
        ("model1", "modell", False),
        ("credit*", "crédit", False),
    ],
)
def test_no_rule_is_evaded_by_a_letter(pattern: str, name: str, matched: bool) -> None:
    assert matches(pattern, name) is matched
