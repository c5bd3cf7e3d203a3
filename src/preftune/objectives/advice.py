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


def beta_advice(objective: str, parameters: int) -> Advice:
    """Range of beta for an objective and a model of so many parameters."""
    if objective == "ipo":
        return Advice(0.01, 0.9, 0.1, "IPO's tau: best at 0.01 in Hugging Face's 7B sweep over 0.01-0.9")
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
