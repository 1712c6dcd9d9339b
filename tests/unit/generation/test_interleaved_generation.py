"""Answers of text, an image and text: what may follow what, whatever the weights say."""

from collections.abc import Callable

import pytest
import torch
from inference_samples import small_vocabulary
from torch import Tensor

from biomedgpt.decoding import GenerationConfig
from biomedgpt.errors import ConfigError
from biomedgpt.generation import (
    Hypothesis,
    ImageDecoding,
    generate,
    generate_interleaved,
)
from biomedgpt.generation.interleaved import TextUntilImage
from biomedgpt.generation.session import DecodingSession
from biomedgpt.model import BiomedGPT, preset

NUM_CODES, CODES = 12, 9
VOCABULARY = small_vocabulary()
BEGIN, END, EOS = VOCABULARY.image_begin, VOCABULARY.image_end, VOCABULARY.eos
SOURCE = torch.tensor([[0, 5, 6, 7, 2], [0, 8, 9, 2, 1], [0, 20, 30, 40, 2]])


def make_model(seed: int = 0, **options: int) -> BiomedGPT:
    torch.manual_seed(seed)
    model = BiomedGPT(preset("nano", vocab_size=len(VOCABULARY), **options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    return model


@pytest.fixture
def favour(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, float], None]:
    """Make a token more or less probable, wherever it is allowed."""

    def change(token: int, amount: float) -> None:
        log_probs = DecodingSession.log_probs

        def changed(session: DecodingSession, *args: float) -> Tensor:
            found = log_probs(session, *args)
            ids = torch.arange(found.shape[-1]) if session.ids is None else session.ids
            return (found + amount * (ids == token)).log_softmax(-1).nan_to_num(nan=-torch.inf)

        monkeypatch.setattr(DecodingSession, "log_probs", changed)

    return change


Favour = Callable[[int, float], None]


def drawing(**options: object) -> ImageDecoding:
    config = GenerationConfig(beam=1, min_len=CODES, max_len=CODES, **options)  # type: ignore[arg-type]
    return ImageDecoding(config=config, num_codes=NUM_CODES)


def answers(
    model: BiomedGPT, image: ImageDecoding | None = None, **options: object
) -> list[list[Hypothesis]]:
    config = {"beam": 1, "max_len": 6} | options
    return generate_interleaved(
        model,
        {"src_tokens": SOURCE},
        vocabulary=VOCABULARY,
        config=GenerationConfig(**config),  # type: ignore[arg-type]
        image=image or drawing(),
    )


def split(tokens: list[int]) -> tuple[list[int], list[int], list[int]]:
    """Return text, codes and text without marks and end of sequence."""
    assert tokens[-1] == EOS
    if BEGIN not in tokens:
        return tokens[:-1], [], []
    begin, end = tokens.index(BEGIN), tokens.index(END)
    return tokens[:begin], tokens[begin + 1 : end], tokens[end + 1 : -1]


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("sampling", [False, True])
def test_codes_stand_between_marks_and_text_around_them(
    beam: int, sampling: bool, favour: Favour
) -> None:
    sampled = {"sampling": True, "top_k": 5, "temperature": 2.0, "seed": 3} if sampling else {}
    drawn = 0
    favour(BEGIN, 4.0)
    for seed in range(6):
        for (one,) in answers(make_model(seed), drawing(**sampled), beam=beam):
            tokens = one.tokens.tolist()
            assert tokens.pop() == EOS
            assert len(one.positional_scores) == len(tokens) + 1
            assert one.score == pytest.approx(float(one.positional_scores.mean()), abs=1e-5)
            before, codes, after = split([*tokens, EOS])
            drawn += bool(codes)
            assert all(0 <= token - VOCABULARY.codes.start < NUM_CODES for token in codes)
            assert len(codes) == (CODES if BEGIN in tokens else 0)
            assert all(token in VOCABULARY.text_ids for token in before + after)
            assert max(len(before), len(after)) <= 6
    assert drawn > 6


def test_an_answer_without_an_image_is_what_free_decoding_gives(favour: Favour) -> None:
    favour(BEGIN, -1e9)
    model = make_model()
    options = {"beam": 3, "max_len": 6, "no_repeat_ngram_size": 2}
    text = torch.tensor(VOCABULARY.text_ids)
    config = GenerationConfig(**options)  # type: ignore[arg-type]
    expected = generate(model, {"src_tokens": SOURCE}, config=config, allowed_ids=text)
    for (one,), best in zip(answers(model, **options), expected, strict=True):
        assert one.tokens.tolist() == best[0].tokens.tolist()
        assert one.score == pytest.approx(best[0].score, abs=1e-5)


def test_no_ngram_is_repeated_in_text_and_codes_may_repeat(favour: Favour) -> None:
    code = VOCABULARY.codes.start + 4
    favour(BEGIN, 1.0)
    favour(code, 1e4)
    drawn = 0
    for seed in range(4):
        for (one,) in answers(make_model(seed), max_len=12, no_repeat_ngram_size=1):
            before, codes, after = split(one.tokens.tolist())
            drawn += len(codes) == CODES
            assert set(codes) <= {code}
            for text in (before, after):
                assert len(set(text)) == len(text)
    assert drawn > 1


def test_rows_are_independent_of_what_is_decoded_with_them(favour: Favour) -> None:
    favour(BEGIN, 2.0)
    model = make_model(2)
    together = [one.tokens.tolist() for (one,) in answers(model)]
    assert len({BEGIN in tokens for tokens in together}) == 2  # some draw, some do not
    for row, expected in enumerate(together):
        source = SOURCE[row : row + 1]
        ((one,),) = generate_interleaved(
            model,
            {"src_tokens": source[:, source[0] != VOCABULARY.pad]},
            vocabulary=VOCABULARY,
            config=GenerationConfig(beam=1, max_len=6),
            image=drawing(),
        )
        assert one.tokens.tolist() == expected


@torch.no_grad()
def test_each_token_has_its_probability_among_what_is_allowed(favour: Favour) -> None:
    favour(BEGIN, 1e3)
    model = make_model()
    (one,) = answers(model)[0]
    tokens = one.tokens
    shifted = torch.cat([tokens.new_zeros(1), tokens[:-1]])
    source = SOURCE[:1]
    logits = model.decoder(shifted[None], model.encoder(source, None, None), features_only=True)
    logits = model.decoder.output_layer(logits)[0]
    codes = torch.arange(VOCABULARY.codes.start, VOCABULARY.codes.start + NUM_CODES)
    among_codes = torch.cat([codes, codes.new_tensor([EOS])])
    expected = logits[1, among_codes].log_softmax(0)[tokens[1] - VOCABULARY.codes.start]
    assert float(one.positional_scores[1]) == pytest.approx(float(expected), abs=1e-4)
    assert float(one.positional_scores[CODES + 1]) == 0.0  # the end of the image is certain
    text = torch.tensor([EOS, *VOCABULARY.text_ids])
    after = CODES + 2
    expected = logits[after, text].log_softmax(0)[(text == tokens[after]).nonzero()[0, 0]]
    assert float(one.positional_scores[after]) == pytest.approx(float(expected), abs=1e-4)


def test_the_text_after_an_image_ends_where_the_positions_do(favour: Favour) -> None:
    favour(BEGIN, 1e3)
    favour(EOS, -1e3)
    for (one,) in answers(make_model(max_positions=16)):
        assert len(one.tokens) == 16  # <s> stands before them, </s> has no place of its own


def test_a_least_length_is_refused() -> None:
    with pytest.raises(ConfigError, match="no least length"):
        answers(make_model(), min_len=2)


def test_the_machine_ends_after_the_begin_of_an_image() -> None:
    machine = TextUntilImage(VOCABULARY)
    nodes = machine.follow(torch.tensor([0, 0]), torch.tensor([BEGIN, 5]))
    assert nodes.tolist() == [1, 0]
    first, second = machine.allowed(nodes)
    assert first.nonzero().flatten().tolist() == [EOS]
    assert int(second.sum()) == len(VOCABULARY.text_ids) + 2
