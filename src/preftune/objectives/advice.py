"""Advised beta and learning rate by method and model size, with their sources; shown before a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advice:
    """An advised range, the value that ``auto`` takes, and where they come from."""

    low: float
    high: float
    value: float
    source: str

    def covers(self, value: float) -> bool:
        """Whether a value lies in the range, its ends included."""
        return self.low <= value <= self.high


_MISSION = "by model size: below 7B 0.1-0.2, 7-13B 0.1, above 13B 0.05-0.1; Zephyr-7B and Llama-3-8B recipes go to 0.01"


_OWN: dict[str, Advice] = {
    "ipo": Advice(0.01, 0.9, 0.1, "IPO's tau: best at 0.01 in Hugging Face's 7B sweep over 0.01-0.9"),
    "sigmoid_norm": Advice(1.0, 10.0, 5.0, "Tulu 3 and OLMo 2 use 5"),
    "simpo": Advice(2.0, 10.0, 2.5, "SimPO's authors: 2 to 10, start at 2.5"),
    "orpo": Advice(0.05, 1.0, 0.1, "ORPO's lambda: 0.05-0.1 for 7B, 0.5-1 for small models (its author)"),
    "cpo": Advice(0.05, 0.2, 0.1, "CPO's paper: 0.1"),
    "dpop": Advice(0.1, 0.5, 0.3, "DPO-Positive's paper: 0.3"),
    "kto": Advice(0.05, 0.3, 0.1, "KTO: 0.1; smaller beta wants a smaller learning rate"),
    "bco": Advice(0.005, 0.1, 0.01, "BCO's paper: 0.01"),
    "nca_pair": Advice(0.001, 0.1, 0.01, "NCA's paper: 0.01"),
    "bco_pair": Advice(0.005, 0.1, 0.01, "BCO's paper: 0.01"),
    "sppo_hard": Advice(0.0005, 0.1, 0.001, "SPPO's paper: 0.001"),
    "discopop": Advice(0.01, 0.2, 0.05, "DiscoPOP's paper: 0.05"),
}
_LIKE_DPO = {
    *("sigmoid", "robust", "hinge", "exo_pair", "apo_zero", "apo_down"),
    *("rdpo", "rpo", "odpo", "aot", "aot_unpaired", "plackett_luce"),
}


def beta_advice(objective: str, parameters: int) -> Advice | None:
    """Range of beta for an objective and a model of so many parameters; None where nobody has published one."""
    if objective in _OWN:
        return _OWN[objective]
    return _dpo_beta(parameters) if objective in _LIKE_DPO else None


def _dpo_beta(parameters: int) -> Advice:
    if parameters < 1e9:
        return Advice(0.1, 0.5, 0.1, "small models: 0.1-0.2 by size, SmolLM2's own DPO recipes use 0.5")
    if parameters < 7e9:
        return Advice(0.05, 0.5, 0.1, f"{_MISSION}; SmolLM3-3B 0.05, SmolLM2-1.7B 0.5")
    if parameters <= 13e9:
        return Advice(0.01, 0.1, 0.1, _MISSION)
    return Advice(0.01, 0.1, 0.05, _MISSION)


def learning_rate_advice(parameters: int, *, lora: bool) -> Advice:
    """Range of the peak learning rate for full or LoRA training of a model of so many parameters."""
    if lora:
        return Advice(
            1e-6, 5e-5, 5e-6, "LoRA: ten times the full rate; LLaMA-Factory and TRL's peft page 5e-6, TRL 1e-5"
        )
    if parameters < 7e9:
        return Advice(1e-7, 2e-6, 5e-7, "full DPO 5e-7 (original repository); SmolLM2, SmolLM3 and OLMo recipes 1e-6")
    if parameters <= 20e9:
        return Advice(1e-7, 1e-6, 5e-7, "full DPO at 7-13B: Zephyr 5e-7, SimPO's baselines 3e-7 to 7e-7, OLMo2 8e-7")
    return Advice(5e-8, 5e-7, 2e-7, "full DPO at 70B: Tulu 3 2e-7")
