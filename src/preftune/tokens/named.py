"""Chat templates by the names that LLaMA-Factory gives them, for models whose tokenizer brings none.

The strings are facts about how these families of models were trained; each name renders as in LLaMA-Factory 0.9.5
(data/template.py). Templates for images and speech are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

BOS, EOS = "<BOS>", "<EOS>"
"""Stand for the tokenizer's own tokens; nothing is written where it has none."""

_POLITE = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


@dataclass(frozen=True, slots=True)
class Wording:
    """What stands around the turns. ``{}`` is the text of the turn."""

    user: str
    header: str
    """Opens an answer; what generation starts from."""
    answer: str = f"{{}}{EOS}"
    system: str = "{}"
    prefix: str = ""
    tool: str | None = None
    """None: tool turns are refused."""
    default_system: str = ""
    system_in_user: bool = False
    """The system text is part of the first user turn."""
    end: str = EOS
    """What a finished answer ends with; it has to be one token, or the model could not learn to stop."""
    thoughts: tuple[str, str] | None = None
    """What stands around the thoughts of a reasoning model."""

    def said(self, **changes: str) -> Wording:
        """The same with other words."""
        return replace(self, **changes)  # type: ignore[arg-type]


def _chatml(role: str = "assistant") -> Wording:
    return Wording(
        system="<|im_start|>system\n{}<|im_end|>\n",
        user="<|im_start|>user\n{}<|im_end|>\n",
        header=f"<|im_start|>{role}\n",
        answer="{}<|im_end|>\n",
        end="<|im_end|>",
    )


_PLAIN_CHATML = _chatml()
_CHATML = _PLAIN_CHATML.said(tool="<|im_start|>tool\n{}<|im_end|>\n")
_QWEN = _CHATML.said(tool="<|im_start|>user\n<tool_response>\n{}\n</tool_response><|im_end|>\n")
_THINK = ("<think>\n", "\n</think>\n\n")
_QWEN3 = replace(_QWEN, thoughts=_THINK)
_DEEPSEEK3 = Wording(prefix=BOS, user="<｜User｜>{}", header="<｜Assistant｜>")
_GEMMA = Wording(
    prefix=BOS,
    system="{}\n\n",
    user="<start_of_turn>user\n{}<end_of_turn>\n",
    header="<start_of_turn>model\n",
    answer="{}<end_of_turn>\n",
    tool="<start_of_turn>tool\n{}<end_of_turn>\n",
    system_in_user=True,
    end="<end_of_turn>",
)
_GLM4 = Wording(
    prefix="[gMASK]<sop>",
    system="<|system|>\n{}",
    user="<|user|>\n{}",
    header="<|assistant|>",
    answer="\n{}",
    tool="<|observation|>\n{}",
)
_GRANITE = Wording(
    system="<|start_of_role|>system<|end_of_role|>{}<|end_of_text|>\n",
    user="<|start_of_role|>user<|end_of_role|>{}<|end_of_text|>\n",
    header="<|start_of_role|>assistant<|end_of_role|>",
    answer="{}<|end_of_text|>\n",
    end="<|end_of_text|>",
)
_LLAMA2 = Wording(system="<<SYS>>\n{}\n<</SYS>>\n\n", user=f"{BOS}[INST] {{}} [/INST]", header="", system_in_user=True)
_LLAMA3 = Wording(
    prefix=BOS,
    system="<|start_header_id|>system<|end_header_id|>\n\n{}<|eot_id|>",
    user="<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>",
    header="<|start_header_id|>assistant<|end_header_id|>\n\n",
    answer="{}<|eot_id|>",
    tool="<|start_header_id|>ipython<|end_header_id|>\n\n{}<|eot_id|>",
    end="<|eot_id|>",
)
_LLAMA4 = Wording(
    prefix=BOS,
    system="<|header_start|>system<|header_end|>\n\n{}<|eot|>",
    user="<|header_start|>user<|header_end|>\n\n{}<|eot|>",
    header="<|header_start|>assistant<|header_end|>\n\n",
    answer="{}<|eot|>",
    tool="<|header_start|>ipython<|header_end|>\n\n{}<|eot|>",
    end="<|eot|>",
)
_MISTRAL = Wording(
    prefix=BOS, system="{}\n\n", user="[INST] {}[/INST]", header="", answer=f" {{}}{EOS}", system_in_user=True
)
_MINISTRAL = _MISTRAL.said(user="[INST]{}[/INST]", answer=f"{{}}{EOS}")
_PHI = Wording(
    system="<|system|>\n{}<|end|>\n",
    user="<|user|>\n{}<|end|>\n",
    header="<|assistant|>\n",
    answer="{}<|end|>\n",
    end="<|end|>",
)
_SEED = Wording(
    system=f"{BOS}system\n{{}}{EOS}", user=f"{BOS}user\n{{}}{EOS}", header=f"{BOS}assistant\n", answer=f"{{}}{EOS}"
)

