"""Votes of several annotators: how far they agree, who is reliable, and which pairs they decide."""

from __future__ import annotations

from .aggregate import METHODS, Decided, Method, decide, winners
from .agreement import Agreement, WinRate, agreement
from .quality import AnnotatorQuality, Consensus, dawid_skene, leave_one_out
from .reading import VotesRead, read_votes
from .reliability import Estimate, PairAgreement, cohen, fleiss, krippendorff, pairwise, raw_agreement, unanimous
from .tally import Tally, VoteTable

__all__ = [
    "METHODS",
    "Agreement",
    "AnnotatorQuality",
    "Consensus",
    "Decided",
    "Estimate",
    "Method",
    "PairAgreement",
    "Tally",
    "VoteTable",
    "VotesRead",
    "WinRate",
    "agreement",
    "cohen",
    "dawid_skene",
    "decide",
    "fleiss",
    "krippendorff",
    "leave_one_out",
    "pairwise",
    "raw_agreement",
    "read_votes",
    "unanimous",
    "winners",
]
