"""DPO as a loop of your own: pairs, a policy, a frozen reference, AdamW, a cosine schedule with warm-up."""

import sys

import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM, AutoTokenizer, get_cosine_schedule_with_warmup

from preftune import PreferenceDataset, collate, completion_logprobs, dpo_loss

model_path, data_path = sys.argv[1:3]
steps = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)

# Pairs: {"prompt": ..., "chosen": ..., "rejected": ...} and a dozen other formats.
tokenizer = AutoTokenizer.from_pretrained(model_path)
data = PreferenceDataset(data_path, tokenizer, max_length=512)
loader = DataLoader(data, batch_size=4, shuffle=True, collate_fn=collate)

# The policy learns; the reference is the same model, frozen. eval() keeps dropout off in both.
policy = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).to(device).eval()
reference = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).to(device).eval()
reference.requires_grad_(False)

optimizer = torch.optim.AdamW(policy.parameters(), lr=5e-7)
schedule = get_cosine_schedule_with_warmup(optimizer, num_warmup_steps=100, num_training_steps=steps)

step = 0
while step < steps:
    for batch in loader:
        with torch.no_grad():
            ref = completion_logprobs(reference, batch)
        loss, accuracy = dpo_loss(completion_logprobs(policy, batch), ref, beta=0.1)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        step += 1
        if step % 10 == 0:
            print(f"step {step}  loss {loss.item():.4f}  accuracy {accuracy.item():.2f}")
        if step == steps:
            break

policy.save_pretrained("dpo_model")
tokenizer.save_pretrained("dpo_model")