NAMED: Mapping[str, Wording] = {
    "alpaca": Wording(
        user="### Instruction:\n{}\n\n",
        header="### Response:\n",
        answer=f"{{}}{EOS}\n\n",
        default_system="Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n",
    ),
    "chatml": _CHATML,
    "cohere": Wording(
        prefix=BOS,
        system="<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>{}<|END_OF_TURN_TOKEN|>",
        user="<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{}<|END_OF_TURN_TOKEN|>",
        header="<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>",
    ),
    "cpm4": _CHATML.said(prefix=BOS),
    "deepseek": Wording(prefix=BOS, system="{}\n\n", user="User: {}\n\n", header="Assistant:"),
    "deepseek3": _DEEPSEEK3,
    "deepseekr1": replace(_DEEPSEEK3, thoughts=_THINK),
    "default": Wording(
        system=f"System: {{}}{EOS}\n", user=f"Human: {{}}{EOS}\n", header="Assistant:", answer=f"{{}}{EOS}\n"
    ),
    "exaone": Wording(
        system="[|system|]{}[|endofturn|]\n", user="[|user|]{}\n", header="[|assistant|]", answer=f"{{}}{EOS}\n"
    ),
    "falcon": Wording(user="User: {}\n", header="Falcon:", answer="{}\n"),
    "falcon_h1": _CHATML.said(prefix=BOS),
    "gemma": _GEMMA,
    "gemma2": _GEMMA,
    "gemma3": _GEMMA,
    "glm4": _GLM4,
    "glm4_moe": replace(_GLM4, thoughts=_THINK),
    "glmz1": replace(_GLM4, thoughts=_THINK),
    "granite3": _GRANITE,
    "granite4": _GRANITE.said(default_system="You are Granite, developed by IBM. You are a helpful AI assistant."),
    "intern_s1": _PLAIN_CHATML.said(prefix=BOS),
    "llama2": _LLAMA2,
    "llama2_zh": _LLAMA2.said(default_system="You are a helpful assistant. 你是一个乐于助人的助手。"),
    "llama3": _LLAMA3,
    "llama4": _LLAMA4,
    "ministral": _MINISTRAL,
    "mistral": _MISTRAL,
    "mistral_small": replace(_MINISTRAL, system="[SYSTEM_PROMPT]{}[/SYSTEM_PROMPT]", system_in_user=False),
    "olmo": Wording(prefix=EOS, user="<|user|>\n{}", header="<|assistant|>\n"),
    "openchat": Wording(prefix=BOS, user=f"GPT4 Correct User: {{}}{EOS}", header="GPT4 Correct Assistant:"),
    "opencoder": _CHATML.said(default_system="You are OpenCoder, created by OpenCoder Team."),
    "phi": _PHI,
    "phi4": Wording(
        system="<|im_start|>system<|im_sep|>{}<|im_end|>",
        user="<|im_start|>user<|im_sep|>{}<|im_end|>",
        header="<|im_start|>assistant<|im_sep|>",
        answer="{}<|im_end|>",
        end="<|im_end|>",
    ),
    "phi4_mini": Wording(
        system="<|system|>{}<|end|>",
        user="<|user|>{}<|end|>",
        header="<|assistant|>",
        answer="{}<|end|>",
        end="<|end|>",
    ),
    "qwen": _QWEN.said(default_system="You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    "qwen3": _QWEN3,
    "qwen3_nothink": _QWEN,
    "qwen3_5": _QWEN3,
    "qwen3_5_nothink": _QWEN,
    "sailor": _chatml("answer").said(
        user="<|im_start|>question\n{}<|im_end|>\n",
        default_system="You are an AI assistant named Sailor created by Sea AI Lab. "
        "Your answer should be friendly, unbiased, faithful, informative and detailed.",
    ),
    "seed_coder": _SEED.said(
        default_system="You are an AI programming assistant, utilizing the Seed-Coder model, developed by ByteDance "
        "Seed, and you only answer questions related to computer science. For politically sensitive questions, "
        "security and privacy issues, and other non-computer science questions, you will refuse to answer.\n\n"
    ),
    "smollm": _PLAIN_CHATML,
    "smollm2": _PLAIN_CHATML.said(
        default_system="You are a helpful AI assistant named SmolLM, trained by Hugging Face."
    ),
    "solar": Wording(system="### System:\n{}\n\n", user="### User:\n{}\n\n", header="### Assistant:\n", answer="{}"),
    "starchat": _PHI.said(header="<|assistant|>"),
    "vicuna": Wording(user="USER: {} ", header="ASSISTANT:", default_system=_POLITE),
    "yi": _PLAIN_CHATML,
    "zephyr": Wording(
        system=f"<|system|>\n{{}}{EOS}",
        user=f"<|user|>\n{{}}{EOS}",
        header="<|assistant|>\n",
        default_system="You are Zephyr, a helpful assistant.",
    ),
}
"""Every template by its name."""
